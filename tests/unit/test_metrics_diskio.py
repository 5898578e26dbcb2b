# SPDX-License-Identifier: Apache-2.0
"""/proc/diskstats: which disks, wraps of 32 bits, disks that come, go and are swapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors.diskio import Collector, counters, head, name_in
from telemetry_probes.metrics.places import Places

LINE = "{numbers} {name} 10 1 20 {read_ms} 30 2 40 7 0 {busy_ms} 13 0 0 0 0 0 0"


def disk(numbers: str, name: str, read_ms: int = 5, busy_ms: int = 9) -> str:
    return LINE.format(numbers=numbers, name=name, read_ms=read_ms, busy_ms=busy_ms)


def machine(root: Path, *lines: str) -> Places:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/diskstats").write_text("".join(f"{line}\n" for line in lines))
    for line in lines:
        name = line.split()[2]
        if not name[-1].isdigit() or name.startswith(("loop", "nvme0n1", "dm", "sr", "cciss")) and "p" not in name[5:]:
            (root / "sys/block" / name.replace("/", "!")).mkdir(parents=True, exist_ok=True)
    return Places(str(root))


def devices(collector: Collector) -> list[str]:
    collector.sample(1.0)
    return sorted({dict(series.attributes)["system.device"] for series in collector.series})


def values(collector: Collector, now_s: float) -> dict[str, object]:
    row = collector.sample(now_s)
    return {
        " ".join([series.metric.name, *(value for _, value in series.attributes)]): value
        for series, value in zip(collector.series, row, strict=True)
    }


ALL = (
    disk("   8       0", "sda"),
    disk("   8       1", "sda1"),
    disk(" 259       0", "nvme0n1"),
    disk(" 259       1", "nvme0n1p1"),
    disk("   7       0", "loop0"),
    disk("  11       0", "sr0"),
    disk(" 253       0", "dm-0"),
    disk(" 104       0", "cciss/c0d0"),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("-", ["cciss/c0d0", "dm-0", "nvme0n1", "sda"]),
        ("-sd*", ["cciss/c0d0", "dm-0", "nvme0n1"]),
        ("sda1,loop0", ["loop0", "sda1"]),
        ("nvme*", ["nvme0n1", "nvme0n1p1"]),
        ("", []),
    ],
)
def test_which_disks(tmp_path: Path, wanted: str, found: list[str]) -> None:
    collector = Collector(machine(tmp_path, *ALL), {"devices": wanted})
    assert devices(collector) == found
    collector.close()


def test_units(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, ALL[0]), {"devices": "-"})
    assert values(collector, 1.0) == {
        "system.disk.io sda read": 20 * 512,
        "system.disk.io sda write": 40 * 512,
        "system.disk.operations sda read": 10,
        "system.disk.operations sda write": 30,
        "system.disk.operation_time sda read": 0.005,
        "system.disk.operation_time sda write": 0.007,
        "system.disk.io_time sda": 0.009,
    }
    collector.close()


def test_milliseconds_wrap_after_50_days(tmp_path: Path) -> None:
    wrap = 2**32
    collector = Collector(machine(tmp_path, disk("8 0", "sda", wrap - 5, wrap - 1)), {"devices": "-"})
    collector.sample(1.0)
    machine(tmp_path, disk("8 0", "sda", wrap - 4, 6))
    found = values(collector, 6.0)
    assert found["system.disk.io_time sda"] == (wrap + 6) / 1000
    assert found["system.disk.operation_time sda read"] == (wrap - 4) / 1000
    collector.close()


def test_disks_that_come_and_go(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, ALL[0]), {"devices": "-"})
    assert devices(collector) == ["sda"]
    series = collector.series
    machine(tmp_path, ALL[0], ALL[2])
    assert devices(collector) == ["nvme0n1", "sda"]
    assert collector.series is not series
    machine(tmp_path, ALL[2])
    assert devices(collector) == ["nvme0n1"]
    machine(tmp_path)
    assert collector.sample(30.0) == []
    collector.close()


def test_another_disk_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, disk("8 0", "sda", 2**32 - 1)), {"devices": "-"})
    collector.sample(1.0)
    machine(tmp_path, "8 0 sda 1 0 2 3 0 0 0 0 0 4 0 0 0 0 0 0 0")
    assert values(collector, 6.0)["system.disk.operation_time sda read"] == 0.003
    collector.close()


def test_kernels_before_4_18_have_fewer_figures(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, "8 0 sda 1 0 2 3 4 0 5 6 0 7 8"), {"devices": "-"})
    assert values(collector, 1.0)["system.disk.io_time sda"] == 0.007
    collector.close()


def test_heads_cut_at_every_byte() -> None:
    line = ALL[0].encode()
    whole = head(line)
    assert (whole, name_in(whole)) == (b"   8       0 sda ", b"sda")
    assert counters(line[len(whole) :]) == [10, 20, 5, 30, 40, 7, 9]
    for size in range(len(line)):
        assert head(line[:size]) in (b"", whole)


def test_a_thousand_disks(tmp_path: Path) -> None:
    many = [disk(f"8 {number}", f"dm-{number}") for number in range(1000)]
    collector = Collector(machine(tmp_path, *many), {"devices": "-"})
    assert len(collector.sample(1.0)) == 7000
    collector.close()
