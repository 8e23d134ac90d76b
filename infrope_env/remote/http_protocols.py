"""uvicorn's protocols, bounded: idle connections cost a server nothing, and too large a message is refused in words."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from infrope_env.remote.limits import REQUEST_S

LAST_WORDS_S = 2.0
"""Seconds in which a client that breaks the protocol can read why, while what it sends is discarded."""


class PatientWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose client learns why it is closed even while it sends.

    Data that is not read when a connection is closed resets it, and with it the close frame on its way.
    """

    _is_discarding = False

    def data_received(self, data: bytes) -> None:
        """Handle data, or discard it once the connection has failed."""
        if not self._is_discarding:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Send the reason, end the own side, and close when the client has closed or the time is up."""
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._is_discarding = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LAST_WORDS_S, self.transport.abort)


class PendingConnections:
    """The HTTP connections of a server, oldest first. One more than the bound closes the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._connections: dict[Any, None] = {}

    def add(self, connection: H11Protocol) -> None:
        """Add a connection that was made."""
        while len(self._connections) >= self._most:
            oldest = next(iter(self._connections))
            self.remove(oldest)
            oldest.transport.abort()
        self._connections[connection] = None

    def remove(self, connection: H11Protocol) -> None:
        """Remove a connection that has ended or become a WebSocket."""
        self._connections.pop(connection, None)


def make_protocol(most: int) -> type[H11Protocol]:
    """Return uvicorn's HTTP protocol with at most so many connections, each with limited time for its request."""
    pending = PendingConnections(most)

    class BoundedProtocol(H11Protocol):
        """HTTP, bounded."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Count the connection."""
            super().connection_made(transport)
            pending.add(self)
            self._deadline = self.loop.call_later(REQUEST_S, self._end_if_idle)

        def connection_lost(self, exc: Exception | None) -> None:
            """Count it no more."""
            self._forget()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: Any) -> None:
            """Leave it to the WebSocket's protocol."""
            self._forget()
            super().handle_websocket_upgrade(event)

        def _forget(self) -> None:
            pending.remove(self)
            if self._deadline is not None:
                self._deadline.cancel()

        def _end_if_idle(self) -> None:
            if self.cycle is None:  # no whole request yet
                self.transport.abort()

    return BoundedProtocol
