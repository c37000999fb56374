"""Every answer of `tests/support/answer_cases.py`, through the running gateway, to a browser (F20).

A browser asks for it, and right behind for something else. It gets the answer whole, or a 502, or
one that is visibly cut off (M12); the other answer is always its own, on this connection or, when
that was closed, on the next (F21). No octet that came behind an answer reaches anybody.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import answer_cases as cases
from tests.support.open_gateway import OpenGateway, open_gateway
from tests.support.scripted_upstream import Script, scripted_upstream
from tests.support.strict_http import Answer, Unfinished, read_answers

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Case:
    """Some octets, and the body they are to be read as; None when they are no whole answer."""

    kind: str
    octets: bytes
    body: bytes | None
    method: bytes = b"GET"
    closes: bool = False


CASES = [
    *(Case("stays", octets, body) for octets, _, body in cases.STAYS),
    *(Case("surplus", octets, body) for octets, body in cases.SURPLUS),
    *(Case("closes", octets, b"ab", closes=True) for octets in cases.CLOSES),
    *(Case("until the end", octets, body, closes=True) for octets, body in cases.UNTIL_THE_END),
    *(Case("to HEAD", octets, b"", b"HEAD") for octets, _ in cases.TO_HEAD),
    *(Case("refused", octets, None) for octets in cases.REFUSED),
    *(Case("cut", octets, None, closes=True) for octets in cases.CUT),
]
SCRIPTS = [Script(case.octets, case.closes, in_two) for case in CASES for in_two in (False, True)]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenGateway]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with scripted_upstream(SCRIPTS) as upstream:
        route = {"upstream": f"http://127.0.0.1:{upstream.port}/"}
        with open_gateway(folder, {"/": route}) as running:
            yield running
    assert "Traceback" not in running.program.output
    assert "without a whole answer" not in running.program.output  # none of it was our fault


def conversation(gateway: OpenGateway, case: Case, number: int) -> bytes:
    """Ask for this answer and for another one, and return every octet that came.

    A reset is how an answer that has begun is broken off for good.
    """
    first = b"%b /said/%d HTTP/1.1\r\n%b\r\n" % (case.method, number, gateway.host)
    octets = b""
    with gateway.connect() as link, contextlib.suppress(ConnectionResetError):
        link.sendall(first + following(gateway, number))
        while piece := link.recv(65536):
            octets += piece
    return octets


def following(gateway: OpenGateway, number: int) -> bytes:
    return b"GET /next/%d HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (number, gateway.host)


def whole(octets: bytes, method: bytes) -> list[Answer] | None:
    """The answers, when the last octet ends one."""
    try:
        return read_answers(octets, [method])
    except Unfinished:
        return None
    except Exception as cut:
        if type(cut).__name__ == "_Cut":  # chunks without their end
            return None
        raise


@pytest.mark.parametrize("in_two", [False, True], ids=["at once", "in two"])
@pytest.mark.parametrize("at", range(len(CASES)), ids=lambda at: f"{CASES[at].kind}-{at}")
def test_a_browser_gets_the_answer_or_sees_that_it_is_none_f20_f21(
    gateway: OpenGateway, at: int, in_two: bool
) -> None:
    case, number = CASES[at], at * 2 + in_two
    octets = conversation(gateway, case, number)
    answers = whole(octets, case.method) or None
    other = b"next %d" % number
    if case.body is not None:
        assert answers is not None
        first, second = answers
        assert first.body == case.body
        assert second.body == other
    elif answers is None:
        assert other not in octets  # cut off, and nothing behind it
    else:
        first, second = answers
        assert first.status == 502
        assert b"upstream.protocol" in first.body
        assert second.body == other
    assert b"evil" not in octets
    (after,) = read_answers(gateway.say(following(gateway, number)), [])
    assert after.body == other


def test_every_answer_that_is_cut_short_is_an_outage_f20(gateway: OpenGateway) -> None:
    name = "gateway_outages_total"
    cut = [at for at, case in enumerate(CASES) if case.kind == "cut"]
    before = gateway.metric(name)
    for at in cut:
        conversation(gateway, CASES[at], at * 2)
    assert gateway.metric(name) == before + len(cut)
    lines = [line for line in gateway.program.output.splitlines() if "upstream.protocol" in line]
    assert lines
    assert all("(request " in line for line in lines)
