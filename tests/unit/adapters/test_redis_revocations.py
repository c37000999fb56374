"""Steps as words, replies as shapes: without a server."""

import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest

from gateway.adapters import redis_revocations
from gateway.adapters.redis_revocations import RedisRevocations
from gateway.adapters.redis_scripts import Script, Step
from gateway.ports import RevocationQueue

KEY = "gw:v:revocations"
Operation = Callable[[RevocationQueue], Awaitable[object]]


class Client:
    """Answers every step alike, and remembers it."""

    prefix = "gw:"

    def __init__(self, reply: object) -> None:
        self.reply = reply
        self.steps: list[Step] = []
        self.scripts: list[Script] = []

    async def do(self, operation: Callable[[], Coroutine[Any, Any, Any]]) -> object:
        return await operation()

    async def one(self, step: Step, *, repeatable: bool = False) -> object:
        assert repeatable in (True, False)
        self.steps.append(step)
        return self.reply

    async def run(
        self, script: Script, steps: Sequence[Step], *, repeatable: bool = False
    ) -> list[object]:
        self.scripts.append(script)
        return [await self.one(step, repeatable=repeatable) for step in steps]


OPERATIONS: dict[str, Operation] = {
    "put": lambda queue: queue.put(b"entry", due_in=1.5),
    "postpone": lambda queue: queue.postpone(b"entry", due_in=1.5),
    "remove": lambda queue: queue.remove(b"entry"),
    "length": lambda queue: queue.length(),
    "take": lambda queue: queue.take(2, lease=10.0),
}

FITTING: dict[str, list[str]] = {
    "put": ["0", "1"],
    "postpone": ["0", "1"],
    "remove": ["0", "1"],
    "length": ["0", "1", "2", "10000"],
    "take": ["[]", "[b'a']", "[b'a', b'b']"],
}

EVERY_REPLY: tuple[object, ...] = (
    None,
    b"OK",
    -1,
    0,
    1,
    2,
    True,
    10_000,
    [],
    [b"a"],
    [b"a", b"b"],
    [b"a", b"b", b"c"],
    [None],
    [1],
    b"a",
)


async def asked(name: str, reply: object) -> Step:
    client = Client(reply)
    await OPERATIONS[name](RedisRevocations(client))  # type: ignore[arg-type]  # as much of one as is used
    (step,) = client.steps
    return step


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_step_takes_only_the_replies_of_its_kind(name: str) -> None:
    """What does not fit came for another command: the connection is closed (F4)."""
    step = await asked(name, [] if name == "take" else 1)
    fitting = [repr(reply) for reply in EVERY_REPLY if step.fits(reply)]
    assert fitting == FITTING[name]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_step_is_about_the_one_key(name: str) -> None:
    """Redis Cluster carries a step out on the server that has its key."""
    step = await asked(name, [] if name == "take" else 1)
    assert [word for word in step.words if isinstance(word, str) and ":" in word] == [KEY]
    assert step.words[1] == KEY


@pytest.mark.parametrize(
    "script", [redis_revocations.PUT, redis_revocations.TAKE, redis_revocations.POSTPONE]
)
def test_a_script_touches_no_key_but_the_one_it_is_given(script: Script) -> None:
    assert script.digest == hashlib.sha1(script.text.encode()).hexdigest()  # noqa: S324
    assert "KEYS[2]" not in script.text
    assert script.text.count("redis.call(") - 1 == script.text.count("KEYS[1]")  # TIME has no key


async def test_times_are_milliseconds_and_never_nothing() -> None:
    assert (await asked("put", 1)).words[2:4] == (b"entry", 1500)
    assert (await asked("take", [])).words[2:] == (2, 10_000)
    client = Client(1)
    await RedisRevocations(client).postpone(b"entry", due_in=0.0)  # type: ignore[arg-type]  # as above
    assert client.steps[0].words[3] == 1
