"""A restart of the development identity provider logs nobody out and forgives no replay."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.dev_provider import CALLBACK, GOODBYE, MINE, VERIFIER, Person, answered, basic


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "provider-9400"


@pytest.fixture
async def person(kept: Path) -> AsyncIterator[Person]:
    someone = Person(kept)
    yield someone
    await someone.http.aclose()


# -- what goes on ---------------------------------------------------------------------------------


async def test_tokens_keep_their_signature_and_their_meaning(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    keys = (await person.http.get("/jwks")).json()
    person.restart_the_provider(kept)
    assert (await person.http.get("/jwks")).json() == keys
    assert (await person.claims(tokens["access_token"]))["sub"] == "user-1815"
    assert await person.active(tokens["access_token"])
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await person.http.get("/userinfo", headers=bearer)).json()["name"] == "Ada Lovelace"


async def test_a_refresh_rotates_and_keeps_the_login(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    person.restart_the_provider(kept)
    fresh = (await person.refresh(tokens["refresh_token"])).json()
    before, after = await person.claims(tokens["id_token"]), await person.claims(fresh["id_token"])
    for name in ("iss", "sub", "aud", "auth_time", "sid"):
        assert after[name] == before[name]
    person.restart_the_provider(kept)
    assert (await person.refresh(fresh["refresh_token"])).status_code == 200


async def test_single_sign_on_asks_nobody_again(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    person.restart_the_provider(kept)
    code = answered(await person.authorize({"prompt": "none"}))["code"]
    again = (await person.exchange(code)).json()
    first, second = await person.claims(tokens["id_token"]), await person.claims(again["id_token"])
    assert (first["sid"], first["auth_time"]) == (second["sid"], second["auth_time"])


async def test_a_login_page_left_open_still_works(person: Person, kept: Path) -> None:
    page = await person.authorize()
    person.restart_the_provider(kept)
    callback = answered(await person.choose(page, account="grace"))
    assert (await person.exchange(callback["code"])).status_code == 200


async def test_a_code_that_was_on_its_way_is_redeemed(person: Person, kept: Path) -> None:
    code = (await person.log_in())["code"]
    person.restart_the_provider(kept)
    assert (await person.exchange(code, code_verifier="w" * 43)).status_code == 400
    code = answered(await person.authorize())["code"]
    person.restart_the_provider(kept)
    assert (await person.exchange(code)).status_code == 200


async def test_a_logout_ends_the_login_and_leads_back(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    person.restart_the_provider(kept)
    query = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": GOODBYE}
    answer = await person.http.get("/logout", params=query)
    assert (answer.status_code, answer.headers["location"]) == (303, GOODBYE)
    assert person.provider.logins == []
    (delivered,) = person.delivered  # the clients of the login are remembered as well
    sid = (await person.claims(tokens["id_token"]))["sid"]
    assert (await person.claims(delivered[1]))["sid"] == sid
    person.restart_the_provider(kept)
    assert person.provider.logins == []
    asked = await person.authorize({"prompt": "none"})
    assert parse_qs(urlsplit(asked.headers["location"]).query)["error"] == ["login_required"]


async def test_keys_that_were_rotated_out_go_on_verifying(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    person.provider.rotate_keys()
    newer = (await person.refresh(tokens["refresh_token"])).json()
    person.restart_the_provider(kept)
    for token in (tokens["access_token"], newer["access_token"]):
        assert (await person.claims(token))["sub"] == "user-1815"


# -- what stays over ------------------------------------------------------------------------------


async def test_a_refresh_token_spent_before_kills_its_family_after(
    person: Person, kept: Path
) -> None:
    first = await person.tokens()
    second = (await person.refresh(first["refresh_token"])).json()
    person.restart_the_provider(kept)
    assert (await person.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    person.restart_the_provider(kept)
    assert (await person.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    assert not await person.active(second["access_token"])


async def test_a_code_spent_before_is_a_replay_after(person: Person, kept: Path) -> None:
    code = (await person.log_in())["code"]
    tokens = (await person.exchange(code)).json()
    person.restart_the_provider(kept)
    assert (await person.exchange(code)).json()["error"] == "invalid_grant"
    assert not await person.active(tokens["access_token"])
    assert (await person.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_what_was_revoked_stays_revoked(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    form = {"token": tokens["access_token"]}
    await person.http.post("/revoke", data=form, headers=basic(*MINE))
    person.restart_the_provider(kept)
    assert not await person.active(tokens["access_token"])
    assert await person.active(tokens["refresh_token"])


async def test_a_restart_prolongs_nothing(person: Person, kept: Path) -> None:
    tokens = await person.tokens()
    page = await person.authorize({"prompt": "login"})
    code = answered(await person.authorize())["code"]
    person.clock.advance(12 * 3600)
    person.restart_the_provider(kept)
    assert not await person.active(tokens["access_token"])
    for form in (
        {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]},
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        },
    ):
        assert (await person.token(form)).json()["error"] == "invalid_grant"
    late = await person.choose(page, account="ada")
    assert late.status_code == 400
    asked = await person.authorize({"prompt": "none"})  # the browser's cookie is over, too
    assert parse_qs(urlsplit(asked.headers["location"]).query)["error"] == ["login_required"]


# -- the files ------------------------------------------------------------------------------------


async def test_nothing_in_the_memory_can_be_used_by_who_reads_it(
    person: Person, kept: Path
) -> None:
    tokens = await person.tokens()
    await person.refresh(tokens["refresh_token"])
    answered(await person.authorize())  # a code on its way
    await person.authorize({"prompt": "login"})  # and a form
    text = (kept / "memory.json").read_text()
    internal = {one["browser"] for one in json.loads(text)["sessions"]}  # is never sent to anybody
    internal |= {one["login"]["sid"] for one in json.loads(text)["grants"]}  # stands in ID tokens
    for secret in person.provider.issued:
        assert secret in internal or secret not in text
    for value in person.http.cookies.values():
        assert value not in text


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def test_the_files_are_for_their_owner_only(person: Person, kept: Path) -> None:
    await person.tokens()
    assert modes(kept.parent) == {kept.name: 0o700}
    assert modes(kept) == {"lock": 0o600, "memory.json": 0o600, "signing-keys.json": 0o600}


Damage = Callable[[str], str]

DAMAGES: dict[str, Damage] = {
    "empty": lambda _: "",
    "cut": lambda text: text[: len(text) // 2],
    "not JSON": lambda _: "\x00\x01",
    "not an object": lambda _: "[]",
    "older": lambda text: text.replace('"version": 1', '"version": 0'),
    "without a version": lambda text: text.replace('"version": 1', '"vision": 1'),
    "deep": lambda _: "[" * 100_000,
    "half a character": lambda text: text.replace("{", '{"\\ud800": 1,', 1),
    "an empty object": lambda _: '{"version": 1}',
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_memory_is_begun_anew_and_said(
    person: Person, kept: Path, damage: Damage
) -> None:
    tokens = await person.tokens()
    file = kept / "memory.json"
    file.write_text(damage(file.read_text()))
    folder = person.restart_the_provider(kept)
    assert folder.damaged == [file]
    assert (await person.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await person.claims(tokens["access_token"]))["sub"] == "user-1815"  # the keys are whole
    fresh = await person.tokens()
    assert person.restart_the_provider(kept).damaged == []
    assert (await person.refresh(fresh["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    "damage",
    [
        *DAMAGES.values(),
        lambda text: text.replace('"d":', '"D":'),
        lambda text: text.replace('"n": "', '"n": "BBBB'),
        lambda text: text.replace('"kty": "RSA"', '"kty": 1'),
    ],
)
async def test_damaged_signing_keys_are_made_anew_and_said(
    person: Person, kept: Path, damage: Damage
) -> None:
    tokens = await person.tokens()
    file = kept / "signing-keys.json"
    file.write_text(damage(file.read_text()))
    assert person.restart_the_provider(kept).damaged == [file]
    fresh = (await person.refresh(tokens["refresh_token"])).json()  # the memory is whole
    assert (await person.claims(fresh["access_token"]))["sub"] == "user-1815"


def move(source: Path, target: Path) -> None:
    source.rename(target)


async def test_a_folder_that_vanishes_is_said_once_and_stops_nobody(
    person: Person, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    move(kept, kept.parent / "elsewhere")
    tokens = await person.tokens()
    assert (await person.refresh(tokens["refresh_token"])).status_code == 200
    (line,) = [line for line in caplog.messages if "cannot be written" in line]
    assert str(kept) in line
    move(kept.parent / "elsewhere", kept)  # and it is kept again as soon as it can be
    fresh = await person.tokens_again()
    person.restart_the_provider(kept)
    assert await person.active(fresh["access_token"])
