"""Paths and queries through the gateway to four servers of different make (K4, K5).

What each received is what was sent, octet by octet, but for the route's prefix, in whose place
stands the base path of the upstream; or the gateway refused, and then it received nothing.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.http_answer import AnswerReader, WireAnswer
from tests.support.open_gateway import OpenGateway, open_gateway
from tests.support.target_cases import PASSED, REFUSED, STATUS
from tests.support.target_servers import MAKES, TargetServer, target_server

pytestmark = pytest.mark.e2e

BASES = {"uvicorn": "/", "node": "/v1/", "nginx": "/", "http-server": "/base/of/it/"}


@dataclass
class Place:
    """A server and the gateway before it."""

    server: TargetServer
    gateway: OpenGateway

    def sent(self, behind: bytes) -> bytes:
        return b"/" + self.server.name.encode() + behind

    def received(self, behind: bytes) -> bytes:
        """What a server that tells all of its target tells then."""
        return BASES[self.server.name].rstrip("/").encode() + behind

    def ask(self, target: bytes) -> WireAnswer:
        with self.gateway.connect() as link:
            link.sendall(b"GET " + target + b" HTTP/1.1\r\n" + self.gateway.host + b"\r\n")
            return AnswerReader(link).read(b"GET")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    folder: Path = tmp_path_factory.mktemp("targets")
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(target_server(name, folder)) for name in MAKES}
        routes = {
            f"/{name}/": {"upstream": f"http://127.0.0.1:{server.port}{BASES[name]}"}
            for name, server in servers.items()
        }
        gateway = stack.enter_context(open_gateway(folder, routes))
        yield {name: Place(server, gateway) for name, server in servers.items()}


every_server = pytest.mark.parametrize("name", MAKES)


@every_server
@pytest.mark.parametrize("case", PASSED)
def test_a_server_receives_the_very_octets_k5(
    places: dict[str, Place], name: str, case: str
) -> None:
    place, behind = places[name], PASSED[case]
    answer = place.ask(place.sent(behind))
    expected = place.received(behind)
    if name == "uvicorn" and expected.endswith(b"?") and expected.count(b"?") == 1:
        expected = expected[:-1]  # ASGI knows no empty query
    assert (answer.status, answer.body) == (200, expected)


@every_server
def test_what_can_be_read_in_two_ways_reaches_no_server_k4(
    places: dict[str, Place], name: str
) -> None:
    place = places[name]
    before = len(place.server.arrived())
    for case, behind in REFUSED.items():
        answer = place.ask(place.sent(behind))
        assert answer.status == STATUS.get(case, 400), case
    place.ask(place.sent(b"/last"))
    last = place.received(b"/last").decode()
    arrived = place.server.arrived_with(last)[before:]
    assert arrived == [f"target {last}"]


@every_server
def test_the_prefix_alone_is_the_base_path(places: dict[str, Place], name: str) -> None:
    place = places[name]
    base = BASES[name].rstrip("/").encode()
    for behind, received in (
        (b"", base or b"/"),
        (b"/", base + b"/"),
        (b"?a", (base or b"/") + b"?a"),
        (b"/?a", base + b"/?a"),
    ):
        assert place.ask(place.sent(behind)).body == received


@every_server
def test_an_absolute_form_arrives_as_the_origin_form_k1(
    places: dict[str, Place], name: str
) -> None:
    place = places[name]
    answer = place.ask(place.gateway.origin.encode() + place.sent(b"/a%2Fb?c"))
    assert answer.body == place.received(b"/a%2Fb?c")


@every_server
def test_two_slashes_behind_the_prefix_stay_two_where_they_cannot_read_as_a_host_k5(
    places: dict[str, Place], name: str
) -> None:
    place = places[name]
    answer = place.ask(place.sent(b"//a//b?//"))
    if BASES[name] == "/":  # `//a` would be another host's root to some
        assert answer.status == 400
    else:
        assert answer.body == place.received(b"//a//b?//")


def test_no_make_is_left_out() -> None:
    assert BASES.keys() == MAKES.keys()
    assert len(PASSED) > 50
    assert not set(PASSED.values()) & set(REFUSED.values())
