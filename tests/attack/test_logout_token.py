"""Whoever could forge or repeat a provider's logout could log anybody out (J4 to J19).

Each attempt asserts that the session it is aimed at goes on, and that the provider heard nothing.
"""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote, urlencode

import pytest
from joserfc import jws

from gateway.session.provider import REFETCHES
from gateway.web.failure_limit import (
    ADMITTED,
    FAILURES,
    MOST_ADDRESSES,
    WINDOW,
    FailureLimit,
)
from gateway.web.provider_logout import FRAMES
from tests.support.asgi import call
from tests.support.browser import Browser
from tests.support.clock import TurnableClock
from tests.support.logout_tokens import (
    EVENT,
    FORM,
    CountingJose,
    deliver,
    frame,
    framed,
    logout_claims,
    logout_token,
    post,
)
from tests.support.provider import EC_KEY, KEY, OTHER_KEY, Claims, sign
from tests.support.world import BASE, ISSUER, SESSION, World, settings_of

TYPE = {"typ": "logout+jwt"}
MANY = 300


async def goes_on(world: World, *browsers: Browser) -> None:
    """Assert the absence of every effect: sessions live, nothing audited, nothing revoked."""
    for browser in browsers:
        assert (await browser.fetch("/bff/session")).json()["authenticated"] is True
        assert (await browser.fetch("/api/x")).status == 200
    assert len(world.store.live_sessions()) == len(browsers)
    assert world.audit("session.ended") == []
    assert world.provider.revoked == []


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unsigned(claims: Claims, alg: str) -> str:
    header = b64(json.dumps({"alg": alg, "kid": "k1", **TYPE}).encode())
    return f"{header}.{b64(json.dumps(claims).encode())}."


def mac_with(claims: Claims, secret: bytes) -> str:
    header = {"alg": "HS256", "kid": "k1", **TYPE}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def raw(payload: str) -> str:
    """Exactly this payload, rightly signed."""
    header = {"alg": "RS256", "kid": "k1", **TYPE}
    return jws.serialize_compact(header, payload.encode(), KEY, algorithms=["RS256"])


def twice(claims: Claims, member: str) -> str:
    text = json.dumps(claims)
    return raw(text.replace("{", "{" + f'"{member}": 1, ', 1))


