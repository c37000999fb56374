"""A transport without a socket, as strict as the real ones about what may be called when."""

import asyncio
from typing import Any


class MemoryTransport(asyncio.Transport):
    """Remembers what is written; the test plays the client."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.said_eof = False
        self.paused = False
        self.aborted = False
        self._closing = False
        self._loop = asyncio.get_running_loop()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("203.0.113.7", 40000) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        if self.said_eof:
            raise RuntimeError("cannot write after an end of file")
        if not self._closing:
            self.written += data

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._closing:
            raise RuntimeError("cannot say an end of file while closing")
        self.said_eof = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        if self._closing:
            raise RuntimeError("cannot pause while closing")
        self.paused = True

    def resume_reading(self) -> None:
        if self._closing:
            raise RuntimeError("cannot resume while closing")
        self.paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    async def receive(self, data: bytes) -> bool:
        """Deliver octets when they are wanted; False when they never are."""
        for _ in range(200):
            if self._closing:
                return False
            if not self.paused:
                self.protocol.data_received(data)
                return True
            await asyncio.sleep(0)
        return False

    async def hang_up(self) -> None:
        """The client closes; return when everybody has noticed."""
        if not self._closing:
            self.protocol.eof_received()
            self.close()
        for _ in range(20):
            await asyncio.sleep(0)
