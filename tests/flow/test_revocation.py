"""Refresh tokens given back: now, and again later; nobody waits, and none is lost (H16, J14)."""

import asyncio
import logging
import time
from collections import deque
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from gateway import composition
from gateway.errors import Code, Unavailable
from gateway.oidc.back_channel import BackChannelAnswer, BackChannelRequest
from gateway.ports import NOBODY
from gateway.secret import RefreshToken
from gateway.session.codec import open_facts
from gateway.session.offering import GIVE_UP_AFTER
from gateway.session.revocation import LEASE
from tests.support.browser import Browser
from tests.support.crew import NEW_KEY
from tests.support.store_watcher import until
from tests.support.world import World, settings_of

CEILING = 2.0  # seconds; nothing at a provider or in a queue holds a person longer
DAY = GIVE_UP_AFTER


def refresh_tokens(world: World) -> list[str]:
    return [value for value in world.issued() if value.startswith("rt-")]


async def log_out(browser: Browser) -> None:
    begun = time.monotonic()
    answer = await browser.fetch("/bff/logout", "POST")
    assert answer.status == 200
    assert time.monotonic() - begun < CEILING


async def run_due(world: World, *gateways: composition.Gateway, after: float = LEASE) -> None:
    """Turn the clock, and let these replicas look at once."""
    world.clock.advance(after)
    await asyncio.gather(*(each.revocations.run_due() for each in gateways or [world.gateway]))


def hang(world: World, *paths: str) -> asyncio.Event:
    """Have the provider not answer at these paths until the event is set."""
    plain = world.provider.send
    gate = asyncio.Event()

    async def hanging(request: BackChannelRequest) -> BackChannelAnswer:
        if request.url.endswith(paths):
            await gate.wait()
        return await plain(request)

    world.provider.send = hanging  # type: ignore[method-assign]  # hangs at some paths
    return gate


def crash(gateway: composition.Gateway) -> None:
    """What a killed worker leaves undone."""
    for task in gateway.revocations._running:
        task.cancel()


def answers(world: World, *statuses: int, error: str = "", retry_after: int | None = None) -> None:
    """Have the revocation endpoint answer these, before it does its work."""
    body = b'{"error":"%b"}' % error.encode() if error else b""
    world.provider.answers["/revoke"] = deque(
        BackChannelAnswer(status, "application/json", body, retry_after) for status in statuses
    )


def outcomes(world: World, gateway: composition.Gateway | None = None) -> dict[str, int]:
    counts = (gateway or world.gateway).revocations.counts
    return {name: count for name, count in counts.by_outcome.items() if count}


# -- at once --------------------------------------------------------------------------------------


async def test_a_logout_gives_the_token_back_and_leaves_nothing_in_the_queue() -> None:
    world = World()
    await log_out(await world.logged_in())
    assert world.provider.revoked == refresh_tokens(world)
    assert world.revocations.due == {}
    assert outcomes(world) == {"done": 1}
    (line,) = world.audit("token.revoked")
    assert line["user"] == world.audit("login.succeeded")[0]["user"]
    assert line["session"] == world.audit("login.succeeded")[0]["session"]


async def test_the_token_is_in_the_queue_before_it_is_first_offered() -> None:
    world = World()
    browser = await world.logged_in()
    waiting: list[int] = []
    plain = world.provider.send

    async def looking(request: BackChannelRequest) -> BackChannelAnswer:
        if request.url.endswith("/revoke"):
            waiting.append(len(world.revocations.due))
        return await plain(request)

    world.provider.send = looking  # type: ignore[method-assign]  # looks, and goes on
    await log_out(browser)
    assert waiting == [1]


async def test_a_person_does_not_wait_while_nothing_answers_at_all() -> None:
    """The provider's discovery and revocation, and the queue, hang: one moment for all three."""
    world = World()
    browser = await world.logged_in()
    gate = hang(world, "/revoke", "/.well-known/openid-configuration")
    world.revocations.gate = asyncio.Event()
    fresh = world.browser(world.replica())
    fresh.cookies = browser.cookies
    await log_out(fresh)
    assert world.store.live_sessions() == {}
    assert len(world.revocations.due) == 1
    gate.set()
    world.revocations.gate.set()
    await asyncio.sleep(0.05)
    assert world.provider.revoked == refresh_tokens(world)