FORGERIES: dict[str, Callable[[Claims], str]] = {
    "alg none": lambda claims: unsigned(claims, "none"),
    "alg None": lambda claims: unsigned(claims, "None"),
    "alg RS256, no signature": lambda claims: unsigned(claims, "RS256"),
    "HS256 with the public key": lambda claims: mac_with(claims, KEY.as_pem(private=False)),
    "HS256 with the client secret": lambda claims: mac_with(
        claims, b"a-client-secret-of-32-characters"
    ),
    "a stranger's key under the provider's kid": lambda claims: sign(
        claims, OTHER_KEY, {"kid": "k1", **TYPE}
    ),
    "an unknown kid": lambda claims: sign(claims, OTHER_KEY, TYPE),
    "an alg nobody chose": lambda claims: sign(claims, EC_KEY, {"alg": "ES256", **TYPE}),
    "typ at+jwt": lambda claims: sign(claims, header={"typ": "at+jwt"}),
    "typ secevent+jwt": lambda claims: sign(claims, header={"typ": "secevent+jwt"}),
    "iss twice": lambda claims: twice(claims, "iss"),
    "nonce hidden by a second events": lambda claims: twice(claims, "events"),
    "claims in a list": lambda claims: raw(json.dumps([claims])),
    "too long": lambda claims: sign({**claims, "x": "y" * 20_000}, header=TYPE),
    "no token at all": lambda claims: "garbage",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_logout_token_ends_no_session_j5(name: str) -> None:
    world = World()
    world.provider.jwks = [KEY.as_dict(private=False), EC_KEY.as_dict(private=False)]
    browser = await world.logged_in()
    answer = await deliver(world, FORGERIES[name](logout_claims(world.provider)))
    assert answer.status == 400
    assert answer.json()["code"] in ("logout_token.malformed", "logout_token.signature")
    assert answer.one("cache-control") == "no-store"
    await goes_on(world, browser)


NOW = 1_700_000_000
LIES: dict[str, Claims] = {
    "another issuer": {"iss": "https://evil.example"},
    "an issuer with a slash": {"iss": ISSUER + "/"},
    "no iss": {"iss": ...},
    "another audience": {"aud": "other"},
    "strangers among the audiences": {"aud": ["spa", "other"]},
    "no aud": {"aud": ...},
    "another azp": {"azp": "other"},
    "expired": {"exp": NOW - 31},
    "no exp": {"exp": ...},
    "good for two days": {"exp": NOW + 2 * 86400},
    "iat in the future": {"iat": NOW + 31},
    "no iat": {"iat": ...},
    "no jti": {"jti": ...},
    "a jti that is no text": {"jti": 7},
    "neither sub nor sid": {"sub": ..., "sid": ...},
    "sub of the wrong type": {"sub": ["ada"]},
    "sid of the wrong type": {"sid": 1},
    "sub null beside a sid": {"sub": None},
    "a nonce": {"nonce": "x"},
    "a nonce that is null": {"nonce": None},
    "no events": {"events": ...},
    "events in a list": {"events": [EVENT]},
    "events as text": {"events": EVENT},
    "events true": {"events": True},
    "events empty": {"events": {}},
    "the event with https": {"events": {EVENT.replace("http:", "https:"): {}}},
    "the event misspelled": {"events": {EVENT.replace("backchannel", "back-channel"): {}}},
    "the event's value a text": {"events": {EVENT: ""}},
    "the event's value true": {"events": {EVENT: True}},
    "the event's value null": {"events": {EVENT: None}},
}


@pytest.mark.parametrize("name", LIES)
async def test_a_signed_token_that_is_no_logout_token_ends_no_session_j6_to_j9(name: str) -> None:
    world = World()
    assert world.clock.now() == NOW
    browser = await world.logged_in()
    answer = await deliver(world, logout_token(world.provider, **LIES[name]))
    assert answer.status == 400
    assert answer.json()["code"] == "logout_token.claims"
    await goes_on(world, browser)
    assert "logout_token.claims" in [line["code"] for line in world.audit("request.refused")]


async def test_the_id_token_of_the_login_is_no_logout_token_g17() -> None:
    world = World()
    browser = await world.logged_in()
    (id_token,) = [value for value in world.provider.issued if value.count(".") == 2]
    assert (await deliver(world, id_token)).status == 400
    await goes_on(world, browser)


async def test_a_token_of_another_client_at_the_same_issuer_ends_no_session() -> None:
    """Two registrations at one issuer: each gets its own logout tokens."""
    main = BASE["providers"]["main"]
    world = World(settings_of({"providers": {"main": main, "other": {**main, "client_id": "x"}}}))
    browser = await world.logged_in("main")
    token = logout_token(world.provider, aud="x")
    assert (await deliver(world, token, name="main")).status == 400
    assert (await deliver(world, token, name="other")).status == 200
    await goes_on(world, browser)


async def test_a_sid_of_another_person_ends_nobody_j12() -> None:
    world = World()
    ada = await world.logged_in()
    world.provider.subject, world.provider.sid = "bob", "sid-2"
    bob = await world.logged_in()
    for sub, sid in (("bob", "sid-1"), ("ada", "sid-2")):
        answer = await deliver(world, logout_token(world.provider, sub=sub, sid=sid))
        assert answer.status == 200
    await goes_on(world, ada, bob)
    # Nor does the mark that such an order leaves stand in anybody's way.
    assert (await world.logged_in()).cookies


# -- how it is sent


async def test_only_a_form_is_read_j4() -> None:
    world = World()
    browser = await world.logged_in()
    token = logout_token(world.provider)
    as_json = json.dumps({"logout_token": token}).encode()
    for content_type, body in (
        (b"application/json", as_json),
        (b"text/plain", urlencode({"logout_token": token}).encode()),
        (b"multipart/form-data; boundary=x", urlencode({"logout_token": token}).encode()),
        (b"application/jwt", token.encode()),
        (b"", urlencode({"logout_token": token}).encode()),
    ):
        answer = await post(world, body, content_type=content_type)
        assert answer.status == 400
        assert answer.json()["code"] == "body.malformed"
    assert (await post(world, as_json)).status == 400  # as a form it holds no token
    await goes_on(world, browser)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_no_other_method_ends_anything_j4(method: str) -> None:
    world = World()
    browser = await world.logged_in()
    body = urlencode({"logout_token": logout_token(world.provider)})
    target = f"/bff/backchannel-logout/main?{body}".encode()
    headers = [(b"host", b"app.example"), (b"content-type", FORM)]
    answer = await call(world.gateway.public, method, target, headers, body.encode())
    assert answer.status == 405
    assert answer.one("allow") == "POST"
    await goes_on(world, browser)


async def test_two_tokens_end_nothing_j4() -> None:
    world = World()
    browser = await world.logged_in()
    tokens = [("logout_token", logout_token(world.provider)) for _ in range(2)]
    answer = await post(world, urlencode(tokens).encode())
    assert answer.status == 400
    assert answer.json()["code"] == "logout_token.missing"
    await goes_on(world, browser)


async def test_ten_megabytes_are_refused_after_a_few_of_them_j17() -> None:
    world = World(jose=(jose := CountingJose()))
    browser = await world.logged_in()
    before, taken = jose.checks, 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b"logout_token=" + logout_token(world.provider).encode() + b"&x="
        for _ in range(640):
            taken += 16384
            yield b"x" * 16384

    headers = [(b"host", b"app.example"), (b"content-type", FORM)]
    target = b"/bff/backchannel-logout/main"
    answer = await call(world.gateway.public, "POST", target, headers, body())
    assert answer.status == 413
    assert taken <= 128 * 1024
    assert jose.checks == before
    await goes_on(world, browser)


@pytest.mark.parametrize("name", ["nobody", "plain", "main/x", "", "MAIN", "%6dain"])
async def test_a_provider_that_is_none_or_has_no_id_tokens_is_404(name: str) -> None:
    plain = {
        "kind": "oauth2",
        "client_id": "spa",
        "client_secret": {"env": "CLIENT_SECRET"},
        "endpoints": {
            "authorization_endpoint": "https://plain.example/authorize",
            "token_endpoint": "https://plain.example/token",
            "userinfo_endpoint": "https://plain.example/userinfo",
        },
    }
    world = World(settings_of({"providers": {**BASE["providers"], "plain": plain}}))
    browser = await world.logged_in()
    answer = await deliver(world, logout_token(world.provider), name=name)
    assert answer.status in (400, 404)
    assert (await frame(world, "iss=x&sid=y", name=name)).status in (400, 404)
    await goes_on(world, browser)


# -- again and again


async def test_a_logout_token_that_was_kept_ends_no_later_session_j11() -> None:
    world = World(replicas=2)
    await world.logged_in()
    token = logout_token(world.provider)
    assert (await deliver(world, token)).status == 200
    assert world.store.live_sessions() == {}
    world.clock.advance(2)
    await world.logged_in()
    for seconds in (0, 60, 60, 29):  # to the last moment in which the token is good
        world.clock.advance(seconds)
        for gateway in world.gateways:
            answer = await deliver(world, token, gateway=gateway)
            assert answer.status == 400
            assert answer.json()["code"] in ("logout_token.replayed", "logout_token.claims")
    assert len(world.store.live_sessions()) == 1
    assert len(world.audit("session.ended")) == 1
    assert "logout_token.replayed" in [line["code"] for line in world.audit("request.refused")]


async def test_a_flood_of_failures_costs_few_signature_checks_j17() -> None:
    world = World(jose=(jose := CountingJose()))
    browser = await world.logged_in()
    before = jose.checks
    forged = sign(logout_claims(world.provider), OTHER_KEY, {"kid": "k1", **TYPE})
    answers = [await deliver(world, forged) for _ in range(MANY)]
    assert {answer.status for answer in answers} == {400, 429}
    assert answers[-1].json()["code"] == "logout_token.too_many"
    assert 1 <= int(answers[-1].one("retry-after") or "") <= WINDOW
    assert jose.checks - before <= FAILURES + 1 + ADMITTED
    await goes_on(world, browser)
    # Others are not kept out, and neither is this address for long.
    elsewhere = await deliver(world, logout_token(world.provider, sid="x"), peer="192.0.2.11")
    assert elsewhere.status == 200
    world.clock.advance(WINDOW)
    assert (await deliver(world, logout_token(world.provider, sid="x"))).status == 200


async def test_unknown_keys_fetch_little_and_leave_logins_their_own_look_at_new_ones_f4() -> None:
    world = World()
    await world.logged_in()
    before = world.provider.seen("/jwks")
    for number in range(FAILURES):
        forged = sign(logout_claims(world.provider), OTHER_KEY, {"kid": f"k-{number}", **TYPE})
        assert (await deliver(world, forged)).status == 400
    assert world.provider.seen("/jwks") - before <= REFETCHES
    world.provider.jwks = [OTHER_KEY.as_dict(private=False)]
    world.provider.sign = lambda claims: sign(claims, OTHER_KEY)
    assert SESSION in (await world.logged_in()).cookies


async def test_a_flood_that_needs_no_signature_check_is_limited_as_well_j17() -> None:
    world = World()
    browser = await world.logged_in()
    statuses = [(await post(world, b"x=y")).status for _ in range(50)]
    assert statuses == [400] * (FAILURES + 1) + [429] * (49 - FAILURES)
    await goes_on(world, browser)


async def test_a_provider_that_ends_many_sessions_is_never_limited_j17() -> None:
    world = World()
    statuses = set()
    for number in range(1000):
        token = logout_token(world.provider, sid=f"sid-{number}")
        statuses.add((await deliver(world, token)).status)
    assert statuses == {200}


def test_the_table_of_addresses_has_a_bound_j17() -> None:
    limit = FailureLimit(TurnableClock())
    for number in range(3 * MOST_ADDRESSES):
        limit.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limit) == MOST_ADDRESSES


