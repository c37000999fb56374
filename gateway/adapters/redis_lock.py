"""The `GrantLock` port on Redis or Valkey: one hash per session, each step one Lua script.

    owner   who holds the lock; absent when nobody does
    until   when the lease is over, by the server's clock (epoch ms); absent when it is
    doubt   `Doubt`, as a number, of the grants before
    after   nobody gets the lock before this (epoch ms)
    former  whose lease was over when `owner` took the lock over; it may take it back until then

A hash that still names an owner after its lease is what a process that died has left: whether the
provider has seen its request, nobody knows. The key outlives the lease for that reason; it goes
with a grant that ends well, or with the session's absolute deadline.
"""

from collections.abc import Sequence
from functools import partial

from gateway.adapters.redis_client import RedisClient
from gateway.adapters.redis_scripts import NOW, Layout, Script, Step, Word, milliseconds, script
from gateway.ports import Doubt, Held, LookupId, Mine, NotYet, Turn

_YOURS, _HELD, _NOT_YET = 1, 2, 3

# Another type than a hash was put there by a stranger. Nothing else is deleted here: a server that
# is full judges a step by its first write (`OOM`), and lets it pass when that is a deletion.
_READ = (
    NOW
    + """
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local found = redis.call('HMGET', KEYS[1], 'owner', 'until', 'doubt', 'after', 'former')
local owner = found[1]
local lease = (tonumber(found[2]) or 0) - now
local doubt = tonumber(found[3]) or 0
local pause = (tonumber(found[4]) or 0) - now
-- No lease and no pause is so long: the clock was set back, or another server has taken over.
if lease > 60000 then lease = 0 end
if pause > 120000 then pause = 0 end
"""
)

# A full server refuses this step, by its first write: it would not take the new tokens either, and
# only this process would have them. The steps below it carries out, for they begin with a deletion.
_BEGIN = script(
    _READ
    + """
if owner and owner ~= ARGV[1] and lease > 0 then return {2, lease, 0} end
if not owner and pause > 0 then return {3, pause, doubt} end
local taken = 0
local former = found[5] or owner
if owner and owner ~= ARGV[1] then
    taken = 1
    if doubt == 0 then doubt = 1 end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]),
    'doubt', doubt)
redis.call('HDEL', KEYS[1], 'after', 'former')
if taken == 1 then redis.call('HSET', KEYS[1], 'former', former) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, taken, doubt}
"""
)

# `doubt` is written too, for where the lock was deleted meanwhile: a hash that loses its last
# field, as it would in the step below, loses its time to live.
_RENEW = script(
    _READ
    + """
if owner and owner ~= ARGV[1] and found[5] ~= ARGV[1] then return {2, 0, 0} end
redis.call('HDEL', KEYS[1], 'former')
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]),
    'doubt', doubt)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, 0, 0}
"""
)

_FINISH = script(
    _READ
    + """
if owner ~= ARGV[1] then return {2, 0, 0} end
if ARGV[2] == '0' and ARGV[3] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('HDEL', KEYS[1], 'owner', 'until', 'former')
    redis.call('HSET', KEYS[1], 'doubt', ARGV[2], 'after', string.format('%.0f', now + ARGV[3]))
end
return {1, 0, 0}
"""
)

_ABANDON = script(
    _READ
    + """
if owner ~= ARGV[1] then return {2, 0, 0} end
redis.call('HDEL', KEYS[1], 'until')
return {1, 0, 0}
"""
)

_LOOK = script(
    _READ
    + """
if owner then pause = 0 end
return {3, pause, 0}
"""
)


class RedisLock:
    """The `GrantLock` port, on the connections of `client`."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._layout = Layout(client.prefix)

    async def begin(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> Turn:
        """See the port."""
        state, number, doubt = await self._run(_BEGIN, lookup, owner, *_terms(lease, keep))
        match state:
            case 1:
                return Mine(_doubt(doubt), taken_over=number != 0)
            case 2:
                return Held(max(0, number) / 1000)
            case _:
                return NotYet(max(0, number) / 1000)

    async def renew(self, lookup: LookupId, owner: str, *, lease: float, keep: float) -> bool:
        """See the port."""
        state, _, _ = await self._run(_RENEW, lookup, owner, *_terms(lease, keep))
        return state == _YOURS

    async def finish(self, lookup: LookupId, owner: str, *, doubt: Doubt, pause: float) -> None:
        """See the port."""
        wait = milliseconds(pause) if pause > 0 else 0
        await self._run(_FINISH, lookup, owner, int(doubt), wait)

    async def abandon(self, lookup: LookupId, owner: str) -> None:
        """See the port."""
        await self._run(_ABANDON, lookup, owner)

    async def pause(self, lookup: LookupId) -> float:
        """See the port."""
        _, number, _ = await self._run(_LOOK, lookup)
        return max(0, number) / 1000

    async def _run(self, steps: Script, lookup: LookupId, *words: Word) -> Sequence[int]:
        step = Step((1, self._layout.grant(lookup), *words), _is_standing)
        (reply,) = await self._client.do(partial(self._client.run, steps, [step]))
        standing: Sequence[int] = reply
        return standing


def _terms(lease: float, keep: float) -> tuple[int, int]:
    """Return lease and time to live in milliseconds: a key never goes before its lease."""
    return milliseconds(lease), milliseconds(max(keep, lease))


def _doubt(number: int) -> Doubt:
    return Doubt(number) if number in tuple(Doubt) else Doubt.UNCLEAR


def _is_standing(reply: object) -> bool:
    return (
        isinstance(reply, list)
        and [type(number) for number in reply] == [int, int, int]
        and reply[0] in (_YOURS, _HELD, _NOT_YET)
    )
