# SPDX-License-Identifier: Apache-2.0
"""Questions to SQL, rows to values. Reads alone, on a connection that can't write, and gives up when the time is over.

Whatever is asked, the work is bounded: by the page's limit where an index gives the order, by DEADLINE_S where it
doesn't.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, TypeVar

from telemhub.query import Cursor
from telemhub.records import NO_ID
from telemhub.store import PAGE_BYTES_MAX, Page, Stats, StoredRecord, Unavailable
from telemhub.store.pointreader import PointReader
from telemhub.store.schema import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemhub.query import PointQuery, Query
    from telemhub.store import MachineMetrics, Series, SeriesPoints

_Answer = TypeVar("_Answer")

DEADLINE_S: Final = 2.0
TOP: Final = 20
"""How many of the most frequent the totals name."""

ARMS_MAX: Final = 64
"""Classifications a pattern may match for each to be looked up in the index; more are filtered on the way instead."""

_STEPS: Final = 20_000
"""Instructions of SQLite's machine between two looks at the clock: about a millisecond."""

_SLOW_RETRY_S: Final = 5

_FULL: Final = """
WITH picked AS ({picked})
SELECT record.seq, record.id, record.event_id, record.created_us, record.received_us, machine.id, classification.name,
    record.severity, record.payload_version, record.payload_kind, record.payload, host.facts, record.facts,
    record.attributes
FROM picked
    JOIN record USING (seq)
    JOIN machine ON machine.key = record.machine
    JOIN host ON host.key = record.host
    JOIN classification ON classification.key = record.classification
ORDER BY picked.created_us DESC, picked.seq DESC
"""

_PICK: Final = "SELECT seq, created_us FROM record WHERE {conditions} ORDER BY created_us DESC, seq DESC LIMIT ?"
_PICK_FROM_ARMS: Final = "SELECT * FROM ({arms}) ORDER BY created_us DESC, seq DESC LIMIT ?"
_ARM: Final = "SELECT * FROM ({arm})"

_STATS: Final = "SELECT coalesce(sum(records), 0), count(*), max(received_us) FROM machine WHERE records > 0"
_TOP_CLASSIFICATIONS: Final = (
    "SELECT name, records FROM classification WHERE records > 0 ORDER BY records DESC, name LIMIT ?"
)
_TOP_MACHINES: Final = "SELECT id, records FROM machine WHERE records > 0 ORDER BY records DESC, id LIMIT ?"


