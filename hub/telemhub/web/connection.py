# SPDX-License-Identifier: Apache-2.0
"""One HTTP connection with the limits that uvicorn leaves open: how many there are, how long a request's head may
take, and how long and how much a client may not read. Nothing of what is asked is known here; whose place a newcomer
gets when all are taken is decided in places, and whose answer is too much in unread.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from telemhub.web.places import Places
from telemhub.web.unread import Unread

if TYPE_CHECKING:
    import asyncio

CONNECTIONS_MAX: Final = 512

HEAD_BYTES_MAX: Final = 16 * 1024

HEAD_DEADLINE_S: Final = 10.0
"""From the connection, or the first byte of a later request, to the end of the head."""

IDLE_S: Final = 60
"""A kept connection without a request."""

UNREAD_MS: Final = 30_000
"""Until the kernel gives up a connection whose client doesn't take what is sent."""

UNREAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of answers that clients haven't taken yet, all together; some ten of the largest pages."""

_OVERLOADED_BODY: Final = b'{"message":"the hub has too many connections"}'
_OVERLOADED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
) % (len(_OVERLOADED_BODY), _OVERLOADED_BODY)


def bounded_connections(limit: int = CONNECTIONS_MAX) -> type[BoundedConnection]:
    """A kind of connection of which there are at most so many."""
    return type("Connection", (BoundedConnection,), {"places": Places(limit), "unread": Unread(UNREAD_BYTES_MAX)})


class BoundedConnection(H11Protocol):
    """See the limits above."""

    places: Places[BoundedConnection]
    unread: Unread[BoundedConnection]
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        displaced = self.places.enter(self, self.client[0] if self.client else "")
        if displaced is self:
            transport.write(_OVERLOADED)
            transport.close()
            return
        if displaced is not None:
            displaced.transport.abort()
        peer: socket.socket = transport.get_extra_info("socket")
        # asyncio does this only for sockets that were made with the protocol's number; without it an answer, whose head
        # and body are written apart, waits 40 ms for the client's delayed acknowledgement.
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self.places.is_answered(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.places.waits(self)
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        size = self.transport.get_write_buffer_size()
        for other in self.unread.add(self, self.client[0] if self.client else "", size):
            other.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        self.unread.forget(self)
        self.places.leave(self)
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        """The clock runs while a head has begun and isn't complete."""
        if self.conn.their_state is not h11.IDLE:
            self._cancel()
        elif self.conn.trailing_data[0] and self._head_timer is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.abort()

    def _cancel(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
