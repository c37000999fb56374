"""Where sessions lie, shared by every worker of every host."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

LookupId = NewType("LookupId", str)
"""Where a session lies in the store: derived from the handle, useless for getting back to it."""

IndexName = NewType("IndexName", str)
"""Names the set of sessions of one (iss, sub) or one (iss, sid), or the mark of a logout; a keyed
hash, never in clear."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A sealed session and the generation it was written as (1 for a new one)."""

    generation: int
    sealed: bytes


class Changes(Protocol):
    """Told what others (and we) change in the store, while the link holds (design: coherence)."""

    def changed(self, lookup: LookupId) -> None:
        """The record under this id was written, deleted or ran out; forget copies of it."""
        ...

    def grant_changed(self, lookup: LookupId) -> None:
        """The lock on this session's grants was taken, renewed or given back (`GrantLock`)."""
        ...

    def everything(self) -> None:
        """The link was lost, made anew, or the store was emptied; forget every copy."""
        ...


class SessionStore(Protocol):
    """Sealed sessions by lookup id. There is no `set`: nothing revives an ended session (D6).

    Times to live are seconds, may be fractional, and are enforced by the store itself: every key
    has one. Any method raises `Unavailable(STORE_UNAVAILABLE)`; after that the write may or may
    not have happened, and the caller must not assume either.
    """

    async def read(self, lookup: LookupId) -> StoredRecord | None:
        """Return the live record, or None when there is none."""
        ...

    async def read_many(self, lookups: Sequence[LookupId]) -> list[StoredRecord | None]:
        """Return what `read` would for each, in order."""
        ...

    async def create(
        self,
        lookup: LookupId,
        record: StoredRecord,
        *,
        ttl: float,
        indexes: Sequence[IndexName],
        index_ttl: float,
    ) -> bool:
        """Store a record that must not exist yet and enter it in every index.

        False when the lookup id is taken. An index entry is dropped after `index_ttl`, the
        session's absolute end; it may for a while name a session that has ended.
        """
        ...

    async def replace(
        self, lookup: LookupId, record: StoredRecord, *, expected: int, ttl: float
    ) -> bool:
        """Overwrite the record only if it exists at generation `expected`; else False."""
        ...

    async def end(
        self, lookup: LookupId, indexes: Sequence[IndexName], *, keep: float = 0.0
    ) -> bool:
        """Delete the record and its index entries. True when a record was there.

        For `keep` seconds it is still there for `take`: sealed as it was, and no session any more.
        It may be lost, the session has ended all the same.
        """
        ...

    async def take(self, lookup: LookupId) -> StoredRecord | None:
        """Return what `end` kept, to exactly one caller: it is deleted."""
        ...

    async def members(self, index: IndexName) -> list[LookupId]:
        """Return the lookup ids entered in the index; some may have ended."""
        ...

    def scan(self, batch: int) -> AsyncIterator[Sequence[LookupId]]:
        """Go through all sessions, about `batch` lookup ids at a time; some may have ended.

        Every session that is there from the beginning to the end is named, perhaps twice; of those
        that come or go meanwhile, nobody knows.
        """
        ...

    async def claim(self, name: str, *, ttl: float) -> bool:
        """Return True for exactly one caller per name until `ttl` is over (one-time use, E4)."""
        ...

    async def claimed(self, name: str) -> bool:
        """Return whether the name is claimed now; claims nothing."""
        ...

    async def mark(self, names: Sequence[IndexName], value: float, *, ttl: float) -> None:
        """Write a number under each name, for `ttl` from now; a greater one there stays (J13).

        Each name is one atomic step. After a failure some may be written; it is safe to repeat.
        """
        ...

    async def marks(self, names: Sequence[IndexName]) -> list[float | None]:
        """Return the number under each name, in order; None where there is none."""
        ...

    def watch(self, changes: Changes) -> None:
        """Tell of every change from now on; call before the first read.

        RuntimeError when called again: one of the two would trust its copies and hear of nothing.
        """
        ...

    def is_watched(self) -> bool:
        """Whether every change of more than a second ago has been told: copies may be used.

        Proven by traffic on the link, not assumed; costs no more than a comparison.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...