async def test_a_crowd_that_logs_out_while_the_endpoint_hangs_leaves_room_for_others() -> None:
    """At most six wait for it; connections to providers are for logins and refreshes as well."""
    world = World()
    facts = await _facts_of(world)
    gate = hang(world, "/revoke")
    for number in range(20):
        await world.gateway.revocations.give_back(facts, _token(number), NOBODY)
    await asyncio.sleep(0.05)
    assert len(world.gateway.revocations._running) == 6
    assert len(world.revocations.due) == 20
    gate.set()
    await asyncio.sleep(0.05)
    await run_due(world)
    assert sorted(world.provider.revoked) == sorted(f"rt-{number}" for number in range(20))
    assert world.revocations.due == {}


async def test_a_browser_that_leaves_in_the_middle_leaves_no_living_token_behind() -> None:
    world = World()
    browser = await world.logged_in()
    plain = world.store.end
    ended, told = asyncio.Event(), asyncio.Event()

    async def ends_and_tells_late(*arguments: Any, **named: Any) -> bool:
        was_there: bool = await plain(*arguments, **named)
        ended.set()
        await told.wait()
        return was_there

    world.store.end = ends_and_tells_late
    leaving = asyncio.create_task(browser.fetch("/bff/logout", "POST"))
    await until(ended.is_set)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    told.set()
    await asyncio.sleep(0.05)
    assert world.provider.revoked == refresh_tokens(world)
    await world.gateway.aclose()


async def test_a_logout_the_store_did_not_answer_gives_the_token_back_all_the_same() -> None:
    """The session may have ended unheard, and then nobody could come back for the token."""
    world = World()
    browser = await world.logged_in()
    plain = world.store.end

    async def ends_unheard(*arguments: Any, **named: Any) -> bool:
        await plain(*arguments, **named)
        raise Unavailable(Code.STORE_UNAVAILABLE)

    world.store.end = ends_unheard
    answer = await browser.fetch("/bff/logout", "POST")
    assert answer.status == 503
    await asyncio.sleep(0.05)
    assert world.provider.revoked == refresh_tokens(world)


async def test_a_logout_that_was_refused_revokes_nothing_of_the_session_that_lives() -> None:
    world = World()
    browser = await world.logged_in()
    plain = world.store.end

    async def refuses(*_: Any, **__: Any) -> bool:
        raise Unavailable(Code.STORE_UNAVAILABLE)

    world.store.end = refuses
    own = (await browser.fetch("/bff/session")).json()["session_id"]
    assert (await browser.fetch("/bff/logout", "POST")).status == 503
    assert (await browser.fetch(f"/bff/sessions/{own}", "DELETE")).status == 503
    world.store.end = plain
    await asyncio.sleep(0.05)
    assert world.provider.revoked == []
    world.clock.advance(400)  # and its refresh token is as good as before
    assert (await browser.fetch("/api/x")).status == 200


async def test_ending_ones_own_session_gives_back_what_a_refresh_has_brought_meanwhile() -> None:
    world = World(replicas=2)
    browser = await world.logged_in()
    own = (await browser.fetch("/bff/session")).json()["session_id"]
    tab = world.browser(world.gateways[1])
    tab.cookies = dict(browser.cookies)
    world.clock.advance(400)
    plain = world.stores[0].members
    listing, listed = asyncio.Event(), asyncio.Event()

    async def members(index: Any) -> Any:
        listing.set()
        await listed.wait()
        return await plain(index)

    world.stores[0].members = members
    ending = asyncio.create_task(browser.fetch(f"/bff/sessions/{own}", "DELETE"))
    await listing.wait()
    assert (await tab.fetch("/api/x")).status == 200  # rotates it
    listed.set()
    assert (await ending).status == 204
    await asyncio.sleep(0.05)
    assert world.provider.revoked == refresh_tokens(world)[-1:]


async def test_ending_ones_own_session_by_its_id_gives_its_token_back() -> None:
    world = World()
    browser = await world.logged_in()
    own = (await browser.fetch("/bff/session")).json()["session_id"]
    assert (await browser.fetch(f"/bff/sessions/{own}", "DELETE")).status == 204
    await asyncio.sleep(0.05)
    assert world.provider.revoked == refresh_tokens(world)


async def test_tokens_of_other_sessions_stay_closed_without_their_cookies() -> None:
    """They open only with that browser's cookie (ADR 0002): said in docs/sessions.md."""
    world = World()
    laptop = await world.logged_in()
    await world.logged_in()
    assert (await laptop.fetch("/bff/sessions", "DELETE")).json() == {"ended": 1}
    assert world.provider.revoked == []
    assert world.revocations.due == {}


# -- later ----------------------------------------------------------------------------------------


