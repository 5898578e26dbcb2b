# SPDX-License-Identifier: Apache-2.0
"""The one thread that writes: takes batches from a bounded queue, commits, then answers.

Batches that wait share a transaction, and so a sync; none is answered before it is durable. Nothing is read for
clients here.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

from telemhub.records import NO_ID
from telemhub.store import Unavailable
from telemhub.store.pointwriter import PointWriter
from telemhub.store.schema import PAGE_SIZE, is_full, unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from telemhub.records import Host, Record

WAITING_MAX: Final = 32
"""Batches."""

GROUP_MAX: Final = 8
"""Batches in one transaction."""

KEYS_MAX: Final = 8_192
"""Keys of hosts and of classifications that are remembered."""

ROOM_MIN: Final = 4 * 1024 * 1024
"""Bytes that must be free for the store to count as well."""

BUSY_RETRY_S: Final = 1

_INSERT: Final = """
INSERT INTO record (seq, id, event_id, created_us, received_us, machine, host, classification, severity,
    payload_version, payload_kind, facts, attributes, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
_FIND_MACHINE: Final = "SELECT key FROM machine WHERE id = ?"
_MAKE_MACHINE: Final = "INSERT INTO machine (id) VALUES (?)"
_FIND_HOST: Final = "SELECT key FROM host WHERE machine = ? AND facts = ?"
_MAKE_HOST: Final = "INSERT INTO host (machine, facts) VALUES (?, ?)"
_FIND_CLASSIFICATION: Final = "SELECT key FROM classification WHERE name = ?"
_MAKE_CLASSIFICATION: Final = "INSERT INTO classification (name) VALUES (?)"

log = logging.getLogger(__name__)


class _Batch(NamedTuple):
    records: Sequence[Record]
    received_us: int
    answer: Future[list[bool]]


class _Check(NamedTuple):
    now_us: int
    answer: Future[None]


class _Stop(NamedTuple):
    pass


class Writer:
    """Owns the connection it is given. add() and check() from any thread; close() once."""

    def __init__(self, connection: sqlite3.Connection, directory: Path, points_kept_us: int | None = None) -> None:
        self._connection = connection
        self._directory = directory
        self._hosts: dict[Host, tuple[int, int]] = {}
        self._classifications: dict[str, int] = {}
        self._points = PointWriter(connection, points_kept_us)
        (last,) = connection.execute("SELECT max(seq) FROM record").fetchone()
        self._seq: int = last or 0
        self._failing = False
        self._closed = False
        self._gate = threading.Lock()
        self._waiting: queue.Queue[_Batch | _Check | _Stop] = queue.Queue(WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="telemhub-writer", daemon=True)
        self._thread.start()

    def add(self, records: Sequence[Record], received_us: int) -> Future[list[bool]]:
        """See telemhub.store.Store."""
        answer: Future[list[bool]] = Future()
        self._enqueue(_Batch(records, received_us, answer))
        return answer

    def check(self, now_us: int) -> Future[None]:
        """Fails with Unavailable where a batch couldn't be kept now."""
        answer: Future[None] = Future()
        self._enqueue(_Check(now_us, answer))
        return answer

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        self._waiting.put(_Stop())
        self._thread.join()
        self._connection.close()

    def _enqueue(self, work: _Batch | _Check) -> None:
        with self._gate:
            if self._closed:
                raise Unavailable("the hub is stopping", BUSY_RETRY_S)
            try:
                self._waiting.put_nowait(work)
            except queue.Full:
                raise Unavailable("the hub has more batches waiting than it may", BUSY_RETRY_S) from None

    def _run(self) -> None:
        while True:
            work = self._waiting.get()
            batches: list[_Batch] = []
            while isinstance(work, _Batch):
                batches.append(work)
                if len(batches) == GROUP_MAX:
                    break
                try:
                    work = self._waiting.get_nowait()
                except queue.Empty:
                    break
            if batches:
                self._commit(batches)
            if isinstance(work, _Check):
                self._answer_check(work)
            elif isinstance(work, _Stop):
                return

    def _commit(self, batches: list[_Batch]) -> None:
        """Store and answer them: together, or where that fails each for itself, so that one can't spoil the others."""
        try:
            verdicts = self._transact(batches)
        except (
            Exception
        ) as error:  # a border: whatever went wrong, nothing was stored, and the next batch may fare better
            if len(batches) > 1:
                for batch in batches:
                    self._commit([batch])
                return
            batches[0].answer.set_exception(self._failure(error))
            return
        if self._failing:
            self._failing = False
            log.info("Records are stored again.")
        for batch, news in zip(batches, verdicts, strict=True):
            batch.answer.set_result(news)

    def _failure(self, error: Exception) -> Exception:
        """What to answer; said in the log when it begins."""
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.IntegrityError):
            log.error("A batch could not be stored, which is a fault of this program.", exc_info=error)
            return error
        if not self._failing:
            self._failing = True
            todo = "free some space there" if is_full(error) else "check the disk and the file"
            log.error("No records can be stored in %s (%s): %s; senders keep theirs.", self._directory, error, todo)
        return unavailable(error)

    def _transact(self, batches: list[_Batch]) -> list[list[bool]]:
        """One transaction. For each record whether it is new."""
        connection, seq = self._connection, self._seq
        if len(self._hosts) + len(self._classifications) > KEYS_MAX:
            self._forget()
        try:
            connection.execute("BEGIN IMMEDIATE")
            verdicts = [self._insert(batch) for batch in batches]
            connection.execute("COMMIT")
        except BaseException:
            self._seq = seq
            self._forget()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return verdicts

    def _insert(self, batch: _Batch) -> list[bool]:
        first = self._seq + 1
        received_us = batch.received_us
        rows = [
            (
                seq,
                record.id,
                record.event_id if record.event_id != NO_ID else None,
                record.created_us,
                received_us,
                *self._host_keys(record.host),
                self._classification_key(record.classification),
                record.severity,
                record.payload_version,
                record.payload_kind,
                record.facts,
                record.attributes,
                record.payload,
            )
            for seq, record in enumerate(batch.records, first)
        ]
        before = self._connection.total_changes
        self._connection.executemany(_INSERT, rows)
        added = self._connection.total_changes - before
        self._seq += len(rows)
        if added == len(rows):
            news = [True] * len(rows)
        else:
            found = self._connection.execute("SELECT seq FROM record WHERE seq >= ?", (first,))
            there = {seq for (seq,) in found}
            news = [seq in there for seq in range(first, first + len(rows))]
        self._count(rows, news, received_us)
        brought = [
            (self._host_keys(record.host)[0], points)
            for record, new in zip(batch.records, news, strict=True)
            if new
            for points in record.points
        ]
        self._points.add(brought, received_us)
        return news

    def _count(self, rows: Sequence[tuple[object, ...]], news: list[bool], received_us: int) -> None:
        """Keep the totals, which would be slow to count when somebody asks."""
        machines: dict[object, int] = {}
        classifications: dict[object, int] = {}
        for row, new in zip(rows, news, strict=True):
            if new:
                machines[row[5]] = machines.get(row[5], 0) + 1
                classifications[row[7]] = classifications.get(row[7], 0) + 1
        self._connection.executemany(
            "UPDATE machine SET records = records + ?, received_us = ? WHERE key = ?",
            [(count, received_us, key) for key, count in machines.items()],
        )
        self._connection.executemany(
            "UPDATE classification SET records = records + ? WHERE key = ?",
            [(count, key) for key, count in classifications.items()],
        )

    def _host_keys(self, host: Host) -> tuple[int, int]:
        """The keys of its machine and of its facts, both made where they are new."""
        keys = self._hosts.get(host)
        if keys is None:
            machine = self._key(_FIND_MACHINE, _MAKE_MACHINE, (host.machine_id,))
            keys = self._hosts[host] = machine, self._key(_FIND_HOST, _MAKE_HOST, (machine, host.facts))
        return keys

    def _classification_key(self, name: str) -> int:
        key = self._classifications.get(name)
        if key is None:
            key = self._classifications[name] = self._key(_FIND_CLASSIFICATION, _MAKE_CLASSIFICATION, (name,))
        return key

    def _key(self, find: str, make: str, values: tuple[object, ...]) -> int:
        row: tuple[int] | None = self._connection.execute(find, values).fetchone()
        if row is not None:
            return row[0]
        made = self._connection.execute(make, values).lastrowid
        assert made is not None
        return made

    def _forget(self) -> None:
        """Keys made in a transaction that failed aren't there."""
        self._hosts.clear()
        self._classifications.clear()
        self._points.forget()

    def _answer_check(self, check: _Check) -> None:
        try:
            self._prove_room()
            self._connection.execute("UPDATE pulse SET beaten_us = ? WHERE key = 1", (check.now_us,))
        except Unavailable as error:
            check.answer.set_exception(error)
        except (sqlite3.DatabaseError, OSError) as error:
            failed = error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(str(error))
            check.answer.set_exception(unavailable(failed))
        else:
            check.answer.set_result(None)

    def _prove_room(self) -> None:
        """A small write may still fit where a batch doesn't, so that the room is asked for too."""
        disk = os.statvfs(self._directory)
        pages = {
            name: self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("max_page_count", "page_count", "freelist_count")
        }
        allowed = (pages["max_page_count"] - pages["page_count"] + pages["freelist_count"]) * PAGE_SIZE
        if min(disk.f_bavail * disk.f_frsize, allowed) < ROOM_MIN:
            raise unavailable(sqlite3.OperationalError("full"))
