# SPDX-License-Identifier: Apache-2.0
"""A small HTTP proxy for tests: CONNECT, and requests in full. It remembers what it was asked, and may refuse all."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loopback import Loopback

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


class Proxy(Loopback):
    """refusal: a whole HTTP answer to everything, instead of service."""

    def __init__(self, refusal: bytes, tls: ssl.SSLContext | None) -> None:
        self.heads: list[str] = []
        self._refusal = refusal
        self._tls = tls
        super().__init__()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
                self.keep(client)
            head, rest = _head(client)
            self.heads.append(head)
            if self._refusal:
                client.sendall(self._refusal)
                return
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            where = urlsplit(f"//{target}" if method == "CONNECT" else target)
            assert where.hostname
            server = socket.create_connection((where.hostname, where.port or 80), 20)
            self.keep(server)
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(rest)
            else:
                server.sendall(head.replace(target, where.path, 1).encode("latin-1") + b"\r\n\r\n" + rest)
            self.start(_pump, server, client)
            _pump(client, server)


def _head(client: socket.socket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            raise OSError("no request")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxying(refusal: bytes = b"", tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    proxy = Proxy(refusal, tls)
    try:
        yield proxy
    finally:
        proxy.close()
