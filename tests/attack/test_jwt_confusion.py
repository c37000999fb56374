"""Tokens that are not what they seem: each must end without a session (sections F and G)."""

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from tests.support.provider import EC_KEY, KEY, OTHER_KEY, Claims, sign
from tests.support.world import BASE, SESSION, World, settings_of

Forge = Callable[[Claims], str]


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unsigned(alg: str) -> Forge:
    def forge(claims: Claims) -> str:
        header = b64(json.dumps({"alg": alg, "kid": "k1"}).encode())
        return f"{header}.{b64(json.dumps(claims).encode())}."

    return forge


def mac_with(secret: bytes) -> Forge:
    def forge(claims: Claims) -> str:
        parts = ({"alg": "HS256", "kid": "k1"}, claims)
        signed = ".".join(b64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"

    return forge


def with_header(**header: Any) -> Forge:
    def forge(claims: Claims) -> str:
        protected = {"alg": "RS256", "kid": "k1", **header}
        head, body = (b64(json.dumps(part).encode()) for part in (protected, claims))
        genuine = sign(claims, OTHER_KEY if "jwk" in header or "jku" in header else KEY)
        return f"{head}.{body}.{genuine.split('.')[2]}"

    return forge


def flipped(part: int) -> Forge:
    def forge(claims: Claims) -> str:
        parts = sign(claims).split(".")
        letter = parts[part][10]
        parts[part] = parts[part][:10] + ("A" if letter != "A" else "B") + parts[part][11:]
        return ".".join(parts)

    return forge


FORGERIES: dict[str, Forge] = {
    "none": unsigned("none"),
    "None": unsigned("None"),
    "nOnE": unsigned("nOnE"),
    "empty alg": unsigned(""),
    "rs256 without a signature": unsigned("RS256"),
    "hs256 with the public key": mac_with(KEY.as_pem(private=False)),
    "hs256 with the client secret": mac_with(b"a-client-secret-of-32-characters"),
    "a stranger's key under our kid": lambda claims: sign(claims, OTHER_KEY, {"kid": "k1"}),
    "a stranger's key in the header": with_header(jwk=OTHER_KEY.as_dict(private=False)),
    "a key from elsewhere": with_header(jku="https://evil.example/jwks"),
    "a certificate in the header": with_header(x5c=["MIIB"]),
    "an unknown critical extension": with_header(crit=["exp"], exp=1),
    "detached payload": with_header(b64=False, crit=["b64"]),
    "an unknown kid": lambda claims: sign(claims, OTHER_KEY),
    "a kid that is a path": lambda claims: sign(claims, OTHER_KEY, {"kid": "../../dev/null"}),
    "an algorithm nobody chose": lambda claims: sign(claims, EC_KEY, {"alg": "ES256"}),
    "a changed header": flipped(0),
    "changed claims": flipped(1),
    "a changed signature": flipped(2),
    "an access token": lambda claims: sign(claims, header={"typ": "at+jwt"}),
    "a logout token": lambda claims: sign(claims, header={"typ": "logout+jwt"}),
    "four parts": lambda claims: sign(claims) + ".x",
    "two parts": lambda claims: sign(claims).rpartition(".")[0],
    "not a token": lambda claims: "garbage",
    "far too long": lambda claims: sign({**claims, "x": "y" * 70_000}),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_id_token_makes_no_session(name: str) -> None:
    world = World()
    world.provider.jwks = [KEY.as_dict(private=False), EC_KEY.as_dict(private=False)]
    world.provider.sign = FORGERIES[name]
    browser = world.browser()
    page = await browser.navigate("/bff/login")
    assert page.status == 502
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    assert world.audit("login.succeeded") == []
    assert all("evil.example" not in request.url for request in world.provider.requests)
    # Refused before any token of the answer was used (E6).
    assert world.provider.seen("/userinfo") == 0


def replaced(**changes: Any) -> Callable[[Claims], Claims]:
    return lambda claims: {k: v for k, v in {**claims, **changes}.items() if v is not ...}


NOW = 1_700_000_000
LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another issuer": (replaced(iss="https://evil.example"), "id_token.issuer"),
    "an issuer with a slash": (replaced(iss="https://id.example/"), "id_token.issuer"),
    "no issuer": (replaced(iss=...), "id_token.issuer"),
    "another audience": (replaced(aud="other"), "id_token.audience"),
    "another audience but our azp": (replaced(aud="other", azp="spa"), "id_token.audience"),
    "a stranger among the audiences": (replaced(aud=["spa", "evil"]), "id_token.audience"),
    "no audience": (replaced(aud=...), "id_token.audience"),
    "another azp": (replaced(azp="other"), "id_token.audience"),
    "expired": (replaced(exp=NOW - 121), "id_token.time"),
    "no exp": (replaced(exp=...), "id_token.time"),
    "exp as text": (replaced(exp="soon"), "id_token.time"),
    "issued in the future": (replaced(iat=NOW + 600), "id_token.time"),
    "issued ten years ago": (replaced(iat=NOW - 10 * 365 * 86400), "id_token.time"),
    "not valid yet": (replaced(nbf=NOW + 600), "id_token.time"),
    "another nonce": (replaced(nonce="other"), "id_token.nonce"),
    "no nonce": (replaced(nonce=...), "id_token.nonce"),
    "an empty subject": (replaced(sub=""), "id_token.subject"),
    "a subject that is a number": (replaced(sub=7), "id_token.subject"),
    "a subject too long": (replaced(sub="x" * 256), "id_token.subject"),
    "a wrong at_hash": (replaced(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "id_token.at_hash"),
    "logout events": (
        replaced(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        "id_token.malformed",
    ),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_well_signed_lie_makes_no_session(name: str) -> None:
    change, code = LIES[name]
    world = World()
    world.provider.change_id_token = change
    browser = world.browser()
    page = await browser.navigate("/bff/login")
    assert page.status == 502
    assert SESSION not in browser.cookies
    assert world.store.live_sessions() == {}
    assert [line["code"] for line in world.audit("login.failed")] == [code]


async def test_an_answer_without_the_id_token_is_no_login_g1() -> None:
    world = World()
    world.provider.change_token_answer = lambda answer: {
        name: value for name, value in answer.items() if name != "id_token"
    }
    browser = world.browser()
    await browser.navigate("/bff/login")
    assert SESSION not in browser.cookies
    assert world.audit("login.failed")[0]["code"] == "id_token.missing"


async def test_userinfo_of_somebody_else_is_no_login_g15() -> None:
    main = {**BASE["providers"]["main"], "fetch_userinfo": True}
    world = World(settings_of({"providers": {"main": main}}))
    world.provider.userinfo = {"sub": "grace", "name": "Grace"}
    browser = world.browser()
    await browser.navigate("/bff/login")
    assert SESSION not in browser.cookies
    assert world.audit("login.failed")[0]["code"] == "userinfo.invalid"


async def test_a_flood_of_unknown_kids_fetches_the_keys_a_few_times_f4() -> None:
    world = World()
    world.provider.sign = lambda claims: sign(claims, OTHER_KEY)
    for _ in range(30):
        await world.browser().navigate("/bff/login")
    assert world.provider.seen("/jwks") <= 3
    world.provider.sign = None
    assert SESSION in (await world.logged_in()).cookies


async def test_a_key_rotated_in_right_before_signing_costs_one_fetch() -> None:
    world = World()
    await world.logged_in()
    world.provider.jwks = [OTHER_KEY.as_dict(private=False)]
    world.provider.sign = lambda claims: sign(claims, OTHER_KEY)
    assert SESSION in (await world.logged_in()).cookies
    assert world.provider.seen("/jwks") == 2


async def test_after_a_rotation_all_who_log_in_at_once_get_in_by_one_fetch_f4() -> None:
    world = World()
    await world.logged_in()
    world.provider.jwks = [OTHER_KEY.as_dict(private=False)]
    world.provider.sign = lambda claims: sign(claims, OTHER_KEY)
    plain = world.provider.send

    async def slowly(request: BackChannelRequest) -> BackChannelAnswer:
        await asyncio.sleep(0.02)
        return await plain(request)

    world.provider.send = slowly  # type: ignore[method-assign]  # the same, later
    browsers = await asyncio.gather(*(world.logged_in() for _ in range(8)))
    assert all(SESSION in browser.cookies for browser in browsers)
    assert world.provider.seen("/jwks") == 2


@pytest.mark.parametrize("key", ["HS256", "none"])
async def test_metadata_that_offers_weak_algorithms_changes_nothing_f6(key: str) -> None:
    world = World()
    world.provider.metadata = {"id_token_signing_alg_values_supported": [key]}
    world.provider.sign = unsigned("none") if key == "none" else mac_with(KEY.as_pem(private=False))
    browser = world.browser()
    await browser.navigate("/bff/login")
    assert SESSION not in browser.cookies
