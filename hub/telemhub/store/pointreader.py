# SPDX-License-Identifier: Apache-2.0
"""Questions about points to SQL, rows to values: part of the reader, in whose snapshot and time they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from telemhub.points import unpacked
from telemhub.store import MachineMetrics, Series, SeriesPoints, TooManyPoints

if TYPE_CHECKING:
    import sqlite3

    from telemhub.query import PointQuery

POINTS_MAX: Final = 200_000
"""In one answer."""

MACHINES_MAX: Final = 1_000
SERIES_MAX: Final = 5_000
"""That are listed, or looked at for one answer."""

WORDS_CHARS_MAX: Final = 8 * 1024 * 1024
"""Of names and attributes of all series in one answer; of a list the rest is left out."""

_MACHINES: Final = """
SELECT machine.id, count(*), max(series.last_us) FROM series JOIN machine ON machine.key = series.machine
GROUP BY series.machine ORDER BY max(series.last_us) DESC, machine.id LIMIT ?
"""
_SERIES: Final = """
SELECT key, name, attributes, unit, kind, last_us FROM series
WHERE machine = (SELECT key FROM machine WHERE id = ?) {name} ORDER BY name, attributes LIMIT ?
"""
_POINTS: Final = """
SELECT first_us, start_us, last_us, data FROM points
WHERE series = ? AND first_us >= ? AND first_us < ? AND last_us >= ?
ORDER BY first_us, start_us
"""

SPAN_US_MAX: Final = 3_600_000_000
"""From the first to the last point of a row (docs/protocol.md, section 10)."""


class PointReader:
    """Owns nothing: the connection is the reader's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def machines(self) -> list[MachineMetrics]:
        """Those that have points, the most recent first."""
        return [MachineMetrics(*row) for row in self._connection.execute(_MACHINES, (MACHINES_MAX,))]

    def series(self, machine: bytes, name: str = "") -> list[tuple[int, Series]]:
        """Of one name, or all, each with its key."""
        sql = _SERIES.format(name="AND name = ?" if name else "")
        values = (machine, name, SERIES_MAX) if name else (machine, SERIES_MAX)
        found: list[tuple[int, Series]] = []
        room = WORDS_CHARS_MAX
        for key, *row in self._connection.execute(sql, values):
            series = Series(*row)
            room -= _chars(series)
            if room < 0:
                break
            found.append((key, series))
        return found

    def points(self, query: PointQuery) -> list[SeriesPoints]:
        """See telemhub.store.Store. TooManyPoints."""
        found: list[SeriesPoints] = []
        room = POINTS_MAX
        words_room = WORDS_CHARS_MAX
        for name in query.names:
            seen = [each for each in self.series(query.machine, name) if each[1].last_us >= query.since_us]
            for key, series in seen[: query.series_max]:
                points = self._of_series(key, query, room)
                room -= len(points)
                if points:
                    words_room -= _chars(series)
                    if words_room < 0:
                        raise TooManyPoints
                    found.append(SeriesPoints(series, points))
        return found

    def _of_series(self, key: int, query: PointQuery, room: int) -> list[tuple[int, float, int]]:
        points: list[tuple[int, float, int]] = []
        due_us = 0
        values = (key, query.since_us - SPAN_US_MAX, query.until_us, query.since_us)
        for first_us, start_us, last_us, data in self._connection.execute(_POINTS, values):
            if query.step_us and last_us < due_us:
                continue
            for at_us, value in unpacked(first_us, data):
                if query.since_us <= at_us < query.until_us and at_us >= due_us:
                    points.append((at_us, value, start_us))
                    due_us = at_us + query.step_us
            if len(points) > room:
                raise TooManyPoints
        return sorted(points)


def _chars(series: Series) -> int:
    return len(series.name) + len(series.attributes)
