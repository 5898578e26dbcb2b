# SPDX-License-Identifier: Apache-2.0
"""/proc/meminfo and arcstats: the exact definitions, lines that are missing or elsewhere, and cuts at every byte."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors.memory import Collector, arc_size, figures
from telemetry_probes.metrics.places import Places

MEMINFO = b"""MemTotal:       1000 kB
MemFree:         200 kB
MemAvailable:    600 kB
Buffers:          50 kB
Cached:          300 kB
SwapCached:       10 kB
Active:            1 kB
SwapTotal:       500 kB
SwapFree:        400 kB
Shmem:            40 kB
SReclaimable:     60 kB
HugePages_Total:   7
Hugepagesize:   2048 kB
"""
KIB = 1024


def machine(root: Path, meminfo: bytes = MEMINFO, arcstats: bytes | None = None) -> Places:
    (root / "proc/spl/kstat/zfs").mkdir(parents=True, exist_ok=True)
    (root / "proc/meminfo").write_bytes(meminfo)
    if arcstats is not None:
        (root / "proc/spl/kstat/zfs/arcstats").write_bytes(arcstats)
    return Places(str(root))


def by_name(collector: Collector) -> dict[str, object]:
    row = collector.sample(1.0)
    return {
        " ".join([series.metric.name, *(value for _, value in series.attributes)]): value
        for series, value in zip(collector.series, row, strict=True)
    }


EXPECTED = {
    "system.memory.usage used": 430 * KIB,  # 1000 - 200 - 50 - 300 - 60 + 40
    "system.memory.usage free": 200 * KIB,
    "system.memory.usage buffers": 50 * KIB,
    "system.memory.usage cached": 320 * KIB,
    "system.memory.usage shared": 40 * KIB,
    "system.memory.limit": 1000 * KIB,
    "system.memory.utilization": 0.43,
    "system.linux.memory.available": 600 * KIB,
    "system.paging.usage used": 90 * KIB,  # what is in memory as well is not swapped out
    "system.paging.usage free": 400 * KIB,
}


def test_the_definitions(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path), {})
    assert by_name(collector) == EXPECTED
    assert by_name(collector) == EXPECTED  # now the places of the lines are known
    collector.close()


def test_the_cache_of_zfs_is_cache(tmp_path: Path) -> None:
    arcstats = b"9 1 0x01\nname type data\nhits 4 99\nsize 4 102400\nc_max 4 7\n"
    collector = Collector(machine(tmp_path, arcstats=arcstats), {})
    row = by_name(collector)
    assert row["x.zfs.arc.size"] == 100 * KIB
    assert row["system.memory.usage used"] == 330 * KIB
    assert row["system.memory.usage cached"] == 420 * KIB
    assert row["system.memory.utilization"] == 0.33
    collector.close()


def test_lines_that_move(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path), {})
    collector.sample(1)
    machine(tmp_path, b"New:  3 kB\n" + MEMINFO)
    assert by_name(collector) == EXPECTED
    machine(tmp_path, MEMINFO.replace(b"MemAvailable:    600 kB\n", b"").replace(b"SwapTotal:       500 kB\n", b""))
    row = by_name(collector)
    assert row["system.linux.memory.available"] is None
    assert row["system.paging.usage used"] is None
    assert row["system.memory.usage used"] == EXPECTED["system.memory.usage used"]
    collector.close()


def test_cut_at_every_byte(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path), {})
    collector.sample(1)
    for size in range(len(MEMINFO)):
        machine(tmp_path, MEMINFO[:size])
        with contextlib.closing(Collector(Places(str(tmp_path)), {})) as fresh:
            for one in (collector, fresh):
                try:
                    row = by_name(one)
                except ValueError:
                    continue
                assert row["system.memory.limit"] == 1000 * KIB
                assert row["system.memory.usage used"] == 430 * KIB
    collector.close()


def test_amounts_that_do_not_fit_together() -> None:
    row = figures([10, 2**64 - 1, 5, 5, 5, 2**64 - 1], [1, 2, 3, 4], 2**70)
    assert all(value is None or value >= 0 for value in row)
    assert figures([0] * 6, [None] * 4, 0)[6:] == [None] * 4


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"", None), (b"size 4 7\n", None), (b"\nsize 4 7\n", 7), (b"\nsize 4 7", None), (b"\nsize 4\n", None),
        (b"\nsize 4 x\n", None), (b"\nmax_size 4 9\nsize 4 8\n", 8),
    ],
)  # fmt: skip
def test_arcstats(text: bytes, size: int | None) -> None:
    assert arc_size(text) == size