class Reader:
    """Owns the connection it is given; one thread at a time. monotonic_s: a clock for the deadline."""

    def __init__(self, connection: sqlite3.Connection, monotonic_s: Callable[[], float]) -> None:
        self._connection = connection
        self._monotonic_s = monotonic_s
        self._points = PointReader(connection)

    def close(self) -> None:
        self._connection.close()

    def find(self, query: Query) -> Page:
        """See telemhub.store.Store."""
        return self._read(lambda: self._find(query))

    def stats(self) -> Stats:
        """See telemhub.store.Store."""
        return self._read(self._stats)

    def machines(self) -> list[MachineMetrics]:
        """See telemhub.store.Store."""
        return self._read(self._points.machines)

    def series(self, machine: bytes) -> list[Series]:
        """See telemhub.store.Store."""
        return self._read(lambda: [series for _, series in self._points.series(machine)])

    def points(self, query: PointQuery) -> list[SeriesPoints]:
        """See telemhub.store.Store."""
        return self._read(lambda: self._points.points(query))

    def _read(self, work: Callable[[], _Answer]) -> _Answer:
        """One snapshot of the store for all of the work, and an end to it."""
        ends_s = self._monotonic_s() + DEADLINE_S
        self._connection.set_progress_handler(lambda: self._monotonic_s() > ends_s, _STEPS)
        try:
            self._connection.execute("BEGIN")
            try:
                return work()
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if "interrupted" in str(error):
                raise Unavailable("that takes too long to find: narrow it, by since and until", _SLOW_RETRY_S) from None
            raise unavailable(error) from error
        finally:
            self._connection.set_progress_handler(None, 0)

    def _find(self, query: Query) -> Page:
        newest_seq = query.cursor.newest_seq if query.cursor else self._newest_seq()
        picked, values = self._picked(query, newest_seq)
        found: list[StoredRecord] = []
        room = PAGE_BYTES_MAX
        for record in self._rows(_FULL.format(picked=picked), values):
            room -= len(record.payload)
            if len(found) == query.limit or (found and room < 0):
                last = found[-1]
                return Page(found, Cursor(last.created_us, last.seq, newest_seq))
            found.append(record)
        return Page(found, None)

    def _picked(self, query: Query, newest_seq: int) -> tuple[str, list[object]]:
        """SQL and its values for the places of one page and one record more. A pattern that matches a few
        classifications is looked up for each in the index, which gives the order; sorting all that match would have
        no bound."""
        conditions, values = _conditions(query, newest_seq)
        limit = query.limit + 1
        pattern = query.classification
        if not pattern.strip("*"):
            return _pick(conditions), [*values, limit]
        matching = "SELECT key FROM classification WHERE name GLOB ?"
        keys = self._connection.execute(f"{matching} LIMIT ?", (_glob(pattern), ARMS_MAX + 1)).fetchall()
        if len(keys) > ARMS_MAX:
            return _pick([*conditions, f"+classification IN ({matching})"]), [*values, _glob(pattern), limit]
        if not keys:
            return _pick(["FALSE"]), [limit]
        arm = _pick([*conditions, "classification = ?"])
        arms = " UNION ALL ".join([_ARM.format(arm=arm)] * len(keys))
        arm_values = [value for (key,) in keys for value in (*values, key, limit)]
        return _PICK_FROM_ARMS.format(arms=arms), [*arm_values, limit]

    def _rows(self, sql: str, values: list[object]) -> Iterator[StoredRecord]:
        for row in self._connection.execute(sql, values):
            seq, record_id, event_id, *rest = row
            yield StoredRecord(seq, record_id, event_id or NO_ID, *rest)

    def _newest_seq(self) -> int:
        (seq,) = self._connection.execute("SELECT max(seq) FROM record").fetchone()
        return seq or 0

    def _stats(self) -> Stats:
        records, machines, newest_us = self._connection.execute(_STATS).fetchone()
        classifications = self._connection.execute(_TOP_CLASSIFICATIONS, (TOP,)).fetchall()
        top_machines = self._connection.execute(_TOP_MACHINES, (TOP,)).fetchall()
        return Stats(records, machines, newest_us, classifications, top_machines)


def _conditions(query: Query, newest_seq: int) -> tuple[list[str], list[object]]:
    """All but the classification. A + keeps SQLite from taking that column for its way in."""
    conditions: list[str] = ["+seq <= ?"]
    values: list[object] = [newest_seq]
    equal = (("severity", query.severity), ("event_id", query.event), ("id", query.id))
    for column, value in equal:
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if query.machine is not None:
        conditions.append("machine = (SELECT key FROM machine WHERE id = ?)")
        values.append(query.machine)
    if query.since_us is not None:
        conditions.append("created_us >= ?")
        values.append(query.since_us)
    if query.until_us is not None:
        conditions.append("created_us < ?")
        values.append(query.until_us)
    if query.cursor is not None:
        conditions.append("(created_us, seq) < (?, ?)")
        values += [query.cursor.created_us, query.cursor.seq]
    return conditions, values


def _pick(conditions: list[str]) -> str:
    """conditions: SQL of our own; values always come apart from it."""
    return _PICK.format(conditions=" AND ".join(conditions))


def _glob(pattern: str) -> str:
    """The pattern with * as the only wildcard; GLOB knows two more."""
    return "".join(f"[{char}]" if char in "?[" else char for char in pattern)
