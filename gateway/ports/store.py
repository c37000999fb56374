"""Where sessions lie, shared by every worker of every host."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

LookupId = NewType("LookupId", str)
"""Where a session lies in the store: derived from the handle, useless for getting back to it."""

IndexName = NewType("IndexName", str)
"""Names the set of sessions of one (iss, sub) or one (iss, sid); a keyed hash, never in clear."""


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

    async def end(self, lookup: LookupId, indexes: Sequence[IndexName]) -> bool:
        """Delete the record and its index entries. True when a record was there."""
        ...

    async def members(self, index: IndexName) -> list[LookupId]:
        """Return the lookup ids entered in the index; some may have ended."""
        ...

    async def claim(self, name: str, *, ttl: float) -> bool:
        """Return True for exactly one caller per name until `ttl` is over (one-time use, E4)."""
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
