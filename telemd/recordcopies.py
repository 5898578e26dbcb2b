# SPDX-License-Identifier: Apache-2.0
"""Copies of the records accepted last, for the owner to read: log_dir/records/<id>, with record_retention_enabled.

In the form of telemetrics-client's own: fifteen header lines, then the payload. As many are kept as the journal has
lines. Not synced, and nothing may be decided by what is in them: the spool is what counts.
"""

from __future__ import annotations

import os

from libtelemetry import wire
from libtelemetry.errors import RecordError
from telemd import format4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Final

    from libtelemetry.wire import DecodedRecord
    from telemd.intake import Batch
    from telemd.segment import Host

COPIES_MAX: Final = 150
"""With more lines than that the journal is cut."""

WAITING_BYTES_MAX: Final = 2 * 1024 * 1024
"""What may wait in memory for being written, a batch more at most."""

_ID_DIGITS: Final = 32
_HEX: Final = frozenset("0123456789abcdef")


def text(record: DecodedRecord, host: Host) -> bytes:
    """The copy of one record. What the record says of its host goes before what telemd knows."""
    lines = format4.values(record, host.machine_id.hex(), host.facts)
    return "".join(f"{name}: {value}\n" for name, value in lines.items()).encode() + record.payload


class RecordCopies:
    """Records on their way from a batch to the directory."""

    __slots__ = ("_bytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[bytes, Host]] = {}
        self._bytes = 0

    @property
    def full(self) -> bool:
        """They should be written now."""
        return self._bytes > WAITING_BYTES_MAX

    def take(self, batch: Batch, host: Host) -> None:
        """The newest records of a batch that are durable."""
        for record_id, record in batch.newest_durable(COPIES_MAX):
            self._waiting[record_id] = (record, host)
        while len(self._waiting) > COPIES_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._bytes = sum(len(record) for record, _ in self._waiting.values())

    def write(self, records_dir: str) -> None:
        """Into the directory, which is made where it is missing. OSError; what wasn't written then is let go."""
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        if not waiting:
            return
        os.makedirs(os.path.dirname(records_dir), 0o755, exist_ok=True)
        try:
            os.mkdir(records_dir, 0o750)
        except FileExistsError:
            pass  # a directory, or what opening it complains of
        directory = _opened(records_dir)
        try:
            for record_id, (record, host) in waiting.items():
                try:
                    copy = text(wire.decode(record), host)
                except RecordError:
                    continue  # no record comes this far that breaks a rule
                _write(directory, record_id.hex(), copy)
        finally:
            os.close(directory)


def prune(records_dir: str, listed: Callable[[], Collection[str]]) -> None:
    """Remove the copies of records whose ids are not listed; nothing is asked where there is no directory. OSError."""
    try:
        directory = _opened(records_dir)
    except FileNotFoundError:
        return
    try:
        wanted = listed()
        for name in os.listdir(directory):
            if len(name) == _ID_DIGITS and set(name) <= _HEX and name not in wanted:
                os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _write(directory: int, name: str, data: bytes) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass  # the usual case: an id comes once
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o640, dir_fd=directory)
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        os.unlink(name, dir_fd=directory)
        raise
    finally:
        os.close(fd)
