"""A new release: one gateway after the other is stopped and started, and nobody notices (F31).

Two gateways on one store, and a client that does what a load balancer does: it asks both whether
they are ready, ten times a second, and sends to those that are, on connections it keeps.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.support.bearer_api import bearer_api
from tests.support.crew import SECRETS, TOKEN, Crew, document
from tests.support.load import answer
from tests.support.people import Person
from tests.support.processes import Program, free_port, gateway_command

pytestmark = pytest.mark.e2e

PATIENCE = 20.0
ASKED = 2_000  # requests, of which none may fail
CLIENTS = 8
ORIGIN_PORT = 8443  # of the one address people know; nobody listens there

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def start(file: Path) -> Program:
    log = file.with_suffix(f".{len(list(file.parent.iterdir()))}.log")
    return Program(gateway_command("run", "-c", str(file)), log, SECRETS)


def stop(crew: Crew) -> None:
    """Stop the program it has by then."""
    crew.program.stop()


@contextmanager
def two_gateways(
    folder: Path, store: str, routes: Sequence[dict[str, str]]
) -> Iterator[tuple[Crew, Crew]]:
    """Run two for the length of a block, whatever their programs are by its end."""
    with ExitStack() as stack:

        def gateway(name: str) -> Crew:
            (folder / name).mkdir()
            port, admin = free_port(), free_port()
            made = document(port, admin, folder / name, store, workers=2)
            made |= {"public_origin": f"http://localhost:{ORIGIN_PORT}", "routes": [*routes]}
            made["listen"] |= {"drain_delay": "1s"}
            file = folder / name / "gateway.yaml"
            file.write_text(yaml.safe_dump(made, sort_keys=False))
            crew = Crew(start(file), port, admin, file, made)
            stack.callback(stop, crew)
            return crew

        both = gateway("one"), gateway("other")
        for crew in both:
            crew.program.wait_until_ready(f"http://127.0.0.1:{crew.admin}/readyz")
        yield both


@dataclass
class Balancer:
    """Requests in turn to every gateway that is ready; none is sent a second time."""

    gateways: Sequence[Crew]
    requests: Sequence[tuple[bytes, bytes]]  # and the body each has to be answered with
    ready: tuple[int, ...] = ()  # ports
    answered: Counter[int] = field(default_factory=Counter)  # by port
    failed: list[str] = field(default_factory=list)
    stopping: bool = False

    async def check(self) -> None:
        """Find out who is ready."""
        found = await asyncio.gather(*(asyncio.to_thread(_is_ready, one) for one in self.gateways))
        self.ready = tuple(
            one.port for one, ready in zip(self.gateways, found, strict=True) if ready
        )

    async def check_on(self) -> None:
        while not self.stopping:
            await self.check()
            await asyncio.sleep(0.1)

    async def client(self, number: int) -> None:
        kept: dict[int, Link] = {}
        turn = number
        while not self.stopping:
            turn += 1
            for port in kept.keys() - {*self.ready}:
                kept.pop(port)[1].close()
            if not self.ready:
                self.failed.append("nobody is ready")
                return
            port = self.ready[turn % len(self.ready)]
            request, wanted = self.requests[turn // 2 % len(self.requests)]
            try:
                await self._ask(kept, port, request, wanted)
            except (OSError, EOFError, TimeoutError) as failure:
                self.failed.append(f"{port}: {failure!r}")
                if link := kept.pop(port, None):
                    link[1].close()
            await asyncio.sleep(0.005)
        for _, writer in kept.values():
            writer.close()

    async def _ask(self, kept: dict[int, Link], port: int, request: bytes, wanted: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            if port not in kept:
                kept[port] = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = kept[port]
            writer.write(request)
            status, is_last, body = await answer(reader)
        self.answered[port] += 1
        if (status, body) != (200, wanted):
            self.failed.append(f"{port}: {status} {body!r}")
        if is_last:
            kept.pop(port)[1].close()


def _is_ready(crew: Crew) -> bool:
    try:
        return crew.get("/readyz")[0] == 200
    except OSError:
        return False


@asynccontextmanager
async def balancing(balancer: Balancer) -> AsyncIterator[None]:
    await balancer.check()
    async with asyncio.TaskGroup() as group:
        group.create_task(balancer.check_on())
        for number in range(CLIENTS):
            group.create_task(balancer.client(number))
        try:
            yield
        finally:
            balancer.stopping = True


async def test_f31_a_new_release_of_two_gateways_behind_a_balancer_fails_nobody(
    tmp_path: Path, store: str
) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(bearer_api(tmp_path, TOKEN))
        routes = [{"path": "/api/", "upstream": api, "access": "session"}]
        both = stack.enter_context(two_gateways(tmp_path, store, routes))
        ada = Person(ORIGIN_PORT, await both[0].log_in())
        quick = [ada.get("a?q=1"), ada.post("b", "x" * 100), ada.get("c")]
        requests = [*quick * 16, ada.get("slowly")]
        balancer = Balancer(both, requests)
        async with balancing(balancer):
            for crew in both:
                former = crew.program.process
                crew.program.process.terminate()
                await crew.until(lambda gone=former: gone.poll() is not None)
                assert former.returncode == 0
                assert balancer.ready == tuple(one.port for one in both if one is not crew)
                crew.program.stop()  # its log is closed
                before = balancer.answered[crew.port]
                crew.program = start(crew.file)
                await crew.until(lambda one=crew, n=before: balancer.answered[one.port] > n + 50)
            await both[0].until(lambda: balancer.answered.total() >= ASKED)
        assert balancer.failed == []
        assert min(balancer.answered.values()) > ASKED // 10
        assert all(crew.said("configuration.loaded") for crew in both)