async def test_a_503_is_tried_again_when_the_provider_said_so() -> None:
    """RFC 7009 section 2.2.1."""
    world = World()
    browser = await world.logged_in()
    answers(world, 503, retry_after=120)
    await log_out(browser)
    assert world.provider.revoked == []
    (line,) = world.audit("token.revocation_failed")
    assert line["note"] == "the revocation endpoint answered 503; tried again later"
    await run_due(world, world.gateway, world.replica(), after=119)
    assert world.provider.seen("/revoke") == 1
    await run_due(world, after=1)
    assert world.provider.revoked == refresh_tokens(world)
    assert len(world.audit("token.revoked")) == 1
    assert outcomes(world) == {"failed": 1, "done": 1}


async def test_a_provider_that_asked_for_a_pause_is_not_shown_other_tokens_either() -> None:
    world = World()
    facts = await _facts_of(world)
    world.provider.down = True
    for number in range(2):
        task = await world.gateway.revocations.give_back(facts, _token(number), NOBODY)
        assert task is not None
        await task
        world.clock.advance(1)
    world.provider.down = False
    answers(world, 503, 503, retry_after=300)
    await run_due(world, after=LEASE - 1)  # the first of the two is due
    assert world.provider.seen("/revoke") == 3
    await run_due(world, after=20)  # the other one, too
    assert world.provider.seen("/revoke") == 3
    world.provider.answers.clear()
    await run_due(world, after=300)
    assert sorted(world.provider.revoked) == ["rt-0", "rt-1"]


async def test_a_provider_that_is_down_gets_the_token_when_it_is_back() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    for _ in range(20):
        await run_due(world, after=60)
    assert len(world.audit("token.revocation_failed")) == 1, "one line for each token, not attempt"
    asked = world.provider.seen("/revoke")
    world.provider.down = False
    await run_due(world, after=600)
    assert world.provider.revoked == refresh_tokens(world)
    assert world.revocations.due == {}
    assert 5 < asked < 20, "less and less often"


async def test_another_replica_finishes_what_a_crash_left_undone() -> None:
    world = World()
    browser = await world.logged_in()
    gate = hang(world, "/revoke")
    await log_out(browser)
    crash(world.gateway)
    gate.set()
    await asyncio.sleep(0.05)
    assert world.provider.revoked == []
    await run_due(world, world.replica())
    assert world.provider.revoked == refresh_tokens(world)
    assert world.revocations.due == {}


async def test_a_replica_that_dies_in_a_later_attempt_loses_nothing() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    world.provider.down = False
    gate = hang(world, "/revoke")
    world.clock.advance(LEASE)
    dying = asyncio.create_task(world.gateway.revocations.run_due())
    await asyncio.sleep(0.05)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    gate.set()
    other = world.replica()
    await run_due(world, other, after=LEASE - 1)
    assert world.provider.revoked == []
    await run_due(world, other, after=1)
    assert world.provider.revoked == refresh_tokens(world)


async def test_two_replicas_that_look_at_once_lose_no_token_and_share_the_work() -> None:
    world = World(replicas=2)
    facts = await _facts_of(world)
    world.provider.down = True
    for number in range(30):
        task = await world.gateway.revocations.give_back(facts, _token(number), NOBODY)
        assert task is not None
        await task
    world.provider.down = False
    await run_due(world, *world.gateways)
    assert sorted(world.provider.revoked) == sorted(f"rt-{number}" for number in range(30))
    assert world.revocations.due == {}
    done = [outcomes(world, gateway).get("done", 0) for gateway in world.gateways]
    assert min(done) > 0


async def test_a_token_nobody_takes_in_a_day_is_given_up_and_audited() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    await run_due(world, after=DAY - 1)
    assert len(world.revocations.due) == 1
    await run_due(world, after=600)
    assert world.revocations.due == {}
    line = world.audit("token.revocation_failed")[-1]
    assert line["note"] == "given up after a day: the fake is down"
    assert line["outcome"] == "failure"
    assert outcomes(world)["given_up"] == 1
    world.provider.down = False
    await run_due(world, after=DAY)
    assert world.provider.revoked == []


async def test_a_registration_that_is_wrong_is_tried_until_the_operator_has_mended_it() -> None:
    world = World()
    browser = await world.logged_in()
    answers(world, 401, 401, error="invalid_client")
    await log_out(browser)
    await run_due(world)
    assert world.provider.revoked == []
    await run_due(world)
    assert world.provider.revoked == refresh_tokens(world)


@pytest.mark.parametrize("error", ["unsupported_token_type", "invalid_request"])
async def test_a_definite_refusal_is_audited_and_not_repeated(error: str) -> None:
    world = World()
    browser = await world.logged_in()
    answers(world, 400, error=error)
    await log_out(browser)
    assert world.revocations.due == {}
    (line,) = world.audit("token.revocation_failed")
    assert line["outcome"] == "refused"
    assert line["note"] == f"the revocation endpoint answered 400 {error}"
    await run_due(world, after=600)
    assert world.provider.seen("/revoke") == 1


