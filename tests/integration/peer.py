# SPDX-License-Identifier: Apache-2.0
"""The other end of telemd.sock for tests of clients: speaks docs/protocol.md, section 2, by its own reading of it, and
can be told to misbehave. Also a state root of its own for each test. Nothing of the product is imported here.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HEADER = struct.Struct("<4sHBBII16s16sqIBBBBHHI")
ANSWER = struct.Struct("<IBBH16s")
assert HEADER.size == 72
assert ANSWER.size == 24

RESEND = 1
LAST = 2


class Received(NamedTuple):
    """One record as it came, taken apart. `connection` counts from 1."""

    connection: int
    flags: int
    record_id: bytes
    event_id: bytes
    created_us: int
    payload_version: int
    severity: int
    payload_kind: int
    classification: str
    attributes: bytes
    payload: bytes


class Answer(NamedTuple):
    """Answer a record with this; by default with its own id."""

    verdict: int = 0
    reason: int = 0
    record_id: bytes | None = None


class Silence(NamedTuple):
    """Don't answer, keep the connection."""


class Close(NamedTuple):
    """Close the connection instead of answering."""


class Garbage(NamedTuple):
    """Answer with these bytes."""

    answer: bytes


class Pieces(NamedTuple):
    """Answer durable, one byte a packet."""


Action = Answer | Silence | Close | Garbage | Pieces


class Peer:
    """Listens on `path` until closed.

    The n-th record of all connections meets the n-th action, later ones are durable.
    """

    def __init__(self, path: Path, actions: Iterable[Action] = ()) -> None:
        self.received: list[Received] = []
        self._actions = iter(actions)
        self._connections = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition(self._lock)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    @property
    def connections(self) -> int:
        return self._connections

    def wait_for_end_of_connections(self, timeout_s: float) -> None:
        """Returns when every client has gone."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, timeout_s)

    def wait_for_received(self, count: int, timeout_s: float) -> None:
        """Returns when so many records have come, which may be later than their sender gave up."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, timeout_s)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._converse, args=(connection, self._connections))
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while record := self._read(stream.read, number):
                with self._lock:
                    self.received.append(record)
                    self._changed.notify_all()
                    action = next(self._actions, Answer())
                if not _act(connection, action, record) or record.flags & LAST:
                    break
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    @staticmethod
    def _read(read: Callable[[int], bytes], number: int) -> Received | None:
        header = read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        (magic, header_len, version, flags, total, payload_len, record_id, event_id, created_us, payload_version,
         severity, kind, class_len, _, attrs_len, _, _) = HEADER.unpack(header)  # fmt: skip
        assert (magic, version) == (b"TLM5", 5)
        rest = read(total - HEADER.size)
        if len(rest) < total - HEADER.size:
            return None
        body = rest[header_len - HEADER.size :]
        assert len(body) == class_len + attrs_len + payload_len
        return Received(
            number, flags, record_id, event_id, created_us, payload_version, severity, kind,
            body[:class_len].decode("ascii"), body[class_len : class_len + attrs_len], body[class_len + attrs_len :],
        )  # fmt: skip


def _act(connection: socket.socket, action: Action, record: Received) -> bool:
    """False where the connection is to be closed."""
    if isinstance(action, Answer):
        connection.sendall(ANSWER.pack(24, 1, action.verdict, action.reason, action.record_id or record.record_id))
    elif isinstance(action, Garbage):
        connection.sendall(action.answer)
    elif isinstance(action, Pieces):
        for byte in ANSWER.pack(24, 1, 0, 0, record.record_id):
            connection.sendall(bytes([byte]))
    return not isinstance(action, Close)


class StateRoot(NamedTuple):
    """A system of its own below one directory, with a path short enough for a Unix socket."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "telemetrics.conf"

    @property
    def socket(self) -> Path:
        return self.path / "run/telemetry/telemd.sock"

    @property
    def opt_in(self) -> Path:
        return self.path / "etc/telemetrics/opt-in"


@contextlib.contextmanager
def state_root(opted_in: bool = True) -> Iterator[StateRoot]:
    """A fresh state root, removed at the end."""
    root = StateRoot(Path(tempfile.mkdtemp(prefix="tm-")))
    try:
        root.config_file.write_text(f'[settings]\nstate_root = "{root.path}"\n')
        root.socket.parent.mkdir(parents=True)
        root.opt_in.parent.mkdir(parents=True)
        if opted_in:
            root.opt_in.touch()
        yield root
    finally:
        shutil.rmtree(root.path)
