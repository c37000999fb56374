"""The marks that logouts leave for logins they overtake, in Redis (J13, ADR 0023).

    {prefix}t:{name}     string      the greatest number written (decimal)

Pure: builds commands, judges replies, as `redis_scripts` does for everything else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.adapters.redis_scripts import Step, is_flag, milliseconds, script, values
from gateway.ports import IndexName

# A value of another type, or one that is no number, gives way.
MARK = script("""
local value = ARGV[1]
if redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  local known = redis.call('GETRANGE', KEYS[1], 0, 63)
  local number = tonumber(known)
  if number and number > tonumber(value) then value = known end
end
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
return 1
""")


@dataclass(frozen=True, slots=True)
class Marks:
    """Names the keys and builds the steps, under one prefix."""

    prefix: str

    def write(self, name: IndexName, value: float, ttl: float) -> Step:
        """Arguments of `MARK`."""
        return Step((1, self._key(name), repr(float(value)), milliseconds(ttl)), is_flag)

    def read(self, names: Sequence[IndexName]) -> Step:
        """What is of another type reads as absent."""
        return Step(("MGET", *map(self._key, names)), values(len(names)))

    def _key(self, name: IndexName) -> str:
        return f"{self.prefix}t:{name}"


def number(value: bytes | None) -> float | None:
    """Return the number of a stored mark; None when there is none, or what is there is none."""
    try:
        found = float(value or b"")
    except ValueError:
        return None
    return found if math.isfinite(found) else None
