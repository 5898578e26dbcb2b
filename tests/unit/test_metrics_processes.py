# SPDX-License-Identifier: Apache-2.0
"""/proc/PID/stat: hostile names, cuts, processes that come, go and are replaced, and more of them than there may be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors import processes
from telemetry_probes.metrics.collectors.processes import Collector, Process, processors, shown
from telemetry_probes.metrics.model import Absent
from telemetry_probes.metrics.places import Places


def stat(
    pid: int, name: bytes = b"sh", state: str = "S", ticks: int = 0, threads: int = 1, begun: int = 50, pages: int = 9
) -> bytes:
    rest = (
        f") {state} 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 {begun} 4096 {pages} 18446744073709551615 1\n"
    )
    return f"{pid} (".encode() + name + rest.encode()


def begin(root: Path, pid: int, content: bytes) -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_bytes(content)


def values(collector: Collector, now_s: float) -> dict[str, object]:
    row = collector.sample(now_s)
    return {
        " ".join([series.metric.name, *(value for _, value in series.attributes)]): value
        for series, value in zip(collector.series, row, strict=True)
    }


def of(root: Path, top: int = 5) -> Collector:
    (root / "sys/devices/system/cpu").mkdir(parents=True, exist_ok=True)
    (root / "sys/devices/system/cpu/online").write_text("0-1\n")
    return Collector(Places(str(root)), {"top": top})


def test_states_and_those_with_most(tmp_path: Path) -> None:
    begin(tmp_path, 1, stat(1, b"init", pages=100, threads=3))
    begin(tmp_path, 2, stat(2, b"kthreadd", "I", pages=0))
    begin(tmp_path, 30, stat(30, b"busy", "R", ticks=500, pages=7))
    collector = of(tmp_path, top=2)
    first = values(collector, 1000.0)
    assert first["system.process.count running"] == 1
    assert first["system.process.count idle"] == 1
    assert first["process.memory.usage init 1"] == 100 * os.sysconf("SC_PAGESIZE")
    assert not any(name.startswith("process.cpu") for name in first)
    begin(tmp_path, 30, stat(30, b"busy", "R", ticks=1500, pages=7))
    then = values(collector, 1010.0)
    assert then["process.cpu.utilization busy 30"] == pytest.approx(0.5)  # 10 s of work in 10 s, on 2 processors
    assert then["process.thread.count init 1"] == 3
    collector.close()


def test_processors_that_come_while_it_runs(tmp_path: Path) -> None:
    begin(tmp_path, 30, stat(30, b"busy", "R", ticks=500))
    collector = of(tmp_path)
    online = tmp_path / "sys/devices/system/cpu/online"
    for ticks, now_s, listed, share in (
        (500, 1000.0, "0-1", None),
        (1500, 1010.0, "0-3", 0.25),
        (2500, 1020.0, "", 1.0),
    ):
        begin(tmp_path, 30, stat(30, b"busy", "R", ticks=ticks))
        online.write_text(f"{listed}\n")
        assert values(collector, now_s).get("process.cpu.utilization busy 30") == share
    collector.close()


@pytest.mark.parametrize(
    "name", [b") R 1", b"a\nb", b"((((", b"))))", b"", b" ", b") Z 1 1 1 0 -1", b"\xff\xfe", b") R 1 1 (", b"x" * 64]
)
def test_hostile_names(name: bytes) -> None:
    process = Process("7", -1)
    process.take(stat(7, name, "D", ticks=3))
    assert (process.name, process.state, process.ticks) == (name, b"D", 3)
    assert shown(name).isprintable()


def test_cut_at_every_byte() -> None:
    text = stat(7, b") R 1 (", ticks=4, pages=77)
    for size in range(len(text)):
        process = Process("7", -1)
        with pytest.raises(ValueError):
            process.take(text[:size])
        assert process.pages == 0


def test_one_that_came_since_used_all_it_has_since(tmp_path: Path) -> None:
    begin(tmp_path, 1, stat(1))
    collector = of(tmp_path)
    collector.sample(1000.0)
    begin(tmp_path, 8, stat(8, b"new", ticks=200, begun=100_500))
    begin(tmp_path, 9, stat(9, b"old", ticks=90_000, begun=500))
    found = values(collector, 1010.0)
    assert found["process.cpu.utilization new 8"] == pytest.approx(0.1)
    assert "process.cpu.utilization old 9" not in found  # hidden before: what it used, it used then
    collector.close()


def test_one_that_ends_and_another_of_its_number(tmp_path: Path) -> None:
    begin(tmp_path, 1, stat(1))
    begin(tmp_path, 8, stat(8, b"old", ticks=9000))
    collector = of(tmp_path)
    collector.sample(1000.0)
    shutil.rmtree(tmp_path / "proc/8")
    begin(tmp_path, 8, stat(8, b"new", ticks=10, begun=100_100))
    (tmp_path / "proc/8/stat").write_bytes(stat(8, b"new", ticks=10, begun=100_100))
    found = values(collector, 1010.0)
    assert sum(1 for name in found if name.startswith("process.memory.usage")) == 2
    collector.close()


def test_a_clock_that_stands_still_or_goes_back(tmp_path: Path) -> None:
    begin(tmp_path, 1, stat(1))
    collector = of(tmp_path)
    collector.sample(1000.0)
    begin(tmp_path, 1, stat(1, ticks=50))
    for now_s in (1000.0, 500.0):
        assert not any(name.startswith("process.cpu") for name in values(collector, now_s))
    collector.close()


def test_more_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "OPEN_MAX", 10)
    for pid in range(1, 31):
        begin(tmp_path, pid, stat(pid))
    before = len(os.listdir("/proc/self/fd"))
    collector = of(tmp_path)
    for now_s in (1.0, 2.0):
        assert values(collector, now_s)["system.process.count sleeping"] == 30
        assert len(os.listdir("/proc/self/fd")) == before + 10 + 2  # /proc, and who is online
    for pid in range(1, 26):
        begin(tmp_path, pid, b"")
    assert values(collector, 3.0)["system.process.count sleeping"] == 5
    collector.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_more_than_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PROCESSES_MAX", 10)
    for pid in range(1, 50):
        begin(tmp_path, pid, stat(pid))
    collector = of(tmp_path)
    assert values(collector, 1.0)["system.process.count sleeping"] == 10
    collector.close()


def test_no_process_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "proc/12").mkdir(parents=True)
    collector = of(tmp_path)
    with pytest.raises(Absent, match="hidepid"):
        collector.sample(1.0)
    collector.close()


def test_the_same_ones_on_top_are_the_same_series(tmp_path: Path) -> None:
    for pid in range(1, 9):
        begin(tmp_path, pid, stat(pid, pages=pid))
    collector = of(tmp_path, top=3)
    collector.sample(1000.0)
    series = collector.series
    begin(tmp_path, 8, stat(8, pages=6))
    begin(tmp_path, 6, stat(6, pages=80))
    collector.sample(1001.0)
    assert collector.series is series
    begin(tmp_path, 1, stat(1, pages=800))
    collector.sample(1002.0)
    assert collector.series is not series
    collector.close()


@pytest.mark.parametrize(
    ("text", "count"),
    [("0-3", 4), ("0", 1), ("0-1,4-5,7", 5), ("", 1), ("x", 1), ("3-1", 1), ("0-99999999999", 1), ("0-0", 1)],
)
def test_processors_that_are_online(text: str, count: int) -> None:
    assert processors(text) == count
