"""Has one worker look, every few seconds, for tokens that are still to be revoked."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.ports import Entropy

_log = logging.getLogger("gateway.revocation")

EVERY = 5.0
"""Seconds between two looks, give or take a fifth, so that many workers do not look as one."""

_CANCEL_AGAIN = 0.05  # seconds


class RevocationPump:
    """Calls `run_due` every so many seconds, until it is closed."""

    def __init__(
        self, run_due: Callable[[], Awaitable[None]], entropy: Entropy, every: float = EVERY
    ) -> None:
        self._run_due = run_due
        self._entropy = entropy
        self._every = every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, once. Raises RuntimeError where no event loop runs."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_looking())

    async def aclose(self) -> None:
        """Look no more; what was taken comes back when its lease is over. Idempotent."""
        while self._task is not None and not self._task.done():
            self._task.cancel()  # again, if whatever it waits for has swallowed it
            await asyncio.wait({self._task}, timeout=_CANCEL_AGAIN)

    async def _keep_looking(self) -> None:
        while True:
            (lot,) = self._entropy.octets(1)
            await asyncio.sleep(self._every * (0.8 + 0.4 * lot / 255))
            try:
                await self._run_due()
            except Exception:  # noqa: BLE001  a bug; it must not end this for all of a worker's life
                _log.exception("looking for tokens to revoke failed")
