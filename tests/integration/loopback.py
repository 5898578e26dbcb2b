# SPDX-License-Identifier: Apache-2.0
"""A port of 127.0.0.1, every connection to it served in a thread of its own: what the scripted server and the proxy
have in common. What is said on a connection is for them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

JOIN_S = 20


class Loopback(ABC):
    """Listens from the end of __init__ on, so that a subclass makes its own things first."""

    def __init__(self) -> None:
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.start(self._accept)

    @abstractmethod
    def serve(self, stream: socket.socket, number: int) -> None:
        """One connection; they count from 1."""

    def start(self, target: Callable[..., None], *arguments: object) -> None:
        """Another thread, which `close` waits for."""
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def keep(self, stream: socket.socket) -> None:
        """`close` ends it."""
        self._open.append(stream)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(JOIN_S)  # nobody more is let in
        self._listener.close()
        for stream in self._open:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(JOIN_S)
        for stream in self._open:
            stream.close()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.keep(stream)
            self.start(self.serve, stream, self.connections)
