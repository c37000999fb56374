"""The store fails behind a whole gateway that people are using: 503, and nobody is logged out.

Two worker processes, a real redis-server, a provider, an
API that says whose token it was shown, and a crowd that is logged in. What `test_store_faults.py`
asks of the adapter is asked here of what a browser sees (F1 to F7, D11).
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from gateway import config
from gateway.adapters.system import SystemEntropy
from gateway.session.sealing import KeyRing
from tests.support.crew import SECRETS, Crew
from tests.support.crowd import WITH_A_SESSION, Crowd, Told, busy, names_somebody_else, takes_back
from tests.support.outages import (
    AS_DELIVERED,
    PATIENT,
    PEOPLE,
    SESSION,
    Place,
    a_place,
    all_is_well_again,
    is_an_outage,
    nobody_is_logged_out,
)
from tests.support.redis_servers import RealServer

pytestmark = pytest.mark.e2e

AT_ONCE = 3.0  # seconds; half of one is promised, a stock client takes a minute
SOON = 5.0  # seconds; one is promised
REMEMBERED = 2.0  # seconds after which no worker believes what it has in memory; one is promised


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("patient"), timeouts=PATIENT) as place:
        yield place


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("hasty"), timeouts=AS_DELIVERED) as place:
        yield place


@asynccontextmanager
async def found_well(shared: Place) -> AsyncIterator[Place]:
    await shared.until_ready()
    yield shared
    assert shared.crew.metric("gateway_worker_restarts_total") == 0
    assert "Traceback" not in shared.crew.program.output


@pytest.fixture
async def place(patient: Place) -> AsyncIterator[Place]:
    """The gateway, healthy; the next test finds it so, too."""
    async with found_well(patient) as place:
        yield place


@pytest.fixture
async def hasty_place(hasty: Place) -> AsyncIterator[Place]:
    """As `place`, with the timeouts a gateway is delivered with."""
    async with found_well(hasty) as place:
        yield place


@dataclass
class Watch:
    """What the operators' listener said, and how long it took."""

    alive: list[tuple[int, float]]
    ready: list[tuple[float, int, float]]  # asked when, said what, when


@asynccontextmanager
async def watching(crew: Crew) -> AsyncIterator[Watch]:
    """Ask for liveness and readiness ten times a second."""
    watch = Watch([], [])
    stopping = False

    async def ask() -> None:
        while not stopping:
            began = time.monotonic()
            status, _ = await asyncio.to_thread(crew.get, "/livez")
            watch.alive.append((status, time.monotonic() - began))
            began = time.monotonic()
            status, _ = await asyncio.to_thread(crew.get, "/readyz")
            watch.ready.append((began, status, time.monotonic()))
            await asyncio.sleep(0.1)

    asking = asyncio.create_task(ask())
    try:
        yield watch
    finally:
        stopping = True
        await asking


def not_served(crowd: Crowd) -> list[Told]:
    """Who asked for something that needs a session, and did not get it."""
    return [one for one in crowd.told if one.kind in WITH_A_SESSION and one.status != 200]


def back(crowd: Crowd, healed: float) -> list[Told]:
    """Who has been served since."""
    return [one for one in crowd.of(healed, time.monotonic()) if one.status == 200]


async def goes_through(
    place: Place, fail: Callable[[], None], heal: Callable[[], None], *, seconds: float
) -> Crowd:
    """A crowd before, during and after an outage; what F1 and F2 have in common."""
    crowd = await place.crowd()
    async with watching(place.crew) as watch, busy(crowd):
        await asyncio.sleep(1.0)
        failed = time.monotonic()
        await asyncio.to_thread(fail)
        await asyncio.sleep(seconds)
        ending = time.monotonic()
        await asyncio.to_thread(heal)
        healed = time.monotonic()
        async with asyncio.timeout(SOON):
            while not back(crowd, healed):  # noqa: ASYNC110  the crowd has no event
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
    nobody_is_logged_out(crowd)
    assert any(one.status == 200 for one in crowd.of(0, failed))
    # Memory serves for a moment; then there is one answer, and it comes soon.
    assert all(one.status == 200 or is_an_outage(one) for one in crowd.of(failed, ending))
    settled = crowd.of(failed + REMEMBERED, ending)
    assert len(settled) > 100
    for one in settled:
        assert is_an_outage(one), one
        assert one.all(b"retry-after") == [b"1"]
        assert one.took < AT_ONCE, one
    # Whatever needs no session is there all the time.
    for one in crowd.of(0, healed + SOON, frozenset({"login", "file"})):
        assert one.status == (303 if one.kind == "login" else 200), one
        assert one.took < AT_ONCE, one
    # Probes: restarting a gateway would help nobody, sending requests elsewhere might.
    assert {status for status, _ in watch.alive} == {200}
    assert max(took for _, took in watch.alive) < AT_ONCE
    told = {said for asked, said, heard in watch.ready if asked > failed + 1 and heard < ending}
    assert told == {503}
    await all_is_well_again(crowd)
    return crowd


