# SPDX-License-Identifier: Apache-2.0
"""Senders that speak to telemd's sockets themselves (docs/protocol.md, sections 2 and 3), so that they can do what no
client library would. Nothing of the product is imported here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from records import record, record_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

TIMEOUT_S = 60.0
ANSWER = struct.Struct("<IBBH16s")
DURABLE, DUPLICATE, REFUSED = range(3)
RESEND, LAST = 1, 2
WINDOW = 256


class Answer(NamedTuple):
    """What telemd said about one record."""

    verdict: int
    reason: int
    record_id: bytes


def connected(path: Path) -> socket.socket:
    """A stream to telemd. OSError."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        # Where the queue of a busy telemd is full only a socket that blocks waits for a place in it.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(TIMEOUT_S), 0))
        stream.connect(str(path))
        stream.settimeout(TIMEOUT_S)
    except BaseException:
        stream.close()
        raise
    return stream


def receive_answer(stream: socket.socket) -> Answer | None:
    """The next answer; None at the end of the connection. TimeoutError."""
    data = b""
    while len(data) < ANSWER.size:
        try:
            more = stream.recv(ANSWER.size - len(data))
        except ConnectionError:
            more = b""
        if not more:
            assert not data, f"a part of an answer: {data.hex()}"
            return None
        data += more
    length, kind, verdict, reason, identity = ANSWER.unpack(data)
    assert (length, kind) == (ANSWER.size, 1)
    return Answer(verdict, reason, identity)


def is_closed(stream: socket.socket) -> bool:
    """Waits for what comes next: True for the end, False for bytes. TimeoutError."""
    try:
        return stream.recv(1) == b""
    except ConnectionError:
        return True


def say(path: Path, *pieces: bytes, end: bool = False) -> Answer | None:
    """Send these pieces on a connection of their own, one packet each; the answer, or None where the connection ended
    instead. end: that was all, said by shutdown."""
    with connected(path) as stream:
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # refused before we were done; the answer waits
            for piece in pieces:
                stream.sendall(piece)
            if end:
                stream.shutdown(socket.SHUT_WR)
        return receive_answer(stream)


def tell(path: Path, *pieces: bytes) -> None:
    """Format 4: no answer comes; waits until telemd has closed the connection."""
    with connected(path) as stream:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                stream.sendall(piece)
            stream.shutdown(socket.SHUT_WR)
        assert is_closed(stream)


class Trip:
    """Does something once, in the sender's own thread, as soon as so many records of all senders are answered: a burst
    is over before a thread that only watches it would see its middle."""

    def __init__(self, point: int, action: Callable[[], object]) -> None:
        self._left = point
        self._action = action
        self._lock = threading.Lock()

    def answered(self, count: int) -> None:
        with self._lock:
            due = 0 < self._left <= count
            self._left -= count
            if due:
                self._action()


class Burst:
    """Sends numbered records over one connection after the other until each has its answer: what has none when a
    connection ends is sent again with RESEND. A number is in `durable` as soon as telemd has said so. It gives up when
    nothing has been answered for TIMEOUT_S."""

    def __init__(
        self, path: Path, numbers: Iterable[int], trip: Trip | None = None, payload: bytes = b"x" * 200
    ) -> None:
        self._path = path
        self._trip = trip
        self._numbers = list(numbers)
        self._payload = payload
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._end = threading.Event()
        self.durable: set[int] = set()
        self.refused: dict[int, int] = {}
        self.connections = 0
        self.error: BaseException | None = None

    def start(self) -> Burst:
        self._thread.start()
        return self

    @property
    def goes_on(self) -> bool:
        """Not everything is answered yet."""
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Send nothing more once the connection has ended."""
        self._end.set()

    def join(self) -> None:
        """Until everything is answered. Fails where that went wrong."""
        self._thread.join(TIMEOUT_S)
        if self.error is not None:
            raise self.error
        assert not self._thread.is_alive(), f"{len(self.durable)} of {len(self._numbers)} are answered"

    def _run(self) -> None:
        try:
            left, seen = self._numbers, set[int]()
            end_s = time.monotonic() + TIMEOUT_S
            while left and not self._end.is_set():
                assert time.monotonic() < end_s, f"for {TIMEOUT_S:.0f} s nothing is answered"
                try:
                    stream = connected(self._path)
                except OSError:
                    time.sleep(0.002)  # telemd isn't there; ask again
                    continue
                self.connections += 1
                with stream:
                    answered = self._converse(stream, left, seen)
                left = left[answered:]
                if answered:
                    end_s = time.monotonic() + TIMEOUT_S
        except BaseException as error:
            self.error = error

    def _converse(self, stream: socket.socket, numbers: list[int], seen: set[int]) -> int:
        """How many of the numbers were answered before the connection ended."""
        answered = sent = 0
        received = b""
        try:
            while answered < len(numbers):
                fresh = numbers[sent : answered + WINDOW]
                if len(fresh) >= WINDOW // 2 or sent + len(fresh) == len(numbers):
                    flags = {each: RESEND if each in seen else 0 for each in fresh}
                    seen.update(fresh)
                    sent += len(fresh)
                    stream.sendall(b"".join(record(each, self._payload, flags=flags[each]) for each in fresh))
                data = stream.recv(65536)
                if not data:
                    return answered
                received += data
                whole = len(received) // ANSWER.size * ANSWER.size
                for _, _, verdict, reason, identity in ANSWER.iter_unpack(received[:whole]):
                    number = numbers[answered]
                    assert identity == record_id(number)
                    if verdict == REFUSED:
                        self.refused[number] = reason
                    else:
                        self.durable.add(number)
                    answered += 1
                received = received[whole:]
                if self._trip is not None:
                    self._trip.answered(whole // ANSWER.size)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
        return answered


@contextlib.contextmanager
def bursts(path: Path, count: int, senders: int, first: int = 0, trip: Trip | None = None) -> Iterator[list[Burst]]:
    """count records from so many senders at once, numbered from first on. All are answered at the end."""
    parts = [range(first + i, first + count, senders) for i in range(senders)]
    started = [Burst(path, part, trip).start() for part in parts]
    try:
        yield started
    except BaseException:
        for each in started:
            each.give_up()
        raise
    for each in started:
        each.join()
