"""A store whose memory is full, as far as marks and claims go."""

from collections.abc import Sequence

from gateway.errors import Code, Unavailable
from gateway.ports import IndexName
from tests.support.memory_store import MemoryStore


class FullStore(MemoryStore):
    """A store that takes nothing new, and deletes what it is told to (`OOM`)."""

    full = False

    async def mark(self, names: Sequence[IndexName], value: float, *, ttl: float) -> None:
        self._refuse()
        await super().mark(names, value, ttl=ttl)

    async def claim(self, name: str, *, ttl: float) -> bool:
        self._refuse()
        return await super().claim(name, ttl=ttl)

    def _refuse(self) -> None:
        if self.full:
            raise Unavailable(Code.STORE_UNAVAILABLE, note="OOM")