async def test_f1_a_stopped_store_is_a_503_and_everybody_goes_on_after_its_return(
    hasty_place: Place,
) -> None:
    await goes_through(hasty_place, hasty_place.server.stop, hasty_place.server.start, seconds=4)


async def test_f2_a_store_paused_for_ten_seconds_is_a_503_and_everybody_goes_on(
    hasty_place: Place,
) -> None:
    await goes_through(hasty_place, hasty_place.server.freeze, hasty_place.server.thaw, seconds=10)


async def test_f4_a_read_only_store_serves_who_is_there_and_admits_nobody(place: Place) -> None:
    """Their idle deadlines cannot be moved meanwhile, and no token can be renewed."""
    crowd = await place.crowd(seen_ago=120)  # so that every request wants to write
    place.provider.lifetime = 3  # seconds; renewed when half of them are over
    renewed = place.browser()
    await renewed.navigate("/bff/login")
    place.server.command("REPLICAOF", "127.0.0.1", "1")
    try:
        async with busy(crowd):
            await asyncio.sleep(2.0)
        answer = await renewed.fetch("/api/x")
        assert answer.status == 503
        assert answer.json()["code"] == "store.unavailable"
        assert answer.all("set-cookie") == []
        stranger = place.browser()
        refused = await stranger.navigate("/bff/login")
        assert refused.status == 503
        assert refused.one("retry-after") == "1"
        assert SESSION not in stranger.cookies
    finally:
        place.provider.lifetime = 300
        place.server.command("REPLICAOF", "NO", "ONE")
    nobody_is_logged_out(crowd)
    few = not_served(crowd)  # a connection on which an error came is closed, maybe under somebody
    assert all(is_an_outage(one) for one in few), few
    assert len(few) <= len(crowd.told) // 50
    await all_is_well_again(crowd)
    assert (await renewed.fetch("/api/x")).status == 200
    await stranger.navigate("/bff/login")
    assert SESSION in stranger.cookies


async def test_f4_a_full_store_serves_who_is_there_and_admits_nobody(place: Place) -> None:
    crowd = await place.crowd(seen_ago=120)
    place.server.command("CONFIG", "SET", "maxmemory", "1")
    try:
        async with busy(crowd):
            await asyncio.sleep(1.0)
        stranger = place.browser()
        refused = await stranger.navigate("/bff/login")
        assert (refused.status, SESSION in stranger.cookies) == (503, False)
    finally:
        place.server.command("CONFIG", "SET", "maxmemory", "0")
    nobody_is_logged_out(crowd)
    few = not_served(crowd)  # a connection on which an error came is closed, maybe under somebody
    assert all(is_an_outage(one) for one in few), few
    assert len(few) <= len(crowd.told) // 50
    await all_is_well_again(crowd)


async def test_f5_connections_that_the_store_closes_cost_no_request(place: Place) -> None:
    crowd = await place.crowd(seen_ago=120)
    async with busy(crowd):
        for _ in range(10):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(place.server.command, "CLIENT", "KILL", "TYPE", "normal")
            await asyncio.to_thread(place.server.command, "CLIENT", "KILL", "TYPE", "pubsub")
    nobody_is_logged_out(crowd)
    assert not_served(crowd) == []


async def test_f5_a_store_that_is_restarted_between_two_bursts_costs_no_request(
    place: Place,
) -> None:
    crowd = await place.crowd(seen_ago=120)
    for _ in range(2):
        await all_is_well_again(crowd)
        place.server.stop()
        place.server.start()
    await all_is_well_again(crowd)
    nobody_is_logged_out(crowd)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a changed octet among the facts": lambda record: changed(record, 40),
    "a changed octet among the tokens": lambda record: changed(record, -40),
    "cut in half": lambda record: record[: len(record) // 2],
    "cut to the generation": lambda record: record[:8],
    "emptied": lambda record: b"",
    "another generation": lambda record: (7).to_bytes(8, "big") + record[8:],
    "of a newer format": lambda record: record[:8] + b"\x02" + record[9:],
    "under a key nobody has": lambda record: record.replace(b"\x02k1", b"\x02k9"),
    "not ours at all": lambda record: b"<!doctype html>",
}


