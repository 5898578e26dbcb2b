# SPDX-License-Identifier: Apache-2.0
"""The store that needs nothing but a directory: SQLite, one writing thread, one reading thread.

Puts schema, writer and reader together and keeps the directory from being used twice. No SQL here.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from telemhub.store import Unavailable
from telemhub.store.reader import Reader
from telemhub.store.schema import NotOurs, open_reader, open_writer
from telemhub.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from telemhub.query import PointQuery, Query
    from telemhub.records import Record
    from telemhub.store import MachineMetrics, Page, Series, SeriesPoints, Stats

LOCK_NAME: Final = "lock"
READS_MAX: Final = 32
"""Questions that may wait."""

_BUSY_RETRY_S: Final = 1

_Answer = TypeVar("_Answer")


class CannotOpen(Exception):
    """The text says why, and what to do."""


class SqliteStore:
    """See telemhub.store.Store."""

    def __init__(self, directory: Path, size_max: int | None = None, points_kept_us: int | None = None) -> None:
        """directory: made, for its owner alone, if only its parent is there. size_max: bytes the records' file may
        grow to. points_kept_us: how old the points of metrics may get. Raises CannotOpen."""
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            self._lock = _lock(directory)
        except OSError as error:
            raise CannotOpen(f"{directory}: {error.strerror}: give a directory that this user may write to") from error
        try:
            self._writer = Writer(open_writer(directory, size_max), directory, points_kept_us)
            self._reader = Reader(open_reader(directory), time.monotonic)
        except NotOurs as error:
            os.close(self._lock)
            raise CannotOpen(str(error)) from error
        except sqlite3.Error as error:
            os.close(self._lock)
            raise CannotOpen(
                f"{directory}: the store can't be opened ({error}): check the disk and the files there"
            ) from error
        self._closed = False
        self._reads = ThreadPoolExecutor(1, "telemhub-reader")
        self._reads_waiting = threading.BoundedSemaphore(READS_MAX)

    def add(self, records: Sequence[Record], received_us: int) -> Future[list[bool]]:
        return self._writer.add(records, received_us)

    def check(self) -> Future[None]:
        return self._writer.check(time.time_ns() // 1000)

    def find(self, query: Query) -> Future[Page]:
        return self._read(lambda: self._reader.find(query))

    def stats(self) -> Future[Stats]:
        return self._read(self._reader.stats)

    def machines(self) -> Future[list[MachineMetrics]]:
        return self._read(self._reader.machines)

    def series(self, machine: bytes) -> Future[list[Series]]:
        return self._read(lambda: self._reader.series(machine))

    def points(self, query: PointQuery) -> Future[list[SeriesPoints]]:
        return self._read(lambda: self._reader.points(query))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._reads.shutdown(cancel_futures=True)
        self._writer.close()
        self._reader.close()
        os.close(self._lock)

    def _read(self, work: Callable[[], _Answer]) -> Future[_Answer]:
        if not self._reads_waiting.acquire(blocking=False):
            raise Unavailable("the hub has more questions waiting than it may", _BUSY_RETRY_S)
        try:
            answer = self._reads.submit(work)
        except RuntimeError:
            self._reads_waiting.release()
            raise Unavailable("the hub is stopping", _BUSY_RETRY_S) from None
        answer.add_done_callback(lambda _: self._reads_waiting.release())
        return answer


def _lock(directory: Path) -> int:
    """A descriptor that holds the directory for this process, until it ends. Raises CannotOpen, OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(directory / LOCK_NAME, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CannotOpen(f"{directory}: another telemhub uses it: stop that one, or give another directory") from None
    return descriptor
