# SPDX-License-Identifier: Apache-2.0
"""One GET over a Unix socket or to an address of this machine, with an end to its time and its size.

It speaks HTTP/1.0, so that an answer comes in one piece and ends with the connection; Docker, Podman and what else
speaks HTTP/1.1 know that. Nothing is followed, kept or sent but the request. What an answer means never comes in here.
"""

from __future__ import annotations

import _socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HEAD_BYTES_MAX: Final = 65_536
PIECE_BYTES: Final = 65_536


class Answer:
    """status: of HTTP, as in 200."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class Place:
    """Whom to ask. unix: the path of a socket; where it is "", host (an address in numbers) and port count."""

    __slots__ = ("host", "port", "unix")

    def __init__(self, unix: str = "", host: str = "", port: int = 0) -> None:
        self.unix = unix
        self.host = host
        self.port = port


def get(place: Place, target: str, end_s: float, bytes_max: int) -> Answer:
    """The answer to GET target, all of it by end_s of the monotonic clock. OSError (TimeoutError is one): there is none
    in time; ValueError: it isn't HTTP, too large, or ends early."""
    question = Question(place, target, end_s)
    try:
        return question.answer(end_s, bytes_max)
    finally:
        question.close()


class Question:
    """A GET that was sent, so that several can be on their way at a time."""

    __slots__ = ("_asking",)

    def __init__(self, place: Place, target: str, end_s: float) -> None:
        """OSError: nobody is there in time."""
        family = _socket.AF_UNIX if place.unix else _socket.AF_INET6 if ":" in place.host else _socket.AF_INET
        self._asking = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        host = "localhost" if place.unix else f"[{place.host}]" if ":" in place.host else place.host
        try:
            _wait(self._asking, end_s)
            self._asking.connect(place.unix or (place.host, place.port))
            self._asking.sendall(f"GET {target} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n".encode("ascii"))
        except BaseException:
            self._asking.close()
            raise

    def answer(self, end_s: float, bytes_max: int) -> Answer:
        """As get()."""
        return _answer(self._asking, end_s, bytes_max)

    def close(self) -> None:
        """Whether it was answered or not."""
        self._asking.close()


def _wait(asking: _socket.socket, end_s: float) -> None:
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError(110, "no answer in time")
    asking.settimeout(left_s)


def _answer(asking: _socket.socket, end_s: float, bytes_max: int) -> Answer:
    content = bytearray()
    status, begin, size = 0, 0, -1
    while size < 0 or len(content) < begin + size:
        _wait(asking, end_s)
        piece = asking.recv(PIECE_BYTES)
        if not piece:
            break
        content += piece
        if not begin and (begin := content.find(b"\r\n\r\n") + 4) > 3:
            status, size = head(bytes(content[: begin - 4]))
        elif begin < 4:
            begin = 0
            if len(content) > HEAD_BYTES_MAX:
                raise ValueError("the answer isn't HTTP, or has a very long head")
        if begin and max(size, len(content) - begin) > bytes_max:
            raise ValueError(f"the answer is larger than {bytes_max} bytes")
    if not begin or len(content) < begin + size:
        raise ValueError("the answer ends early")
    return Answer(status, bytes(content[begin : begin + size] if size >= 0 else content[begin:]))


def head(text: bytes) -> tuple[int, int]:
    """Status and length of the body, -1 where it isn't told, from an answer's head. ValueError: it isn't one."""
    first, *lines = text.split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
        raise ValueError("the answer isn't HTTP")
    size = -1
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip()
        if name == b"content-length":
            if not value.isdigit() or len(value) > 15:
                raise ValueError("the answer tells no true length")
            size = int(value)
        elif name == b"transfer-encoding":
            raise ValueError("the answer is encoded, though HTTP/1.0 was asked for")
    return int(words[1]), size
