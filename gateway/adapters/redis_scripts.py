"""What lies in Redis, and the steps that change it. Pure: builds commands, judges replies.

    {prefix}s:{lookup}   string      8 octets of generation (big-endian), then the sealed session
    {prefix}i:{name}     sorted set  lookup ids, scored by when the entry runs out (epoch ms)
    {prefix}c:{name}     string      a claim
    {prefix}x:{lookup}   string      an ended session, for its refresh token; as under s:
    {prefix}t:{name}     string      the mark of a logout; see `redis_marks`
    {prefix}g:{lookup}   hash        the lock on a session's grants; see `redis_lock`
    {prefix}v:revocations sorted set tokens to revoke; see `redis_revocations`
    {prefix}w:{name}:{n} string      a write of a worker that watches; see `redis_tracking`

Rules: every key has a time to live. Whatever must be atomic is one command or one Lua step, and a
Lua step touches one key only, so that Redis Cluster can carry it out. Expiry is judged by the
server's clock, not by ours.

A server or ACL must allow: MGET SET DEL ZADD ZREM ZCARD ZSCORE ZRANGE ZRANGEBYSCORE
ZREMRANGEBYSCORE TYPE GETRANGE HMGET HSET HDEL PEXPIRE PEXPIREAT TIME EVAL EVALSHA PING (and AUTH,
SELECT). The gateway uses nothing else but

    SCAN

when an operator ends all sessions, or all of one provider (without it: 503), and

    CLIENT|ID CLIENT|TRACKING SUBSCRIBE, and the channel __redis__:invalidate

which it does without where they are not allowed: then every request reads its session.
"""

import hashlib
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.ports import IndexName, LookupId, StoredRecord

Word = str | bytes | int

INVALIDATIONS = b"__redis__:invalidate"
"""The channel on which a server announces changed keys to a connection that speaks RESP2."""

_PROOF_LIVES = 2.0  # seconds; nobody reads it, its being written is all

_PARTS_OF_A_PAGE = 2  # where to go on, and the keys

