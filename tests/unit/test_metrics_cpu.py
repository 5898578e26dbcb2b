# SPDX-License-Identifier: Apache-2.0
"""/proc/stat and loadavg, cut at every byte, with processors that come and go and times that shrink."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors.cpu import Collector, busy, loads, processors, steady, words_of
from telemetry_probes.metrics.places import Places

STAT = b"""cpu  400 20 100 1000 50 1 2 3 30 4
cpu0 200 10 50 500 25 0 1 1 15 2
cpu1 200 10 50 500 25 1 1 2 15 2
intr 9 1 2 3
ctxt 5
"""


def machine(root: Path, stat: bytes = STAT, load: bytes = b"0.50 1.25 10.00 2/100 123\n") -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_bytes(stat)
    (root / "proc/loadavg").write_bytes(load)


def by_name(collector: Collector, now_s: float) -> dict[str, object]:
    row = collector.sample(now_s)
    return {
        " ".join([series.metric.name, *(value for _, value in series.attributes)]): value
        for series, value in zip(collector.series, row, strict=True)
    }


def test_busy_is_all_but_idle_and_iowait(tmp_path: Path) -> None:
    machine(tmp_path)
    collector = Collector(Places(str(tmp_path)), {})
    first = by_name(collector, 1)
    assert first["system.cpu.utilization"] is None
    assert first["system.cpu.logical.count"] == 2
    assert first["system.cpu.time 1 iowait"] == 0.25
    assert (first["x.load.1m"], first["x.load.5m"], first["x.load.15m"]) == (0.5, 1.25, 10.0)
    # 30 user (10 of them a guest's), 10 steal, 40 idle, 20 iowait
    machine(tmp_path, STAT.replace(b"cpu  400 20 100 1000 50 1 2 3 30 4", b"cpu  430 20 100 1040 70 1 2 13 40 4"))
    assert by_name(collector, 6)["system.cpu.utilization"] == pytest.approx(0.4)
    collector.close()


def test_a_processor_that_comes_and_one_that_goes(tmp_path: Path) -> None:
    machine(tmp_path)
    collector = Collector(Places(str(tmp_path)), {})
    collector.sample(1)
    series = collector.series
    machine(tmp_path, STAT.replace(b"intr", b"cpu7 1 2 3 4 5 6 7 8 9 10\nintr"))
    more = by_name(collector, 6)
    assert (more["system.cpu.logical.count"], more["system.cpu.time 7 nice"]) == (3, 0.02)
    assert collector.series is not series
    assert more["system.cpu.utilization"] is None
    machine(tmp_path, STAT.replace(b"cpu1 200 10 50 500 25 1 1 2 15 2\n", b""))
    less = by_name(collector, 11)
    assert less["system.cpu.logical.count"] == 1
    assert "system.cpu.time 1 nice" not in less
    collector.close()


def test_times_that_shrink_a_little_stay_and_those_that_begin_anew_begin_anew(tmp_path: Path) -> None:
    machine(tmp_path)
    collector = Collector(Places(str(tmp_path)), {})
    collector.sample(1)
    machine(tmp_path, STAT.replace(b"cpu0 200 10 50 500 25 0", b"cpu0 199 10 50 490 24 0"))
    row = by_name(collector, 6)
    assert [row[f"system.cpu.time 0 {mode}"] for mode in ("user", "idle", "iowait")] == [2.0, 5.0, 0.25]
    machine(tmp_path, STAT.replace(b"cpu0 200 10 50 500 25 0", b"cpu0 3 10 50 500 25 0"))
    assert by_name(collector, 11)["system.cpu.time 0 user"] == 0.03
    collector.close()


def test_more_than_is_read_at_once(tmp_path: Path) -> None:
    lines = b"".join(b"cpu%d 1000000 2000000 3000000 4 5 6 7 8 9 10\n" % number for number in range(256))
    machine(tmp_path, b"cpu  1 2 3 4 5 6 7 8 9 10\n" + lines + b"intr 1\n")
    collector = Collector(Places(str(tmp_path)), {})
    assert by_name(collector, 1)["system.cpu.logical.count"] == 256
    collector.close()


def test_cut_at_every_byte() -> None:
    whole = words_of(STAT)
    assert processors(whole) == [b"cpu", b"cpu0", b"cpu1"]
    for size in range(len(STAT)):
        words = words_of(STAT[:size])
        assert words == (whole if b"\nintr" in STAT[:size] else [])


@pytest.mark.parametrize(
    "text",
    [
        STAT.replace(b"cpu1", b"cpu0"),
        STAT.replace(b"cpu1", b"cpux"),
        STAT.replace(b"cpu1 200", b"cpu1 "),
        STAT.replace(b"cpu  400", b"cpu0 400"),
        b"\nintr 1\n",
    ],
)
def test_what_is_no_table_of_processors(text: bytes) -> None:
    with pytest.raises(ValueError):
        processors(words_of(text))


@pytest.mark.parametrize(
    ("last", "now", "share"),
    [
        ([0] * 8, [0] * 8, None),
        ([5] * 8, [4] * 8, None),
        ([0] * 8, [1, 1, 1, 1, 1, 1, 1, 1], 0.75),
        ([0, 0, 0, 90, 0, 0, 0, 0], [10, 0, 0, 80, 0, 0, 0, 0], None),
        ([0, 0, 0, 90, 0, 0, 0, 0], [20, 0, 0, 80, 0, 0, 0, 0], 1.0),
        ([0] * 8, [2**64 - 1] * 8, 0.75),
    ],
)
def test_busy(last: list[int], now: list[int], share: float | None) -> None:
    assert busy(last, now) == share


def test_steady() -> None:
    assert [steady(10, 9), steady(99, 100), steady(10, 100), steady(0, 0)] == [10, 100, 10, 0]


@pytest.mark.parametrize("text", [b"", b"0.1", b"a b c d e", b"1 2 3", b"-1.00 2 3 1/2 3", b"nan 1 1 1/2 3"])
def test_loads_that_are_none(text: bytes) -> None:
    assert list(loads(text)) == [None, None, None]
