# SPDX-License-Identifier: Apache-2.0
"""metrics.columns and metrics.minutes: samples become payloads that lose nothing, and counters know their baseline."""

from __future__ import annotations

import json
import random
import time
import zlib
from typing import Any

import pytest

from telemetry_probes.metrics.columns import PACKED_MAX, PLAIN_MAX, Column, Table, packed
from telemetry_probes.metrics.minutes import MINUTE_US, SERIES_MAX, VALUES_MAX, Minutes
from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric

T0_US = 1_760_000_040_000_000  # a full minute
TIME = Metric("system.cpu.time", "s", COUNTER, "Time.")
LOAD = Metric("x.load.1m", "1", GAUGE, "Load.")
Points = dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, Any, int]]]


def read(payloads: list[bytes]) -> Points:
    """What docs/protocol.md, section 10, says of them, read with json alone: series -> (time, value, baseline)."""
    found: Points = {}
    for payload in payloads:
        plain = zlib.decompress(payload)
        assert len(payload) <= PACKED_MAX and len(plain) <= PLAIN_MAX
        for table in json.loads(plain)["tables"]:
            times = [sum(table["times_us"][: at + 1]) for at in range(len(table["times_us"]))]
            for group in table["groups"]:
                for labels, numbers in zip(group["labels"], group["columns"], strict=True):
                    key = (group["name"], tuple(zip(group["attributes"], labels, strict=True)))
                    whole = 0
                    for at, number in zip(times, numbers, strict=True):
                        if number is None:
                            continue
                        whole += number
                        value = whole / 10 ** group["scale"] if "scale" in group else number
                        found.setdefault(key, []).append((at, value, group.get("start_us", 0)))
    return {key: sorted(points) for key, points in found.items()}


def table(*columns: Column, count: int = 4) -> Table:
    return Table("cpu", [T0_US + 5_000_000 * at + at for at in range(count)], columns)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 4],
        [0.1, 0.2, 0.30000000000000004, 1e-12],
        [12345.67, 12345.68, 12346.0, 99999.99],
        [None, 5, None, 7.5],
        [2**64 - 1, 0, 2**63, 1],
        [2**53, 2**53 - 1, -(2**53), 0.5],
        [1e18, -1e18, 1.5, 0],
        [2**64, 2.0**70, 1e299, -(2**63)],
        [-3, -2.25, 0, 2],
        [1 / 3, 2 / 3, 1, 0],
    ],
)
def test_values_come_back_exactly(values: list[float | None]) -> None:
    points = read(packed([table(Column(LOAD, (("a", "b"),), 0, values))]))
    times = table().times_us
    expected = [(at, each, 0) for at, each in zip(times, values, strict=True) if each is not None]
    assert points == {("x.load.1m", (("a", "b"),)): expected}


def test_what_is_no_number_is_left_out() -> None:
    values = [float("nan"), float("inf"), 10**400, 1]
    assert [each[1] for each in read(packed([table(Column(LOAD, (), 0, values))]))["x.load.1m", ()]] == [1]


def test_hostile_names_come_back_as_unicode() -> None:
    name = 'a"\\\n\0\x1b\udc80' + "ü" * 300
    ((_, attributes),) = read(packed([table(Column(LOAD, (("process", name),), 0, [1, 2, 3, 4]))]))
    assert attributes == (("process", 'a"\\\n\0\x1b?' + "ü" * 249),)


def test_nothing_is_no_payload() -> None:
    assert packed([]) == [] == packed([Table("cpu", [], [])]) == packed([Table("cpu", [T0_US], [])])


def test_a_minute_of_64_processors_is_one_small_record() -> None:
    rng = random.Random(1)
    columns = []
    for core in range(64):
        for mode in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"):
            value = rng.randrange(10**7)
            values = []
            for _ in range(12):
                value += rng.randrange(100 if mode in ("user", "idle") else 5)
                values.append(value / 100)
            columns.append(Column(TIME, (("cpu.mode", mode), ("cpu.logical_number", str(core))), T0_US, values))
    tables = [table(*columns, count=12)]
    (payload,) = packed(tables)
    assert len(payload) < 16_000 and len(zlib.decompress(payload)) < 60_000
    assert {key: [each[1] for each in points] for key, points in read([payload]).items()} == {
        (each.metric.name, each.attributes): each.values for each in columns
    }


