# SPDX-License-Identifier: Apache-2.0
"""What a hostile server does, row by row of docs/answers.md: whole answers, and every way to give none.

Values and scripts for test_hostile_server.py; no test, and nothing of the product.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import time
from typing import TYPE_CHECKING

from httppeer import Request, reply

if TYPE_CHECKING:
    from collections.abc import Callable

    Script = Callable[[Request, socket.socket], bytes | None]

RECORDS = 3
"""In a batch."""


def said(answer: bytes) -> Script:
    return lambda request, stream: answer


def said_and_left(answer: bytes) -> Script:
    def script(request: Request, stream: socket.socket) -> None:
        stream.sendall(answer)

    return script


BOMB = gzip.compress(b" " * 100_000_000, 9)
PAGE = (b"<html>Please log in</html>", "Content-Type: text/html; charset=utf-8")
MESSAGE = {"message": "record 1 is not one"}

# By the row of the table: statuses, and the answers that bear them.
ANSWERS: dict[str, list[tuple[int, bytes]]] = {
    "2xx with anything else": [
        (200, reply(200, b"OK")),
        (201, reply(201)),
        (204, reply(204)),
        (200, reply(200, *PAGE)),
        (200, reply(200, BOMB, "Content-Encoding: gzip")),
        (200, reply(200, {"verdicts": ["accepted"] * (RECORDS - 1)})),
        (200, reply(200, {"accepted": 99, "verdicts": ["accepted"] * RECORDS})),
        (200, reply(200, b"[" * 100_000)),
        (201, b"HTTP/1.1 201 Created\r\n\r\n"),
    ],
    "200, 201, whole": [
        (200, reply(200)),
        (201, reply(201, b"\xff\xfe")),
        (201, b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        (200, reply(200, BOMB, "Content-Encoding: gzip")),
    ],
    "200, 201 without Content-Length or chunks": [
        (200, b"HTTP/1.1 200 OK\r\n\r\n{}"),
        (201, b"HTTP/1.1 201 Created\r\n\r\n"),
        (201, b"HTTP/1.0 201 Created\r\nConnection: close\r\n\r\n{}"),
    ],
    "200, 201 with a web page (text/html); any other 2xx": [
        (200, reply(200, *PAGE)),
        (202, reply(202)),
        (204, reply(204)),
        (206, reply(206, b"{}")),
    ],
    '400 with the `message` "Telemetry ID mismatch"': [(400, reply(400, {"message": "Telemetry ID mismatch"}))],
    "3xx": [(status, reply(status, b"", "Location: http://127.0.0.1:9/")) for status in (301, 302, 303, 307, 308)],
    "400, 409, 422 with a JSON `message`": [(each, reply(each, MESSAGE)) for each in (400, 409, 422)],
    "400, 409, 422 without a JSON `message`": [
        (400, reply(400, b"<html>Bad Request</html>")),
        (409, reply(409)),
        (422, reply(422)),
        (400, reply(400, {"message": 3})),
        (400, reply(400, b"{" * 100_000)),
    ],
    "401, 403": [(401, reply(401, b"", "WWW-Authenticate: Basic")), (403, reply(403, *PAGE))],
    "404, 405, 410": [(404, reply(404, *PAGE)), (405, reply(405)), (410, reply(410))],
    "406, 415": [(406, reply(406)), (415, reply(415, MESSAGE))],
    "407": [(407, reply(407))],
    "413": [(413, reply(413)), (413, reply(413, *PAGE))],
    "408, 425, 429, 5xx": [(status, reply(status)) for status in (408, 425, 429, 500, 502, 503, 504, 507, 599)],
    "anything else": [(status, reply(status)) for status in (402, 418, 431, 451, 499, 600)],
}

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def cut(data: bytes) -> Script:
    """So far, and then the connection is gone."""
    return said_and_left(data)


def half_closed(request: Request, stream: socket.socket) -> None:
    """Says that it will say no more, and stays."""
    stream.sendall(HEAD)
    stream.shutdown(socket.SHUT_WR)
    stream.recv(1)


def stalled(data: bytes) -> Script:
    """So far, and then nothing more."""

    def script(request: Request, stream: socket.socket) -> None:
        stream.sendall(data)
        with contextlib.suppress(OSError):
            stream.recv(1)

    return script


def dripping(request: Request, stream: socket.socket) -> None:
    """A byte at a time, and never too late for a socket's timeout."""
    with contextlib.suppress(OSError):
        for byte in reply(201, b"{}" * 5000):
            stream.sendall(bytes([byte]))
            time.sleep(0.2)


def endless(head: bytes, piece: bytes) -> Script:
    def script(request: Request, stream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            stream.sendall(head)
            while True:
                stream.sendall(piece)

    return script


SILENCES: dict[str, list[Script]] = {
    "dropped": [
        cut(b""),
        cut(HEAD + b"Content-Length: 100\r\n\r\n{}"),
        cut(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n"),
        cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        cut(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    ],
    "slow": [
        stalled(b""),
        stalled(b"HTTP/1.1 20"),
        stalled(HEAD),
        stalled(HEAD + b"Content-Length: 100\r\n\r\n{}"),
        stalled(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        dripping,
    ],
    "not-http": [
        cut(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
        cut(b"HTTP/1.1 abc\r\n\r\n"),
        cut(b"HT"),
        cut(b"\x16\x03\x01\x02\x00" * 20 + b"\n"),
        cut(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
        cut(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536),
        endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
    ],
    "oversized": [
        endless(HEAD + b"Content-Length: 1000000000000\r\n\r\n", b" " * 65536),
        endless(HEAD + b"\r\n", b" " * 65536),
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    ],
}
UNENDED: list[Script] = [cut(HEAD), cut(b"HTTP/1.1 201 Created\r\n"), half_closed]
"""What http.client takes for an answer without a body."""
ADDRESSES: dict[str, list[str]] = {
    "address": [
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "",
        "http://",
        "http://a..b",
        "http://127.0.0.1:99999",
        "http://[::1",
    ],
    "name": ["http://[fe80::1%25nosuch0]:80"],
}
