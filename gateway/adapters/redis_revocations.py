"""The `RevocationQueue` port on Redis or Valkey: one sorted set.

    {prefix}v:revocations   sorted set   sealed entries, scored by when they are due (epoch ms)

Every operation is one step on this one key, so that Redis Cluster can carry it out, and the
server's clock says what is due. The set has a time to live, set anew with each entry that is put
or postponed: what no gateway has touched for so long is given up.
"""

from functools import partial
from typing import Any

from gateway.adapters.redis_client import RedisClient
from gateway.adapters.redis_scripts import NOW, Script, Step, Word, milliseconds, script

MOST_ENTRIES = 10_000
"""More is refused. At a few kilobytes each, that is tens of megabytes of the store."""

KEPT_FOR = 2 * 86400.0  # seconds; each entry is given up after a day, if any gateway runs

# An entry that is there already is put again where the queue is full: it needs no more room.
PUT = script(
    NOW
    + """
local is_new = not redis.call('ZSCORE', KEYS[1], ARGV[1])
if is_new and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + ARGV[4]))
return 1
"""
)

TAKE = script(
    NOW
    + """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now),
  'LIMIT', 0, ARGV[1])
for _, entry in ipairs(due) do
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), entry)
end
return due
"""
)

POSTPONE = script(
    NOW
    + """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + ARGV[3]))
return 1
"""
)


class RedisRevocations:
    """The `RevocationQueue` port; `client` is shared with the other ports on that server."""

    def __init__(self, client: RedisClient, *, most_entries: int = MOST_ENTRIES) -> None:
        self._client = client
        self._key = f"{client.prefix}v:revocations"
        self._most_entries = most_entries

    async def put(self, entry: bytes, *, due_in: float) -> bool:
        """See the port."""
        return bool(
            await self._run(
                PUT,
                (entry, milliseconds(due_in), self._most_entries, milliseconds(KEPT_FOR)),
                repeatable=True,
            )
        )

    async def take(self, most: int, *, lease: float) -> list[bytes]:
        """See the port."""
        words = (most, milliseconds(lease))
        step = Step((1, self._key, *words), partial(_are_entries, most))
        (entries,) = await self._client.do(partial(self._client.run, TAKE, [step]))
        return list(entries)

    async def postpone(self, entry: bytes, *, due_in: float) -> bool:
        """See the port."""
        words = (entry, milliseconds(due_in), milliseconds(KEPT_FOR))
        return bool(await self._run(POSTPONE, words, repeatable=True))

    async def remove(self, entry: bytes) -> bool:
        """See the port."""
        step = Step(("ZREM", self._key, entry), _is_flag)
        return bool(await self._client.do(partial(self._client.one, step)))

    async def length(self) -> int:
        """See the port."""
        step = Step(("ZCARD", self._key), _is_count)
        return int(await self._client.do(partial(self._client.one, step, repeatable=True)))

    async def _run(self, step: Script, words: tuple[Word, ...], *, repeatable: bool) -> Any:  # noqa: ANN401 - its shape was checked by the step
        call = Step((1, self._key, *words), _is_flag)
        running = partial(self._client.run, step, [call], repeatable=repeatable)
        (reply,) = await self._client.do(running)
        return reply


def _is_flag(reply: object) -> bool:
    return type(reply) is int and reply in (0, 1)


def _is_count(reply: object) -> bool:
    return type(reply) is int and reply >= 0


def _are_entries(most: int, reply: object) -> bool:
    return (
        isinstance(reply, list)
        and len(reply) <= most
        and all(isinstance(entry, bytes) for entry in reply)
    )