def changed(record: bytes, at: int) -> bytes:
    octets = bytearray(record)
    octets[at] ^= 1
    return bytes(octets)


async def test_f7_a_damaged_record_is_a_login_for_that_person_and_for_nobody_else(
    place: Place,
) -> None:
    """It is kept, and so is the cookie: a release or a key that can read it may come back.

    Nothing at all is something no release has written: that cookie goes.
    """
    crowd = await place.crowd()
    ring = KeyRing(config.load(place.crew.file, SECRETS).keys, SystemEntropy())
    victims = dict(zip(DAMAGE, crowd.cookies, strict=False))
    await all_is_well_again(crowd)
    kept: dict[str, bytes] = {}
    for name, person in victims.items():
        handle = ring.read_handle(crowd.cookies[person].partition("=")[2])
        assert handle is not None
        key = f"gw:s:{ring.lookup(handle)}"
        record = place.server.command("GET", key)
        assert isinstance(record, bytes)
        kept[key] = DAMAGE[name](record)
        assert kept[key] != record
        place.server.command("SET", key, kept[key], "KEEPTTL")
    async with busy(crowd):
        await asyncio.sleep(2.0)
    told = crowd.told + await crowd.each("call")
    for one in told[2 * PEOPLE :]:
        assert not names_somebody_else(one)
        if one.person not in victims.values():
            assert one.status == (303 if one.kind == "login" else 200), one
        elif one.kind in ("call", "write"):
            assert one.status == 401, one
            assert one.code == ("session.ended" if one.with_cookie else "session.required"), one
        else:
            assert one.status in (200, 303), one  # a page goes to log in, `me` is anonymous
    dropped = {person for person, cookie in crowd.cookies.items() if not cookie}
    assert dropped == {victims["emptied"]}
    for key, record in kept.items():
        assert place.server.command("GET", key) == record
    said = place.crew.program.output
    assert said.count('"session.unreadable"') >= len(DAMAGE) - 1  # nothing is no record
    assert not any(key.rpartition(":")[2] in said for key in kept)


def empty(server: RealServer) -> None:
    server.command("FLUSHALL")


def restart_empty(server: RealServer) -> None:
    server.stop()
    shutil.rmtree(server.folder / "appendonlydir")
    server.start()


@pytest.mark.parametrize("lose", [empty, restart_empty])
async def test_f6_an_emptied_store_is_one_login_for_everybody_and_no_loop(
    lose: Callable[[RealServer], None], place: Place
) -> None:
    crowd = await place.crowd()
    crowd.pause = 0.05
    theirs = dict(crowd.cookies)
    async with busy(crowd):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(lose, place.server)
        async with asyncio.timeout(60):
            while any(crowd.cookies.values()):  # noqa: ASYNC110  the crowd has no event
                await asyncio.sleep(0.05)
        settled = time.monotonic()
        await asyncio.sleep(0.5)
    assert crowd.lost == []
    assert {one.status for one in crowd.told} <= {200, 303, 401, 503}
    for one in crowd.of(settled, time.monotonic()):
        assert one.status == {"me": 200, "page": 303}.get(one.kind, 401), one
    for person in theirs:
        (dropped,) = [one for one in crowd.told if one.person == person and takes_back(one)]
        later = [one for one in crowd.told if one.person == person and one.began > dropped.ended]
        for one in later:
            assert not one.with_cookie
            assert one.kind == "login" or one.all(b"set-cookie") == [], one
    for one in crowd.told:
        assert not names_somebody_else(one), one
        if one.status == 401 and one.with_cookie:
            assert one.code == "session.ended", one
        if one.status == 303 and one.kind != "login":
            assert one.kind == "page", one
            assert one.all(b"location") == [b"/bff/login?return_to=%2Fapi%2Freport"]
    # Somebody who opens a page is sent to log in once, and ends where they wanted to be.
    before = len(place.provider.authorizations)
    browser = place.browser(theirs["person-7"])
    landed = await browser.navigate("/api/report")
    assert (landed.status, browser.url) == (200, f"{browser.home}/api/report")
    assert len(place.provider.authorizations) == before + 1
    assert (await browser.fetch("/api/x")).status == 200
    assert len(place.provider.authorizations) == before + 1
