"""An operator's request on its way to a worker and back; processes that do very little."""

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Callable

import pytest

from gateway.errors import Code, Unavailable
from gateway.web.administration import Answer, Asked
from gateway.workers import forwarding
from gateway.workers.crew import Generation
from gateway.workers.forwarding import Forwarding, answered
from gateway.workers.oversight import State, health
from gateway.workers.worker import Worker
from tests.support.small_workers import PATIENCE, generation_of, hired, silent

ASKED = Asked("DELETE", b"/admin/sessions?subject=\xff", "127.0.0.9")
SAID = Answer(503, b"application/problem+json", '{"ü": 1}'.encode(), ((b"retry-after", b"1"),))


def administers(line: socket.socket) -> int:
    """Ready at once; answers an operator with what it was asked."""
    with line.makefile("rwb", buffering=0) as stream:
        stream.write(b'{"event": "ready"}\n')
        for octets in stream:
            told = json.loads(octets)
            heard = [told.get(name) for name in ("ask", "method", "target", "address")]
            answer = json.dumps([200, "application/json", json.dumps(heard), []])
            stream.write(json.dumps({"id": told["id"], "answer": answer}).encode() + b"\n")
    return 0


def minds_its_business(line: socket.socket) -> int:
    """Ready at once; answers its supervisor and no operator."""
    with line.makefile("rwb", buffering=0) as stream:
        stream.write(b'{"event": "ready"}\n')
        for octets in stream:
            told = json.loads(octets)
            if told["ask"] != forwarding.QUESTION:
                stream.write(json.dumps({"id": told["id"], "answer": "fine"}).encode() + b"\n")
    return 0


def dies(line: socket.socket) -> int:
    """Ready, and gone at the first question."""
    line.sendall(b'{"event": "ready"}\n')
    return len(line.recv(1))


def state_of(generation: Generation | None) -> Callable[[], State]:
    generations = [generation] if generation else []
    return lambda: State(generation, generations, stopping=False)


async def test_a_request_reaches_a_worker_as_it_was_sent(crew: list[Generation]) -> None:
    generation, _ = generation_of(crew, administers)
    await generation.begin()
    answer = await Forwarding(state_of(generation)).carry_out(ASKED)
    assert (answer.status, answer.content_type) == (200, b"application/json")
    assert json.loads(answer.body) == [
        "administration",
        "DELETE",
        "/admin/sessions?subject=ÿ",
        "127.0.0.9",
    ]


async def test_an_answer_comes_back_as_it_was_given() -> None:
    heard: list[Asked] = []

    async def carry_out(asked: Asked) -> Answer:
        heard.append(asked)
        return SAID

    question = {"method": "DELETE", "target": "/admin/sessions?subject=ÿ", "address": "127.0.0.9"}
    octets = await answered(question, carry_out)
    assert heard == [ASKED]
    assert forwarding._read(octets) == SAID


async def test_a_worker_that_ends_before_it_answers_is_followed_by_the_next(
    crew: list[Generation],
) -> None:
    generation, _ = generation_of(crew, dies, dies, administers)
    await generation.begin()
    async with asyncio.timeout(PATIENCE):
        answer = await Forwarding(state_of(generation)).carry_out(ASKED)
    assert answer.status == 200


async def test_without_a_worker_that_answers_the_operator_is_told_so(
    crew: list[Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_PATIENCE", 0.2)
    generation, _ = generation_of(crew, silent)
    await generation.begin()
    for state in (state_of(None), state_of(generation)):
        with pytest.raises(Unavailable) as failure:
            async with asyncio.timeout(PATIENCE):
                await Forwarding(state).carry_out(ASKED)
        assert failure.value.code is Code.ADMIN_NO_WORKER


async def test_what_one_worker_may_be_at_still_is_not_given_to_another(
    crew: list[Generation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going through a large store takes long, and two at it take longer."""
    monkeypatch.setattr(forwarding, "_PATIENCE", 0.2)
    generation, _ = generation_of(crew, minds_its_business, administers)
    await generation.begin()
    asked: list[int] = []
    for worker in generation.workers:
        monkeypatch.setattr(worker, "ask", _noting(worker, asked))
    with pytest.raises(Unavailable):
        await Forwarding(state_of(generation)).carry_out(ASKED)
    assert len(asked) == 1


def _noting(worker: Worker, asked: list[int]) -> Callable[..., Awaitable[str | None]]:
    plain = worker.ask

    async def ask(question: str, within: float | None, **more: object) -> str | None:
        asked.append(worker.number)
        return await plain(question, within, **more)

    return ask


async def test_whoever_has_been_silent_longest_is_asked_last(crew: list[Generation]) -> None:
    """One that hangs would take all of the patience."""
    generation, _ = generation_of(crew, silent, silent, administers)
    await generation.begin()
    for worker in generation.workers:
        worker.pulse()  # the one that answers has no silence
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        answer = await Forwarding(state_of(generation)).carry_out(ASKED)
    assert answer.status == 200


async def test_what_operators_wait_for_keeps_nobody_from_asking_how_a_worker_is() -> None:
    worker = await hired(minds_its_business)
    await worker.started
    waiting = [worker.ask(forwarding.QUESTION, 0.1) for _ in range(20)]
    assert await asyncio.gather(*waiting) == [None] * 20
    assert await health([worker], PATIENCE) == "fine"
    worker.pulse()
    async with asyncio.timeout(PATIENCE):
        while worker.silence():  # noqa: ASYNC110  in another process
            await asyncio.sleep(0.01)
    worker.kill()
    assert await worker.ended == -signal.SIGKILL
