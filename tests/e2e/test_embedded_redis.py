"""The embedded store: one machine needs nothing else, and loses nothing."""

import asyncio
import contextlib
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.embedded_redis import EmbeddedValkey
from gateway.adapters.redis_client import StoreSettings
from gateway.adapters.redis_store import RedisStore
from gateway.errors import Misconfigured
from gateway.ports import LookupId, StoredRecord

pytestmark = pytest.mark.e2e

PATIENCE = 20.0  # seconds, for things that take a fraction of one
A = LookupId("lookup-a")
RECORD = StoredRecord(1, b"sealed")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("valkey") / "store"


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(folder)
    await valkey.start()
    try:
        yield valkey
    finally:
        await valkey.stop()


@contextlib.asynccontextmanager
async def store_on(valkey: EmbeddedValkey) -> AsyncIterator[RedisStore]:
    settings = StoreSettings(
        valkey.url, connect_timeout=3, command_timeout=3, slot_timeout=3, budget=9
    )
    store = RedisStore(settings)
    try:
        yield store
    finally:
        await store.aclose()


async def put(valkey: EmbeddedValkey) -> None:
    async with store_on(valkey) as store:
        assert await store.create(A, RECORD, ttl=600, indexes=[], index_ttl=600)


async def found(valkey: EmbeddedValkey) -> StoredRecord | None:
    async with store_on(valkey) as store:
        return await store.read(A)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether the process exists and has not merely been left unburied by its parent."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_everybody(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def open_files(pid: int | None) -> set[Path]:
    return {descriptor.resolve() for descriptor in Path(f"/proc/{pid}/fd").iterdir()}


async def test_a_clean_stop_loses_nothing(folder: Path) -> None:
    async with started(folder) as valkey:
        await put(valkey)
        pid = valkey.pid
    assert pid is not None
    assert not lives(pid)
    async with started(folder) as valkey:
        assert await found(valkey) == RECORD


async def test_one_object_can_be_stopped_and_started_again(folder: Path) -> None:
    valkey = EmbeddedValkey(folder)
    await valkey.stop()
    for _ in range(2):
        await valkey.start()
        await valkey.stop()
        await valkey.stop()
    assert valkey.pid is None


async def test_a_killed_server_is_started_again_with_its_data(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(folder) as valkey:
        await put(valkey)
        for _ in range(2):
            killed = valkey.pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            await until(lambda gone=killed: valkey.pid not in (None, gone))  # type: ignore[misc]  # mypy cannot type the default
            async with started(folder) as second:  # returns when the server answers
                assert second.pid is None
            assert await found(valkey) == RECORD
    assert [line.levelno for line in caplog.records] == [logging.ERROR] * 2


async def test_a_second_gateway_on_the_folder_uses_the_server_and_leaves_it_running(
    folder: Path,
) -> None:
    async with started(folder) as first:
        await put(first)
        async with started(folder) as second:
            assert second.pid is None
            assert second.url == first.url
            assert await found(second) == RECORD
        assert await found(first) == RECORD


async def test_of_gateways_started_at_once_one_owns_the_server(folder: Path) -> None:
    gateways = [EmbeddedValkey(folder) for _ in range(4)]
    await asyncio.gather(*(gateway.start() for gateway in gateways))
    pids = [gateway.pid for gateway in gateways if gateway.pid is not None]
    urls = {gateway.url for gateway in gateways}
    await asyncio.gather(*(gateway.stop() for gateway in gateways))
    assert len(pids) == 1
    assert len(urls) == 1


@pytest.mark.parametrize("depth", [0, 12], ids=["short path", "path too long for a socket"])
async def test_when_the_owner_goes_another_gateway_takes_over_on_the_same_socket(
    depth: int, folder: Path
) -> None:
    """F31: a rolling restart on one machine keeps its store."""
    deep = folder.joinpath(*["ten-octets"] * depth)
    first, second = EmbeddedValkey(deep), EmbeddedValkey(deep)
    await first.start()
    await second.start()
    await put(first)
    before = second.url
    await first.stop()
    await until(lambda: second.pid is not None)
    async with started(deep) as third:
        assert third.pid is None
        assert third.url == second.url == before
        assert await found(third) == RECORD
    await second.stop()


async def test_a_long_path_gets_a_short_socket_that_is_cleaned_up(folder: Path) -> None:
    deep = folder.joinpath(*["ten-octets"] * 12)
    async with started(deep) as valkey:
        path = Path(valkey.url.reveal().removeprefix("unix://"))
        assert len(str(path)) < 100
        assert mode_of(path.parent) == 0o700
        await put(valkey)
    assert not path.parent.exists()
    async with started(deep) as valkey:
        assert await found(valkey) == RECORD


async def test_any_character_may_be_in_the_path(folder: Path) -> None:
    async with started(folder / 'a "b" \\c é %2F\n#') as valkey:
        await put(valkey)
        assert await found(valkey) == RECORD


async def test_nobody_else_can_reach_the_server(folder: Path) -> None:
    open_to_everybody(folder)
    async with started(folder):
        assert mode_of(folder) == 0o700
        reader, writer = await asyncio.open_unix_connection(folder / "valkey.sock")
        writer.write(b"CONFIG GET port\r\n")
        assert (await reader.readuntil(b"0\r\n")).endswith(b"$4\r\nport\r\n$1\r\n0\r\n")
        writer.close()


async def test_a_folder_that_cannot_be_used_is_one_clear_finding() -> None:
    with pytest.raises(Misconfigured) as raised:
        await EmbeddedValkey(Path(__file__)).start()
    (finding,) = raised.value.findings
    assert __file__ in finding
    assert "\n" not in finding


async def test_a_server_that_cannot_start_says_why_and_leaves_nothing_behind(
    folder: Path,
) -> None:
    async with started(folder) as valkey:
        await put(valkey)
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    healthy = manifest.read_bytes()
    manifest.write_bytes(b"no manifest at all\n")
    with pytest.raises(Misconfigured) as raised:
        await EmbeddedValkey(folder).start()
    (finding,) = raised.value.findings
    assert "manifest" in finding
    assert "\n" not in finding
    manifest.write_bytes(healthy)
    async with started(folder) as valkey:
        assert await found(valkey) == RECORD


OWNER = """
import asyncio, pathlib, sys
from gateway.adapters.embedded_redis import EmbeddedValkey
async def main():
    valkey = EmbeddedValkey(pathlib.Path(sys.argv[1]))
    await valkey.start()
    print(valkey.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def gateway(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another gateway process that owns the server in the folder."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", OWNER, str(folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of the dead")
async def test_the_server_of_a_killed_gateway_ends_and_the_next_gateway_finds_the_data(
    folder: Path, gateway: subprocess.Popen[bytes]
) -> None:
    assert gateway.stdout is not None
    pid = int(gateway.stdout.readline())
    async with started(folder) as attached:
        assert attached.pid is None
        await put(attached)
        gateway.kill()
        await until(lambda: not lives(pid))
        await until(lambda: attached.pid is not None)
        async with started(folder) as third:
            assert await found(third) == RECORD


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_the_server_itself_holds_the_lock_on_its_folder(folder: Path) -> None:
    """Its gateway may be dead while it writes its last octets: a second writer would ruin them."""
    async with started(folder) as valkey:
        assert folder / "lock" in open_files(valkey.pid)
