# SPDX-License-Identifier: Apache-2.0
"""Points into the tables, and old ones out of them: a part of the writer's transaction.

Begins and ends no transaction of its own, and reads nothing for clients.
"""

from __future__ import annotations

from sys import getsizeof
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from telemhub.points import Points

SERIES_MAX: Final = 50_000
"""Of one machine; for further ones those go that have had no point for longest: processes end, and disks are rarer."""

ENDED_AT_A_TIME: Final = 16
"""Series that go for that."""

ENDED_MAX: Final = 1_024
"""Series of a machine that go for what is added at once: all the others wait for it. Further new ones aren't kept."""

KEYS_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of the keys of series that are remembered: those of 65,536, as they are most often."""

KEY_OVERHEAD: Final = 400
"""Bytes of one, beside the series' attributes."""

AGED_SERIES: Final = 64
"""With each batch that brings points so many series are looked through for old ones, in turn."""

AGED_POINTS: Final = 1_000
"""Rows of a series that go at a time; a row has what a record brought of it."""

_FIND: Final = "SELECT key FROM series WHERE machine = ? AND name = ? AND attributes = ? AND unit = ? AND kind = ?"
_MAKE: Final = "INSERT INTO series (machine, name, attributes, unit, kind, last_us) VALUES (?, ?, ?, ?, ?, ?)"
_COUNT: Final = "SELECT count(*) FROM series WHERE machine = ?"
_SEEN: Final = "UPDATE series SET last_us = ? WHERE key = ? AND last_us < ?"
_ADD: Final = """
INSERT INTO points (series, first_us, start_us, last_us, data) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_NEXT: Final = "SELECT key FROM series WHERE key > ? ORDER BY key LIMIT ?"
_AGE: Final = """
DELETE FROM points WHERE series = ?1 AND first_us < min(?2,
    coalesce((SELECT first_us FROM points WHERE series = ?1 ORDER BY first_us LIMIT 1 OFFSET ?3), ?2))
"""
_ENDED: Final = "SELECT key FROM series WHERE machine = ? ORDER BY last_us, key LIMIT ?"
_END: Final = """
DELETE FROM series WHERE key = ? AND last_us < ? AND NOT EXISTS (SELECT 1 FROM points WHERE series = key)
"""


class PointWriter:
    """The writer's connection and thread. kept_us: how old a point may get; None: as old as it likes."""

    def __init__(self, connection: sqlite3.Connection, kept_us: int | None) -> None:
        self._connection = connection
        self._kept_us = kept_us
        self._keys: dict[tuple[int, str, str, str, str], int] = {}
        self._keys_bytes = 0
        self._counts: dict[int, int] = {}  # series of a machine
        self._aged = 0
        self._used: set[int] = set()  # keys of what is being added
        self._ended: dict[int, int] = {}  # series of a machine that went for it

    def add(self, brought: Sequence[tuple[int, Points]], now_us: int) -> None:
        """Points, each with the key of its machine. Of those that are there at that time already the first stay."""
        if not brought:
            return
        self._used.clear()
        self._ended.clear()
        rows: list[tuple[int, int, int, int, bytes]] = []
        newest: dict[int, int] = {}
        for machine, points in brought:
            key = self._key(machine, points)
            if key is not None:
                self._used.add(key)
                rows.append((key, points.first_us, points.start_us, points.last_us, points.data))
                newest[key] = max(points.last_us, newest.get(key, 0))
        self._connection.executemany(_ADD, rows)
        self._connection.executemany(_SEEN, [(last_us, key, last_us) for key, last_us in newest.items()])
        if self._kept_us is not None:
            self._age(now_us - self._kept_us)

    def forget(self) -> None:
        """What is remembered of the tables: of a transaction that failed it isn't true."""
        self._keys.clear()
        self._keys_bytes = 0
        self._counts.clear()

    def _key(self, machine: int, points: Points) -> int | None:
        """None where the machine has too many at once."""
        words = (machine, points.name, points.attributes, points.unit, points.kind)
        key = self._keys.get(words)
        if key is not None:
            return key
        row: tuple[int] | None = self._connection.execute(_FIND, words).fetchone()
        if row is not None:
            return self._remembered(words, row[0])
        count = self._counts.get(machine)
        if count is None:
            (count,) = self._connection.execute(_COUNT, (machine,)).fetchone()
        assert count is not None
        if count >= SERIES_MAX:
            count -= self._end(machine)
        self._counts[machine] = count
        if count >= SERIES_MAX:
            return None
        self._counts[machine] += 1
        made = self._connection.execute(_MAKE, (*words, points.last_us)).lastrowid
        assert made is not None
        return self._remembered(words, made)

    def _remembered(self, words: tuple[int, str, str, str, str], key: int) -> int:
        self._keys_bytes += KEY_OVERHEAD + getsizeof(words[2])
        if self._keys_bytes > KEYS_BYTES_MAX:
            self.forget()
        self._keys[words] = key
        return key

    def _end(self, machine: int) -> int:
        """Some of the machine's series go, with all their points; how many."""
        ended = self._ended.get(machine, 0)
        if ended >= ENDED_MAX:
            return 0
        found = self._connection.execute(_ENDED, (machine, min(ENDED_MAX, ENDED_AT_A_TIME + len(self._used))))
        keys = [(key,) for (key,) in found if key not in self._used][:ENDED_AT_A_TIME]
        self._connection.executemany("DELETE FROM points WHERE series = ?", keys)
        self._connection.executemany("DELETE FROM series WHERE key = ?", keys)
        self._ended[machine] = ended + len(keys) if keys else ENDED_MAX
        self._keys.clear()
        self._keys_bytes = 0
        return len(keys)

    def _age(self, before_us: int) -> None:
        """A piece of it each time: however much there is to go, a batch doesn't wait for it."""
        keys = [key for (key,) in self._connection.execute(_NEXT, (self._aged, AGED_SERIES))]
        self._aged = keys[-1] if len(keys) == AGED_SERIES else 0
        self._connection.executemany(_AGE, [(key, before_us, AGED_POINTS) for key in keys])
        if self._connection.executemany(_END, [(key, before_us) for key in keys]).rowcount > 0:
            self.forget()
