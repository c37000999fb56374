"""The private line between the supervisor and one worker: JSON, one message per line.

Both ends notice at once when the other process is gone, however it went: its end is closed.
"""

import asyncio
import json
import socket
from typing import Any

Message = dict[str, Any]

_LONGEST = 16 * 1024 * 1024  # octets of a line; metrics are the longest


class Channel:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Channel":
        """Return a channel over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_LONGEST))

    async def receive(self) -> Message | None:
        """Return the next message; None when the other process is gone, or out of its mind."""
        try:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):  # it ended in the middle of a message
                return None
            message = json.loads(line)
        except (OSError, ValueError, RecursionError):
            return None
        return message if isinstance(message, dict) else None

    def send(self, **members: object) -> None:
        """Send a message; to a process that is gone it gets lost."""
        # asyncio drops what is written to a closed transport; uvloop raises RuntimeError.
        if not self._writer.is_closing():
            self._writer.write(json.dumps(members).encode() + b"\n")

    async def flush(self) -> None:
        """Wait until what was sent has left this process."""
        try:
            await self._writer.drain()
        except OSError:
            return

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