_GENERATION = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and what its reply must look like.

    A reply that does not fit means that the connection has lost count, or that no Redis is at its
    other end: it must not be used again (CVE-2023-28858 handed one user's data to another so).
    """

    words: tuple[Word, ...]
    fits: Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua step, known to the server by its digest once it has been sent in full."""

    text: str
    digest: str

    def by_digest(self, step: Step) -> Step:
        """Return the call that sends only the digest; the reply may be NOSCRIPT."""
        return Step(("EVALSHA", self.digest, *step.words), step.fits)

    def in_full(self, step: Step) -> Step:
        """Return the call that also teaches the server the script."""
        return Step(("EVAL", self.text, *step.words), step.fits)


def script(text: str) -> Script:
    """Return a Lua step with its digest."""
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# A value of another type, or one cut short, is at no generation: nothing to replace (F7).
REPLACE = script("""
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' then return 0 end
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")

# Whether something was there, and what: of another type, it is gone all the same (F7).
TAKE = script("""
local value = ''
if redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  value = redis.call('GETRANGE', KEYS[1], 0, -1)
end
return {redis.call('DEL', KEYS[1]), value}
""")

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# GT: a second entry of the same session never shortens the first. The set lives as long as its
# longest entry, whatever was there before.
ENTER = script(
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + ARGV[2]), ARGV[1])
local longest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', longest[2]))
return 1
"""
)

MEMBERS = script(
    NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', now), '+inf')
"""
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Names the keys and builds the steps, under one prefix."""

    prefix: str

    def read(self, lookups: Sequence[LookupId]) -> Step:
        """MGET even for one: a key of another type reads as absent, and the reply has a shape."""
        return Step(("MGET", *map(self._session, lookups)), values(len(lookups)))

    def create(self, lookup: LookupId, record: StoredRecord, ttl: float) -> Step:
        """Store the record if nothing is there."""
        words = ("SET", self._session(lookup), pack(record), "NX", "PX", milliseconds(ttl))
        return Step(words, _is_ok_or_nil)

    def replace(self, lookup: LookupId, record: StoredRecord, expected: int, ttl: float) -> Step:
        """Arguments of `REPLACE`."""
        generation = _GENERATION.pack(expected)
        words = (1, self._session(lookup), generation, pack(record), milliseconds(ttl))
        return Step(words, is_flag)

    def enter(self, index: IndexName, lookup: LookupId, ttl: float) -> Step:
        """Arguments of `ENTER`."""
        return Step((1, self._index(index), lookup, milliseconds(ttl)), is_flag)

    def members(self, index: IndexName) -> Step:
        """Arguments of `MEMBERS`."""
        return Step((1, self._index(index)), _is_names)

    def scan(self, cursor: bytes, count: int) -> Step:
        """Name keys of sessions from there on, about so many looked at."""
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", self._session(""))
        return Step(("SCAN", cursor, "MATCH", f"{pattern}*", "COUNT", count), _is_page)

    def end(self, lookup: LookupId, indexes: Sequence[IndexName]) -> list[Step]:
        """Delete the record first, which is what ends a session, then its index entries."""
        delete = Step(("DEL", self._session(lookup)), is_flag)
        return [delete, *self.leave(lookup, indexes)]

    def take_live(self, lookup: LookupId) -> Step:
        """Arguments of `TAKE`, for a session."""
        return Step((1, self._session(lookup)), _is_taken)

    def take_kept(self, lookup: LookupId) -> Step:
        """Arguments of `TAKE`, for what was kept of an ended one."""
        return Step((1, self._kept(lookup)), _is_taken)

    def leave(self, lookup: LookupId, indexes: Sequence[IndexName]) -> list[Step]:
        """Delete index entries."""
        return [Step(("ZREM", self._index(name), lookup), is_flag) for name in indexes]

    def keep(self, lookup: LookupId, value: bytes, ttl: float) -> Step:
        """Keep what `TAKE` took."""
        return Step(("SET", self._kept(lookup), value, "PX", milliseconds(ttl)), _is_ok)

    def claim(self, name: str, ttl: float) -> Step:
        """Take a name nobody has taken."""
        words = ("SET", f"{self.prefix}c:{name}", "1", "NX", "PX", milliseconds(ttl))
        return Step(words, _is_ok_or_nil)

    def claims(self, name: str) -> Step:
        """Look whether a name is taken."""
        return Step(("MGET", f"{self.prefix}c:{name}"), values(1))

    def ping(self) -> Step:
        """Ask for a sign of life."""
        return Step(("PING",), _is_pong)

    @staticmethod
    def own_id() -> Step:
        """Ask for the connection's number at the server."""
        return Step(("CLIENT", "ID"), _is_number)

    def track(self, client_id: int, watcher: str) -> Step:
        """Have changed sessions, locks and this watcher's proofs announced to that connection."""
        redirect = ("CLIENT", "TRACKING", "ON", "REDIRECT", client_id, "BCAST")
        watched = (self._session(""), self.grant(""), self._proof(watcher, ""))
        prefixes = tuple(word for prefix in watched for word in ("PREFIX", prefix))
        return Step((*redirect, *prefixes), _is_ok)

    @staticmethod
    def listen() -> Step:
        """Take announcements as messages; after this the connection can do little else."""
        return Step(("SUBSCRIBE", INVALIDATIONS), _is_subscribed)

    def prove(self, watcher: str, number: int) -> Step:
        """Write something that only this watcher is told of, each number once."""
        words = ("SET", self._proof(watcher, number), "1", "PX", milliseconds(_PROOF_LIVES))
        return Step(words, _is_ok)

    def session_in(self, key: bytes) -> bytes | None:
        """Return the lookup id in the key of a session, else None."""
        return _after(self._session("").encode(), key)

    def grant_in(self, key: bytes) -> bytes | None:
        """Return the lookup id in the key of a lock on grants, else None."""
        return _after(self.grant("").encode(), key)

    def grant(self, lookup: str) -> str:
        """Return the key of the lock on a session's grants."""
        return f"{self.prefix}g:{lookup}"

    def _session(self, lookup: str) -> str:
        return f"{self.prefix}s:{lookup}"

    def _kept(self, lookup: str) -> str:
        return f"{self.prefix}x:{lookup}"

    def _proof(self, watcher: str, number: int | str) -> str:
        return f"{self.prefix}w:{watcher}:{number}"

    def _index(self, name: IndexName) -> str:
        return f"{self.prefix}i:{name}"


def pack(record: StoredRecord) -> bytes:
    """Return the stored form of a record."""
    return _GENERATION.pack(record.generation) + record.sealed


def unpack(value: bytes | None) -> StoredRecord | None:
    """Return the record of a stored value; None when there is none or it was cut short (F7)."""
    if value is None or len(value) < _GENERATION.size:
        return None
    (generation,) = _GENERATION.unpack_from(value)
    return StoredRecord(generation, value[_GENERATION.size :])


def milliseconds(ttl: float) -> int:
    """Return a time to live (seconds) for Redis, which refuses zero: what is over lives 1 ms."""
    return max(1, math.ceil(ttl * 1000))


def _after(prefix: bytes, key: bytes) -> bytes | None:
    return key[len(prefix) :] if key.startswith(prefix) else None


def values(count: int) -> Callable[[object], bool]:
    """Return what a reply with so many values, each octets or absent, fits."""

    def fits(reply: object) -> bool:
        return (
            isinstance(reply, list)
            and len(reply) == count
            and all(value is None or isinstance(value, bytes) for value in reply)
        )

    return fits


def _is_names(reply: object) -> bool:
    return isinstance(reply, list) and all(isinstance(name, bytes) for name in reply)


def _is_page(reply: object) -> bool:
    if not isinstance(reply, list) or len(reply) != _PARTS_OF_A_PAGE:
        return False
    return isinstance(reply[0], bytes) and reply[0].isdigit() and _is_names(reply[1])


def _is_taken(reply: object) -> bool:
    match reply:
        case [int(deleted), bytes()]:
            return deleted in (0, 1)
    return False


def _is_ok_or_nil(reply: object) -> bool:
    return reply is None or reply == b"OK"


def _is_ok(reply: object) -> bool:
    return reply == b"OK"


def _is_number(reply: object) -> bool:
    return type(reply) is int


def _is_subscribed(reply: object) -> bool:
    return reply == [b"subscribe", INVALIDATIONS, 1]


def is_flag(reply: object) -> bool:
    """Whether the reply is 0 or 1."""
    return type(reply) is int and reply in (0, 1)


def _is_pong(reply: object) -> bool:
    return reply == b"PONG"
