"""Back-pressure of one connection, for as little memory as an idle one is worth."""

import asyncio


class Flow:
    """What uvicorn's `FlowControl` does, without an event for those who never wait.

    Thousands of connections lie idle or listen to a stream at a time; the event alone would be a
    tenth of what one of them takes.
    """

    __slots__ = ("_transport", "_writable", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Both directions flow at first."""
        self._transport = transport
        self._writable: asyncio.Event | None = None
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        """Return when what is buffered has become little enough, or the connection is lost."""
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_reading(self) -> None:
        """Read nothing for now."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """It has drained, or nobody is there any more."""
        self.write_paused = False
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()