async def test_each_attempt_proves_the_client_anew_h4() -> None:
    """A second use of an assertion is a replay, and is refused as one."""
    key = RSAKey.generate_key(2048, private=True)
    provider = {
        "issuer": "https://id.example",
        "client_id": "spa",
        "client_auth": "private_key_jwt",
        "private_key": {"env": "PRIVATE_KEY"},
    }
    pem = key.as_pem(private=True).decode()
    world = World(settings_of({"providers": {"main": provider}}, PRIVATE_KEY=pem))
    world.provider.client_key = RSAKey.import_key(key.as_pem(private=False))
    browser = await world.logged_in()
    answers(world, 503, 503)
    await log_out(browser)
    await run_due(world)
    await run_due(world)
    sent = [request for request in world.provider.requests if request.url.endswith("/revoke")]
    assert len(sent) == 3
    seen = set()
    for request in sent:
        form = dict(pair.split("=") for pair in request.body.decode().split("&"))
        assert form["token_type_hint"] == "refresh_token"
        assert form["token"] == refresh_tokens(world)[0]
        claims = jwt.decode(form["client_assertion"], world.provider.client_key).claims
        assert claims["aud"] == "https://id.example"  # H3
        seen.add(claims["jti"])
    assert len(seen) == 3


# -- a queue that does not take it ----------------------------------------------------------------


async def test_a_full_queue_holds_nobody_and_the_token_is_offered_at_once() -> None:
    world = World()
    browser = await world.logged_in()
    world.revocations.most_entries = 0
    await log_out(browser)
    assert world.provider.revoked == refresh_tokens(world)
    assert outcomes(world) == {"not_kept": 1, "done": 1}


async def test_what_a_full_queue_did_not_take_waits_in_memory() -> None:
    world = World()
    browser = await world.logged_in()
    world.revocations.most_entries = 0
    world.provider.down = True
    await log_out(browser)
    (line,) = world.audit("token.revocation_failed")
    assert line["note"].endswith("the queue did not take it, so it is kept in memory")
    await run_due(world)
    world.revocations.most_entries, world.provider.down = 10, False
    await run_due(world)
    await run_due(world)
    assert world.provider.revoked == refresh_tokens(world)
    assert world.revocations.due == {}


async def test_memory_is_bounded_too_and_says_what_is_lost() -> None:
    world = World()
    facts = await _facts_of(world)
    world.revocations.down = world.provider.down = True
    for number in range(101):
        task = await world.gateway.revocations.give_back(facts, _token(number), NOBODY)
        assert task is not None
        await task
    lost = [line for line in world.audit("token.revocation_failed") if "lost" in line["note"]]
    assert len(lost) == 1
    world.revocations.down = world.provider.down = False
    await run_due(world)
    await run_due(world)
    assert len(world.provider.revoked) == 100


async def test_memory_is_bounded_while_the_provider_hangs_and_the_queue_is_full() -> None:
    world = World()
    facts = await _facts_of(world)
    world.revocations.most_entries = 0
    gate = hang(world, "/revoke")
    before = len(asyncio.all_tasks())
    for number in range(500):
        await world.gateway.revocations.give_back(facts, _token(number), NOBODY)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) - before < 250  # a hundred kept, and what each waits by
    gate.set()
    await world.gateway.revocations.aclose()


async def test_a_refresh_that_overtakes_the_logout_leaves_no_living_token_behind() -> None:
    """What is revoked is what the store had when the session ended, not what was opened before."""
    world = World(replicas=2)
    browser = await world.logged_in()
    other = world.browser(world.gateways[1])
    other.cookies = dict(browser.cookies)
    world.clock.advance(400)
    plain = world.store.end

    async def ends_after_a_refresh(*arguments: Any, **named: Any) -> bool:
        world.store.end = plain
        assert (await other.fetch("/api/x")).status == 200
        was_there: bool = await plain(*arguments, **named)
        return was_there

    world.store.end = ends_after_a_refresh
    await log_out(browser)
    assert len(refresh_tokens(world)) == 2
    assert set(world.provider.refresh_tokens) <= set(world.provider.revoked)
    assert world.store.live_sessions() == {}


async def test_a_store_that_is_away_does_not_keep_the_token_from_the_provider() -> None:
    world = World()
    browser = await world.logged_in()
    world.revocations.down = True
    await log_out(browser)
    assert world.provider.revoked == refresh_tokens(world)
    assert len(world.audit("token.revoked")) == 1
    await run_due(world)
    assert world.provider.seen("/revoke") == 1


