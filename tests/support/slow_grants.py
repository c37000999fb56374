"""A provider whose token endpoint can be held up: the grant is made, its answer is on the way."""

import asyncio
from typing import Any

from tests.support.provider import FakeProvider


class SlowGrants:
    """Holds the next so many answers of the token endpoint back until `release`.

    `waiting` counts them.
    """

    def __init__(self, provider: FakeProvider, most: int = 1000) -> None:
        self._provider = provider
        self._most = most
        self._plain = provider.send
        self._gate = asyncio.Event()
        self.waiting = 0
        self.begun = asyncio.Event()
        provider.send = self._send  # type: ignore[method-assign]  # the same, later

    def release(self) -> None:
        """Let every answer through, from now on."""
        self._gate.set()

    async def _send(self, request: Any) -> Any:
        answer = await self._plain(request)
        if request.url == self._provider.url("/token") and self.waiting < self._most:
            self.waiting += 1
            self.begun.set()
            await self._gate.wait()
        return answer