def test_what_is_too_much_for_one_record_is_split_and_whole() -> None:
    rng = random.Random(2)
    columns = [
        Column(LOAD, (("name", f"{rng.randrange(1 << 62):x}"),), 0, [rng.random() for _ in range(4)])
        for _ in range(9_000)
    ]
    payloads = packed([table(*columns[:10]), table(*columns[10:])])
    assert 2 <= len(payloads) <= 32
    points = read(payloads)
    assert len(points) == 9_000
    assert all([each[1] for each in points["x.load.1m", one.attributes]] == one.values for one in columns)


def test_one_long_column_is_split_by_time() -> None:
    rng = random.Random(3)
    values = [rng.random() for _ in range(20_000)]
    long = Table("cpu", [T0_US + at for at in range(20_000)], [Column(LOAD, (), 0, values)])
    payloads = packed([long])
    assert len(payloads) > 1
    assert len(read(payloads)["x.load.1m", ()]) == 20_000


# ---- minutes --------------------------------------------------------------------------------------------------------

SERIES = [TIME.series(("cpu.mode", "user")), LOAD.series()]


class Machine:
    """A clock and the rows taken from it."""

    def __init__(self, shift_us: int = 0) -> None:
        self.minutes = Minutes(shift_us)
        self.now_us = T0_US
        self.boot_us = 1_000_000_000
        self.points: Points = {}

    def take(self, row: list[Any], series: list[Any] | None = None, after_s: float = 5, collector: str = "cpu") -> None:
        self.now_us += int(after_s * 1e6)
        self.boot_us += int(after_s * 1e6)
        series = SERIES if series is None else series
        self.add(self.minutes.take(collector, series, self.now_us, self.now_us - self.boot_us, row))

    def add(self, tables: list[Table]) -> None:
        for key, points in read(packed(tables)).items():
            self.points.setdefault(key, []).extend(points)

    def seen(self, name: str, *attributes: tuple[str, str]) -> list[tuple[float, Any, float]]:
        """Seconds after T0, value, baseline in seconds after T0, of all that was taken."""
        self.add(self.minutes.close())
        found = self.points.get((name, attributes), [])
        return [((at - T0_US) / 1e6, value, (start - T0_US) / 1e6 if start else 0) for at, value, start in found]


USER = ("cpu.mode", "user")


def test_a_counter_keeps_its_baseline_over_minutes() -> None:
    machine = Machine()
    for count in range(30):
        machine.take([count, 1])
    points = machine.seen("system.cpu.time", USER)
    assert [value for _, value, _ in points] == list(range(30))
    assert {start for _, _, start in points} == {5}


def test_a_counter_that_goes_back_begins_anew_at_that_sample() -> None:
    machine = Machine()
    for value in (7, 9, 2**32 - 1, 4, 6, None, 5, 8):
        machine.take([value, 1])
    assert machine.seen("system.cpu.time", USER) == [
        (5, 7, 5), (10, 9, 5), (15, 2**32 - 1, 5), (20, 4, 20), (25, 6, 20), (35, 5, 35), (40, 8, 35)
    ]  # fmt: skip
    assert [value for _, value, _ in machine.seen("x.load.1m")] == [1] * 8


def test_a_counter_that_goes_back_over_a_minutes_end_begins_anew() -> None:
    machine = Machine()
    machine.take([100, 1], after_s=50)
    machine.take([90, 1], after_s=20)
    assert machine.seen("system.cpu.time", USER) == [(50, 100, 50), (70, 90, 70)]


def test_what_is_plugged_in_comes_and_goes() -> None:
    machine = Machine()
    disk = [*SERIES, TIME.series(("cpu.mode", "disk"))]
    machine.take([1, 1])
    machine.take([2, 1, 1000], disk)
    machine.take([3, 1, 1001], disk)
    machine.take([4, 1], after_s=60)
    machine.take([5, 1, 5000], disk, after_s=60)
    assert machine.seen("system.cpu.time", ("cpu.mode", "disk")) == [(10, 1000, 10), (15, 1001, 10), (135, 5000, 135)]
    assert {start for _, _, start in machine.seen("system.cpu.time", USER)} == {5}