def test_whoever_has_an_ipv6_network_is_one_client_j17() -> None:
    limit = FailureLimit(TurnableClock())
    for number in range(MANY):
        limit.failed(f"2001:db8::{number:x}")
    assert len(limit) == 1


# -- through a frame


QUERIES = {
    "a guessed sid": f"iss={quote(ISSUER)}&sid=sid-2",
    "a wrong issuer": "iss=https%3A%2F%2Fevil.example&sid=sid-1",
    "the issuer with a slash": f"iss={quote(ISSUER)}/&sid=sid-1",
    "the issuer in upper case": f"iss={quote(ISSUER.upper())}&sid=sid-1",
    "no issuer": "sid=sid-1",
    "no sid": f"iss={quote(ISSUER)}",
    "an empty sid": f"iss={quote(ISSUER)}&sid=",
    "neither": "",
    "two sids": f"iss={quote(ISSUER)}&sid=sid-1&sid=sid-1",
    "two issuers": f"iss={quote(ISSUER)}&iss=x&sid=sid-1",
    "a sid of wild octets": f"iss={quote(ISSUER)}&sid=%ff%00",
    "the subject instead": f"iss={quote(ISSUER)}&sub=ada",
}


@pytest.mark.parametrize("name", QUERIES)
async def test_a_forged_front_channel_logout_does_nothing_and_says_nothing_j18(name: str) -> None:
    world = framed()
    browser = await world.logged_in()
    answer = await frame(world, QUERIES[name])
    assert answer.status == 200
    await goes_on(world, browser)
    right = await frame(world, f"iss={quote(ISSUER)}&sid=sid-1")
    assert world.store.live_sessions() == {}
    # What was ended and what was not cannot be told apart.
    assert (right.status, right.fields[:-1], right.body) == (
        answer.status,
        answer.fields[:-1],
        answer.body,
    )


