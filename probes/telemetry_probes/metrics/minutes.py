# SPDX-License-Identifier: Apache-2.0
"""Rows of samples to tables of a minute, and for each counter since when it counts unbroken.

A counter that goes back, a series that wasn't there before, a clock that was set: each begins a new baseline, which is
the time of the first sample after it. So a reader who takes differences within one baseline alone never has a rate
below 0, nor one over a time that didn't pass. Pure: times are arguments.
"""

from __future__ import annotations

from telemetry_probes.metrics.columns import Column, Table
from telemetry_probes.metrics.model import COUNTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.metrics.model import Series, Value

    Key = tuple[str, tuple[tuple[str, str], ...]]

MINUTE_US = 60_000_000
JUMP_US = 1_000_000
"""The wall clock was set where it has gone so much further, or less far, than time has."""
VALUES_MAX = 1 << 18
"""Held at a time; where there are more the minute ends early. Some 8 MB."""
SERIES_MAX = 20_000
"""Of one collector; those after them are left out."""
TIMES_MAX = 4096
"""Rows of one collector in a minute; where there are more it ends early."""


class _Rows:
    """Of one collector, in this minute."""

    __slots__ = ("rows", "series", "times_us")

    def __init__(self) -> None:
        self.times_us: list[int] = []
        self.series: list[Sequence[Series]] = []
        self.rows: list[tuple[Value, ...]] = []


class Minutes:
    """shift_us: by how much this machine's minutes end earlier than those of the clock, so that a fleet doesn't send
    at one instant."""

    __slots__ = ("_collectors", "_minute", "_offset_us", "_runs", "_shift_us", "_values")

    def __init__(self, shift_us: int) -> None:
        self._shift_us = shift_us % MINUTE_US
        self._collectors: dict[str, _Rows] = {}
        self._runs: dict[str, dict[Key, tuple[int, int | float]]] = {}  # start_us and the last value of each counter
        self._minute = 0
        self._offset_us: int | None = None
        self._values = 0

    def take(
        self, collector: str, series: Sequence[Series], time_us: int, offset_us: int, row: Sequence[Value]
    ) -> list[Table]:
        """What ended before that row: nothing, most often. time_us: since 1970, of the sample; offset_us: what the wall
        clock now shows more than the time since the boot, asleep or not."""
        ended: list[Table] = []
        minute = (time_us + self._shift_us) // MINUTE_US
        rows = self._collectors.get(collector)
        was_set = self._offset_us is not None and abs(offset_us - self._offset_us) > JUMP_US
        if was_set or (rows is not None and time_us <= rows.times_us[-1]):
            ended = self.close()
            self._runs.clear()
        elif minute > self._minute or self._values > VALUES_MAX or (rows and len(rows.times_us) >= TIMES_MAX):
            ended = self.close()
        # A sample that took long may be of the minute before; it goes with this one.
        self._minute = minute if was_set else max(minute, self._minute)
        self._offset_us = offset_us
        held = self._collectors.setdefault(collector, _Rows())
        held.times_us.append(time_us)
        held.series.append(series)
        held.rows.append(tuple(row[:SERIES_MAX]))
        self._values += len(held.rows[-1])
        return ended

    @property
    def end_us(self) -> int | None:
        """When the minute ends, since 1970; None where there is nothing in it."""
        return (self._minute + 1) * MINUTE_US - self._shift_us if self._collectors else None

    def close(self) -> list[Table]:
        """The minute as far as it has come; the next row begins another."""
        tables = [self._table(name, rows) for name, rows in self._collectors.items()]
        self._collectors = {}
        self._values = 0
        return [table for table in tables if table.columns]

    def _table(self, collector: str, held: _Rows) -> Table:
        columns: list[Column] = []
        runs = self._runs.get(collector, {})
        kept: dict[Key, tuple[int, int | float]] = {}
        for key, (series, values) in _by_series(held).items():
            if series.metric.kind != COUNTER:
                if any(each is not None for each in values):
                    columns.append(Column(series.metric, series.attributes, 0, values))
                continue
            run = runs.get(key)
            for start_us, part, last in _unbroken(held.times_us, values, run):
                columns.append(Column(series.metric, series.attributes, start_us, part))
                run = start_us, last
            if run is not None:
                kept[key] = run
        there = {(each.metric.name, each.attributes) for each in held.series[-1]}
        self._runs[collector] = {key: run for key, run in kept.items() if key in there}
        return Table(collector, held.times_us, columns)


def _by_series(held: _Rows) -> dict[Key, tuple[Series, list[Value]]]:
    """For each series a value for each time: None where it wasn't there. Of two of one name the first counts."""
    found: dict[Key, tuple[Series, list[Value]]] = {}
    count = len(held.rows)
    begin = 0
    while begin < count:
        series = held.series[begin]
        end = begin + 1
        while end < count and held.series[end] is series:
            end += 1
        seen: set[Key] = set()
        for each, values in zip(series, zip(*held.rows[begin:end], strict=False), strict=False):
            key = (each.metric.name, each.attributes)
            if key in seen:
                continue
            seen.add(key)
            if key not in found:
                found[key] = each, [None] * count
            found[key][1][begin:end] = values
        begin = end
    return found


def _unbroken(
    times_us: Sequence[int], values: Sequence[Value], run: tuple[int, int | float] | None
) -> list[tuple[int, Sequence[Value], int | float]]:
    """The values cut where the counter went back: start, values (None in the others' places) and last value of each
    part. run: start and last value of what went before."""
    starts: list[tuple[int, int]] = []  # place and start_us of each part
    last: int | float = 0
    if run is not None:
        starts.append((0, run[0]))
        last = run[1]
    lasts: list[int | float] = []
    for at, each in enumerate(values):
        if each is None:
            continue
        if not starts or each < last:
            if starts:
                lasts.append(last)
            starts.append((at, times_us[at]))
        last = each
    lasts.append(last)
    if len(starts) == 1:
        found = [(starts[0][1], values, lasts[0])]
    else:
        found = []
        for number, (begin, start_us) in enumerate(starts):
            end = starts[number + 1][0] if number + 1 < len(starts) else len(values)
            part: list[Value] = [None] * len(values)
            part[begin:end] = values[begin:end]
            found.append((start_us, part, lasts[number]))
    return [each for each in found if any(value is not None for value in each[1])]