def test_a_clock_that_was_set_begins_all_counters_anew() -> None:
    for jump_us in (3600 * 10**6, -3600 * 10**6, 1_500_000):
        machine = Machine()
        machine.take([1, 1])
        machine.take([2, 1])
        machine.now_us += jump_us
        machine.take([3, 1])
        machine.take([4, 1])
        jump_s = jump_us / 1e6
        assert machine.seen("system.cpu.time", USER) == [
            (5, 1, 5), (10, 2, 5), (15 + jump_s, 3, 15 + jump_s), (20 + jump_s, 4, 15 + jump_s)
        ]  # fmt: skip


def test_a_machine_that_slept_goes_on_counting() -> None:
    machine = Machine()
    machine.take([1, 1])
    machine.take([2, 1], after_s=8 * 3600)
    assert machine.seen("system.cpu.time", USER) == [(5, 1, 5), (5 + 8 * 3600, 2, 5)]


def test_minutes_end_at_the_machines_own_second() -> None:
    minutes = Minutes(20_000_000)
    ends = []
    for at in range(0, 180, 5):
        if minutes.take("cpu", SERIES, T0_US + at * 1_000_000, T0_US, [at, 1]):
            ends.append(at)
    assert ends == [40, 100, 160]


def test_two_collectors_share_a_minute() -> None:
    minutes = Minutes(0)
    for at in (1, 5, 10):
        assert minutes.take("cpu", SERIES, T0_US + at, T0_US, [at, 1]) == []
    assert minutes.take("load", SERIES[1:], T0_US + 10, T0_US, [3]) == []
    ended = minutes.take("cpu", SERIES, T0_US + MINUTE_US, T0_US, [1, 1])
    assert [(each.collector, len(each.times_us)) for each in ended] == [("cpu", 3), ("load", 1)]
    assert len(packed(ended)) == 1


def test_a_sample_that_took_long_goes_with_the_minute_it_comes_in() -> None:
    minutes = Minutes(0)
    minutes.take("cpu", SERIES, T0_US + 1, T0_US, [1, 1])
    assert len(minutes.take("cpu", SERIES, T0_US + MINUTE_US, T0_US, [2, 1])) == 1
    assert minutes.take("smart", SERIES[1:], T0_US + 30_000_000, T0_US, [3]) == []
    assert minutes.take("cpu", SERIES, T0_US + MINUTE_US + 1, T0_US, [3, 1]) == []
    assert [each.collector for each in minutes.close()] == ["cpu", "smart"]


def test_of_two_series_of_one_name_the_first_counts() -> None:
    machine = Machine()
    machine.take([1, 2], [LOAD.series(), LOAD.series()])
    assert machine.seen("x.load.1m") == [(5, 1, 0)]


def test_what_is_held_has_a_limit() -> None:
    minutes = Minutes(0)
    series = [LOAD.series(("n", str(at))) for at in range(SERIES_MAX + 5)]
    ended: list[Table] = []
    rows = 0
    while not ended:
        rows += 1
        ended = minutes.take("many", series, T0_US + rows, T0_US, [0] * len(series))
    assert (rows - 2) * SERIES_MAX <= VALUES_MAX < (rows - 1) * SERIES_MAX
    assert len(ended[0].columns) == SERIES_MAX


def test_a_day_leaves_nothing_behind() -> None:
    minutes = Minutes(0)
    held = []
    for at in range(24 * 60):
        minutes.take("processes", [TIME.series(("pid", str(at)))], T0_US + at * MINUTE_US, T0_US, [at])
        held.append(sum(len(runs) for runs in minutes._runs.values()))
    assert max(held) <= 1


def test_a_minute_costs_little() -> None:
    machine = Minutes(0)
    series = [TIME.series(("n", str(at))) for at in range(200)]
    for at in range(12):
        machine.take("cpu", series, T0_US + at * 5_000_000, T0_US, [at * 1.25 + n for n in range(200)])
    begin_s = time.process_time()
    assert len(packed(machine.close())) == 1
    assert time.process_time() - begin_s < 0.5  # some 4 ms