async def test_a_front_channel_logout_never_makes_the_gateway_revoke_anything_h17() -> None:
    world = framed()
    browser = await world.logged_in()
    asked = len(world.provider.requests)
    await frame(world, f"iss={quote(ISSUER)}&sid=sid-1")
    assert (await browser.fetch("/bff/session")).json()["authenticated"] is False
    assert world.provider.revoked == []
    assert len(world.provider.requests) == asked


async def test_nobody_guesses_sids_through_the_front_channel_for_long_j17() -> None:
    world = framed()
    browser = await world.logged_in()
    reads = world.store.reads
    guesses = [f"iss={quote(ISSUER)}&sid=guess-{n}" for n in range(FRAMES + ADMITTED + 20)]
    answers = [await frame(world, guess) for guess in guesses]
    assert answers[-1].status == 429
    assert world.store.reads - reads <= 4 * (FRAMES + 1 + ADMITTED)
    await goes_on(world, browser)
    # The back channel has a limit of its own: its provider may be behind the same address.
    assert (await deliver(world, logout_token(world.provider))).status == 200
    assert world.store.live_sessions() == {}


async def test_ordinary_frames_that_find_nothing_are_answered_alike_j18() -> None:
    """The back channel was quicker: nobody has done anything wrong."""
    world = framed()
    await world.logged_in()
    for n in range(MANY):
        assert (await frame(world, f"iss={quote(ISSUER)}&sid=gone-{n}")).status == 200
    assert (await frame(world, f"iss={quote(ISSUER)}&sid=sid-1")).status == 200
    assert world.store.live_sessions() == {}


async def test_the_front_channel_is_shut_unless_somebody_opened_it() -> None:
    world = World()
    browser = await world.logged_in()
    assert (await frame(world, f"iss={quote(ISSUER)}&sid=sid-1")).status == 404
    await goes_on(world, browser)