# -- providers that cannot, or are not there ------------------------------------------------------


async def test_a_missing_endpoint_is_said_once_and_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.provider.metadata = {"revocation_endpoint": None}
    with caplog.at_level(logging.INFO, "gateway.revocation"):
        for _ in range(3):
            browser = await world.logged_in()
            world.revocations.down = True  # nothing is put there
            await log_out(browser)
            world.revocations.down = False
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "main" in caplog.text
    assert world.audit("token.revocation_failed") == []
    assert outcomes(world) == {}


async def test_an_endpoint_that_turns_out_to_be_missing_leaves_nothing_in_the_queue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A replica that has never met the provider has to put the token there first."""
    world = World()
    world.provider.metadata = {"revocation_endpoint": None}
    browser = await world.logged_in()
    fresh = world.browser(world.replica())
    fresh.cookies = browser.cookies
    with caplog.at_level(logging.INFO, "gateway.revocation"):
        await log_out(fresh)
    assert len(caplog.records) == 1
    assert world.revocations.due == {}
    assert world.audit("token.revocation_failed") == []


async def test_a_replica_without_the_provider_leaves_the_token_to_one_that_has_it() -> None:
    """During a rollout; nothing is sent meanwhile, least of all to another issuer (E16)."""
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    world.provider.down = False
    asked = len(world.provider.requests)
    stranger = world.replica(_without_main())
    await run_due(world, stranger)
    assert len(world.provider.requests) == asked
    await run_due(world, world.gateway)
    assert world.provider.revoked == refresh_tokens(world)


async def test_a_token_of_a_provider_that_is_gone_for_good_is_dropped_and_audited() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    world.provider.down = False
    asked = len(world.provider.requests)
    stranger = world.replica(_without_main())
    await run_due(world, stranger, after=DAY)
    assert len(world.provider.requests) == asked
    assert world.revocations.due == {}
    line = world.audit("token.revocation_failed")[-1]
    assert line["note"] == "given up after a day: its provider is not configured any more"


async def test_an_entry_under_a_key_this_replica_lacks_is_left_to_one_that_has_it() -> None:
    """A key that is being rolled out."""
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    world.provider.down = False
    keys = [{"id": "other", "secret": {"env": "OTHER_KEY"}}]
    other = world.replica(settings_of({"keys": keys}, OTHER_KEY=NEW_KEY))
    await run_due(world, other)
    assert len(world.revocations.due) == 1
    await run_due(world, world.gateway)
    assert world.provider.revoked == refresh_tokens(world)


async def test_an_entry_whose_key_is_gone_is_dropped_after_a_day_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    keys = [{"id": "other", "secret": {"env": "OTHER_KEY"}}]
    other = world.replica(settings_of({"keys": keys}, OTHER_KEY=NEW_KEY))
    with caplog.at_level(logging.WARNING, "gateway.revocation"):
        await run_due(world, other, after=DAY)
    assert world.revocations.due == {}
    assert "does not open" in caplog.text


# -- the pump -------------------------------------------------------------------------------------


async def test_the_length_of_the_queue_is_a_metric_and_so_is_what_became_of_tokens() -> None:
    world = World()
    facts = await _facts_of(world)
    world.provider.down = True
    for number in range(3):
        task = await world.gateway.revocations.give_back(facts, _token(number), NOBODY)
        assert task is not None
        await task
    await run_due(world)
    text = world.gateway.exposition().decode()
    assert "gateway_revocations_waiting 3.0" in text
    assert 'gateway_revocations_total{outcome="failed"} 4.0' in text
    assert 'gateway_revocations_total{outcome="done"} 0.0' in text


async def test_a_store_that_is_away_is_asked_again_at_the_next_look() -> None:
    world = World()
    browser = await world.logged_in()
    world.provider.down = True
    await log_out(browser)
    world.provider.down, world.revocations.down = False, True
    await run_due(world)
    world.revocations.down = False
    await run_due(world)
    assert world.provider.revoked == refresh_tokens(world)


def _without_main() -> Any:
    other = {
        "issuer": "https://other.example",
        "client_id": "spa",
        "client_secret": {"env": "CLIENT_SECRET"},
    }
    return settings_of({"providers": {"other": other}})


async def _facts_of(world: World) -> Any:
    """The facts of a session, and a provider that the gateway has met."""
    browser = await world.logged_in()
    lookup = world.lookup_of(browser)
    record = world.store.live_sessions()[lookup]
    return open_facts(world.ring, lookup, record)


def _token(number: int) -> RefreshToken:
    return RefreshToken(f"rt-{number}")
