"""The connection under a request, for answers that HTTP libraries refuse to send.

uvicorn's h11 protocol will not send a body that contradicts its Content-Length, nor close a connection in
the middle of an answer. :class:`WireProtocol` therefore puts a :class:`Wire` into each request's state, which
writes bytes as they are.
"""

from __future__ import annotations

import array
import asyncio
import socket
import struct
import sys
import time
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

#: For how long a reset waits for the kernel to hand over what was sent before it.
_FLUSH_SECONDS = 2.0


class ClientGoneError(Exception):
    """The client closed the connection while it was being answered."""


class Wire:
    """Raw access to one connection."""

    def __init__(self, protocol: WireProtocol) -> None:
        self._protocol = protocol
        self._gone = asyncio.Event()

    @property
    def gone(self) -> bool:
        """Whether the connection is closed, by either side."""
        return self._gone.is_set()

    def mark_gone(self) -> None:
        """Note that the connection is closed."""
        self._gone.set()

    async def write(self, data: bytes) -> None:
        """Send bytes past the HTTP layer, at the client's pace."""
        if self.gone:
            raise ClientGoneError
        self._protocol.transport.write(data)
        if self._protocol.flow.write_paused:
            await self._protocol.flow.drain()
        await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        """Stay silent, but stop as soon as the client goes away."""
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise ClientGoneError

    async def close(self) -> None:
        """Send what is buffered, then close without a further word."""
        self._protocol.transport.close()
        await self._gone.wait()

    async def reset(self) -> None:
        """Send what is buffered, then close with a TCP reset."""
        transport = self._protocol.transport
        sock = cast("socket.socket | None", transport.get_extra_info("socket"))
        deadline = time.monotonic() + _FLUSH_SECONDS
        while time.monotonic() < deadline and not self.gone and self._unsent(sock):
            await asyncio.sleep(0.002)
        if sock is not None and not self.gone:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self._gone.wait()

    def _unsent(self, sock: socket.socket | None) -> bool:
        if self._protocol.transport.get_write_buffer_size():
            return True
        if sock is None or sys.platform == "win32":
            return False
        import fcntl
        import termios

        queued = array.array("i", [0])
        try:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
        except OSError:
            return False
        return bool(queued[0])


class WireProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with a :class:`Wire` in ``request.state.wire``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the wire where requests find it."""
        self.wire = Wire(self)
        self.app_state: dict[str, Any] = {**self.app_state, "wire": self.wire}
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever is writing."""
        super().connection_lost(exc)
        self.wire.mark_gone()
