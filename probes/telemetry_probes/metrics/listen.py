# SPDX-License-Identifier: Apache-2.0
"""The last samples as Prometheus text, for who asks on a Unix socket or on loopback.

No other address: there is no password. Each caller has a thread of its own for a short time, so that nobody who is slow
holds up a sample. What the text looks like is prometheus' to say.
"""

from __future__ import annotations

import _thread
import posix
from time import monotonic

from telemetry_probes.metrics import prometheus
from telemetry_probes.program import Mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from socket import socket

    from telemetry_probes.metrics.model import Series, Value

CALLERS_MAX = 4
"""At a time; others are closed."""
REQUEST_BYTES_MAX = 8192
PATIENCE_S = 2.0
"""For the whole request, and for the whole answer."""
BACKLOG = 16
"""Callers that wait, and that are let in, or closed, at a time."""
THREAD_STACK_BYTES = 512 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SOCKET_PATH_BYTES_MAX = 107
"""unix(7)"""
ADDRESSES = "unix:/PATH, or a port of 127.0.0.1 or [::1], as in 127.0.0.1:9101"
"""Where it can listen."""


class Latest:
    """A sink that keeps the last row of each collector. said: why there is none of a collector now, if so."""

    __slots__ = ("_rows", "said")

    def __init__(self) -> None:
        self.said: Mapping[str, str] = {}
        self._rows: dict[str, tuple[Sequence[Series], Sequence[Value]]] = {}

    def take(self, name: str, series: Sequence[Series], time_us: int, row: Sequence[Value]) -> None:
        """A row of that collector."""
        self._rows[name] = series, row

    def rows(self) -> Iterator[tuple[Sequence[Series], Sequence[Value]]]:
        """Of the collectors whose last sample went well."""
        for name, row in list(self._rows.items()):
            if not self.said.get(name):
                yield row


class Listener:
    """address: one with which nothing is `mistaken`. Mistake where it is taken."""

    __slots__ = ("_callers", "_latest", "_lock", "_path", "_socket")

    def __init__(self, address: str, latest: Latest) -> None:
        self._latest = latest
        self._callers = 0
        self._lock = _thread.allocate_lock()
        self._path = _path(address)
        try:
            self._socket = _at_path(self._path) if self._path else _at_port(address)
        except OSError as error:
            raise Mistake(f"can't listen at {address} ({error.strerror}): is it taken? name another") from None

    def fileno(self) -> int:
        """Readable when somebody calls."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """That of a TCP socket; 0 of a Unix socket."""
        return 0 if self._path else int(self._socket.getsockname()[1])

    def accept(self) -> None:
        """Some of those who call; never waits."""
        for _ in range(BACKLOG):
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            if self._callers >= CALLERS_MAX:
                caller.close()
                continue
            self._count(1)
            before = _thread.stack_size(THREAD_STACK_BYTES)
            try:
                _thread.start_new_thread(self._serve, (caller,))
            except RuntimeError:  # no thread to be had
                self._count(-1)
                caller.close()
            finally:
                _thread.stack_size(before)

    def close(self) -> None:
        """Nobody is listened to any more."""
        self._socket.close()
        if self._path:
            try:
                posix.unlink(self._path)
            except OSError:
                return  # somebody else's affair

    def _serve(self, caller: socket) -> None:
        try:
            with caller:
                caller.sendall(self._answer(_request(caller)))
        except OSError:
            return  # it is gone, or too slow
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._lock:
            self._callers += more

    def _answer(self, request: bytes) -> bytes:
        return answer(request, self._latest, bool(self._path))


def answer(request: bytes, latest: Latest, is_private: bool) -> bytes:
    """To one request of HTTP/1, with all of its head. is_private: nobody comes by another name than that of a file."""
    lines = request.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return _response("400 Bad Request", b"not HTTP/1\n")
    if words[0] not in ("GET", "HEAD"):
        return _response("405 Method Not Allowed", b"GET /metrics\n")
    if not is_private and not _is_ours(lines[1:]):
        # A page of somebody else's may have its own name resolve to 127.0.0.1.
        return _response("421 Misdirected Request", b"ask for localhost\n")
    if words[1].partition("?")[0] != "/metrics":
        return _response("404 Not Found", b"GET /metrics\n")
    whole = _response("200 OK", prometheus.text(latest.rows()), prometheus.CONTENT_TYPE)
    return whole if words[0] == "GET" else whole[: whole.index(b"\r\n\r\n") + 4]


def _response(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + b"\r\n" + body


def _is_ours(headers: Sequence[str]) -> bool:
    hosts = [line.partition(":")[2].strip() for line in headers if line.lower().startswith("host:")]
    if len(hosts) != 1:
        return False
    host = hosts[0].lower()
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        name = host
    return name.removeprefix("[").removesuffix("]") in LOOPBACK


def _request(caller: socket) -> bytes:
    """Its head. OSError where it doesn't come in time."""
    request = b""
    end_s = monotonic() + PATIENCE_S
    while True:
        left_s = end_s - monotonic()
        if left_s <= 0:
            raise TimeoutError
        caller.settimeout(left_s)
        piece = caller.recv(REQUEST_BYTES_MAX)
        request += piece
        if not piece or b"\r\n\r\n" in request or len(request) >= REQUEST_BYTES_MAX:
            caller.settimeout(PATIENCE_S)
            return request[:REQUEST_BYTES_MAX]


def mistaken(address: str) -> str:
    """What is wrong with an address to listen at; "" for nothing."""
    if path := _path(address):
        size = len(path.encode("utf-8", "surrogateescape"))
        fits = path.startswith("/") and "\0" not in path and size <= SOCKET_PATH_BYTES_MAX
        return "" if fits else f"this is no absolute path of at most {SOCKET_PATH_BYTES_MAX} bytes"
    host, port = _host_and_port(address)
    fits = host in LOOPBACK and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65_536
    return "" if fits else "this is no address of this machine alone, and there is no password"


def _path(address: str) -> str:
    return address.removeprefix("unix:") if address.startswith("unix:") else ""


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def _at_port(address: str) -> socket:
    import socket

    host, port = _host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1" if host == "localhost" else host, int(port)))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _at_path(path: str) -> socket:
    import socket
    import stat

    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        try:
            if stat.S_ISSOCK(posix.lstat(path).st_mode) and not _is_heard(path):
                posix.unlink(path)  # of one that was killed
        except FileNotFoundError:
            pass
        before = posix.umask(0o117)  # its owner and the owner's group
        try:
            listening.bind(path)
        finally:
            posix.umask(before)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _is_heard(path: str) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as caller:
        try:
            caller.connect(path)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True
