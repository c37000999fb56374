"""`python -m bench.endings`: from the end of a session in one process to its effect in another.

Two gateways on one Redis, the session in the memory of both. An event is sent to the first; at the
second one client asks for the same session again and again on a kept connection, and a WebSocket
and an event stream of it are open. Everything is timed from the sending of the event, and from a
deadline where nobody sends one. RECORD=1 writes the table into `docs/sessions.md`; if a single
effect has taken longer than the second that is promised there, nothing is written, and it fails.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.ending_events import EVENTS, SELDOM, Ending, Prepared, Stage, logout, made
from bench.programs import BenchError
from bench.result import this_commit, this_machine, today
from bench.spread import DOCUMENT, Row, milliseconds, table, written_into
from bench.two_gateways import (
    Gateway,
    SessionMaker,
    Way,
    api,
    closed,
    gateways,
    not_watching,
    redis,
)
from tests.support.provider_server import serving_provider
from tests.support.redis_servers import RealServer
from tests.support.tcp_proxy import TcpProxy

COMMAND = "python -m bench.endings"

_TIMES = 200
_TIMES_SELDOM = 60
_CUTS, _SILENCES = 40, 8  # a link takes its time to be made anew
_PROMISED = 1.0  # seconds from an event to its effect, everywhere (docs/sessions.md)
_GUARD = 20.0  # seconds, for one round


@dataclass(frozen=True, slots=True)
class Times:
    """Of one event, in seconds from its sending."""

    answered: float | None  # None where nobody has to be answered
    refused: float
    closed: float
    silent: float


def main() -> int:
    """Measure, print, and write it down if asked to."""
    load = os.getloadavg()[0]
    begun = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(_measured())
    except BenchError as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    section = f"{_where(load, time.monotonic() - begun)}\n\n{table(rows)}"
    print(section)
    if os.environ.get("RECORD") == "1":
        DOCUMENT.write_text(written_into(DOCUMENT.read_text(), section))
    return 0


def _where(load: float, seconds: float) -> str:
    text = f"`{COMMAND}` on {today()}: {this_machine()}, commit {this_commit()}, {seconds:.0f} s."
    if load > 0.5:
        text += f" Preliminary: others used the machine meanwhile (load {load:.1f})."
    return text


async def _measured() -> list[Row]:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(redis(folder / "redis"))
        provider = stack.enter_context(serving_provider())
        proxy = await stack.enter_async_context(TcpProxy(("127.0.0.1", server.port)))
        upstreams = await stack.enter_async_context(api())
        ways = [Way(server.port), Way(server.port), Way(proxy.port), not_watching(server)]
        programs = stack.enter_context(contextlib.ExitStack())
        here, there, behind, unwatched = await asyncio.to_thread(
            gateways, programs, folder, provider.issuer, upstreams, ways
        )
        stack.push_async_callback(asyncio.to_thread, programs.close)
        maker = SessionMaker(server.port, provider.issuer)
        stack.push_async_callback(maker.store.aclose)
        stage = Stage(here, there, behind, unwatched, server, proxy, maker, provider)
        await _is_in_memory(stage)
        rows = [await _row(stage, name, prepare) for name, prepare in EVENTS]
        return [
            *rows,
            await _after_a_cut(stage),
            await _in_silence(stage),
            await _unwatched(stage),
        ]


async def _row(stage: Stage, name: str, prepare: Prepared) -> Row:
    await _once(stage, prepare, stage.there)  # what is done only once is not measured
    rounds = _TIMES_SELDOM if prepare in SELDOM else _TIMES
    times = [await _once(stage, prepare, stage.there) for _ in range(rounds)]
    return _as_row(name, times)


async def _once(stage: Stage, prepare: Prepared, there: Gateway) -> Times:
    ending = await prepare(stage)
    victims = ending.victims
    async with contextlib.AsyncExitStack() as stack, _limited():
        talks = [await stack.enter_async_context(there.connected()) for _ in victims]
        sockets = [await stack.enter_async_context(there.websocket(v.cookie)) for v in victims]
        streams = [await stack.enter_async_context(there.event_stream(v.cookie)) for v in victims]
        for talk, victim in zip(talks, victims, strict=True):
            for _ in range(3):
                if await talk.ask("/api/x", cookie=victim.cookie) != 200:
                    raise BenchError("a session was not served before its end")
        noticing = [
            *(
                asyncio.create_task(talk.refused(v.cookie))
                for talk, v in zip(talks, victims, strict=True)
            ),
            *(asyncio.create_task(closed(socket)) for socket in sockets),
            *(asyncio.create_task(stream.ended()) for stream in streams),
        ]
        stack.push_async_callback(_let_go, noticing)
        await asyncio.sleep(0.002)
        sent = ending.at or time.perf_counter()
        status = await ending.event()
        answered = time.perf_counter()
        if status not in (200, 204):
            raise BenchError(f"an event was answered {status}")
        at = await asyncio.gather(*noticing)
    each = [max(at[first : first + len(victims)]) for first in range(0, len(at), len(victims))]
    return Times(None if ending.at else answered - sent, *(one - sent for one in each))


async def _let_go(noticing: Sequence[asyncio.Task[float]]) -> None:
    """Have nobody wait for an effect that is not awaited any more."""
    for task in noticing:
        task.cancel()
    await asyncio.gather(*noticing, return_exceptions=True)


@contextlib.asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_GUARD):
            yield
    except TimeoutError:
        raise BenchError(f"an event has not taken effect everywhere in {_GUARD:g} s") from None


async def _is_in_memory(stage: Stage) -> None:
    """Make sure of what is being measured: no read of the store for a session that is known."""
    (victim,) = await made(stage, 1)
    for gateway in (stage.there, stage.behind):
        async with gateway.connected() as talk:
            await talk.ask("/api/x", cookie=victim.cookie)
            before = _reads(stage.redis)
            for _ in range(100):
                await talk.ask("/api/x", cookie=victim.cookie)
            if _reads(stage.redis) - before > 5:
                raise BenchError("sessions are not served from memory")


def _reads(server: RealServer) -> int:
    told = server.command("INFO", "commandstats")
    assert isinstance(told, bytes)
    _, _, behind = told.decode().partition("cmdstat_mget:calls=")
    return int(behind.partition(",")[0] or 0)


# -- the same, while the second gateway hears of nothing


async def _after_a_cut(stage: Stage) -> Row:
    """The link is closed in the very moment of a logout."""

    async def prepare(stage: Stage) -> Ending:
        ending = await logout(stage)

        async def event() -> int:
            stage.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            return await ending.event()

        return Ending(event, ending.victims)

    times = []
    for _ in range(_CUTS):
        before = stage.there.links
        times.append(await _once(stage, prepare, stage.there))
        await stage.there.trusts_again(before)
    return _as_row("logout by the user, link to the store cut just before", times)


async def _in_silence(stage: Stage) -> Row:
    """Nothing comes over the link any more, and nothing closes it: a cable, a firewall."""

    async def prepare(stage: Stage) -> Ending:
        ending = await logout(stage)

        async def event() -> int:
            stage.proxy.mute_subscribers = True
            return await ending.event()

        return Ending(event, ending.victims)

    times = []
    for _ in range(_SILENCES):
        before = stage.behind.links
        times.append(await _once(stage, prepare, stage.behind))
        stage.proxy.heal()
        await stage.behind.trusts_again(before)
    return _as_row("logout by the user, link to the store silent from then on", times)


async def _unwatched(stage: Stage) -> Row:
    """The store's server announces nothing to the second gateway."""
    times = [await _once(stage, logout, stage.unwatched) for _ in range(_CUTS)]
    return _as_row("logout by the user, store that may not be watched", times)


def _as_row(event: str, times: Sequence[Times]) -> Row:
    row = Row(
        event,
        [one.answered for one in times if one.answered is not None],
        [one.refused for one in times],
        [one.closed for one in times],
        [one.silent for one in times],
    )
    if row.longest() > _PROMISED:
        took = milliseconds(row.longest())
        raise BenchError(f"{event}: took {took} to take effect, and a second is promised")
    return row


if __name__ == "__main__":
    sys.exit(main())
