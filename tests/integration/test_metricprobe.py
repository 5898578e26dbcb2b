# SPDX-License-Identifier: Apache-2.0
"""metricprobe as installed, beside psutil; and a day of it on a clock that the test winds."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from running import BIN, TIMEOUT_S

from telemetry_probes.metrics import discovery
from telemetry_probes.metrics.columns import packed
from telemetry_probes.metrics.gathering import Gathering, Source
from telemetry_probes.metrics.loop import Loop
from telemetry_probes.metrics.minutes import Minutes
from telemetry_probes.metrics.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from telemetry_probes.metrics.model import Series, Value

METRICPROBE = BIN / "metricprobe"


def run(*arguments: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """What it prints; what it complains of where it is to fail."""
    ran = subprocess.run(
        [METRICPROBE, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **(environment or {})},
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout if code == 0 else ran.stderr


def once(*collectors: str) -> dict[str, Any]:
    """Values by `name attribute-value...`."""
    found = json.loads(run("--once", "--json", "--collector", ",".join(collectors)))
    assert not found["absent"]
    return {" ".join([each["name"], *each["attributes"].values()]): each["value"] for each in found["metrics"]}


# ---- beside psutil --------------------------------------------------------------------------------------------------

MODES = {"user": "user", "nice": "nice", "system": "system", "softirq": "softirq", "steal": "steal"}


def test_processors_agree_with_psutil() -> None:
    before = psutil.cpu_times(percpu=True)
    found = once("cpu")
    after = psutil.cpu_times(percpu=True)
    assert found["system.cpu.logical.count"] == psutil.cpu_count()
    assert 0 <= found["system.cpu.utilization"] <= 1
    for number, (sooner, later) in enumerate(zip(before, after, strict=True)):
        for ours, theirs in MODES.items():
            value = found[f"system.cpu.time {number} {ours}"]
            assert getattr(sooner, theirs) <= value <= getattr(later, theirs), (number, ours)


def test_memory_agrees_with_psutil() -> None:
    found = once("memory")
    theirs = psutil.virtual_memory()
    assert found["system.memory.limit"] == theirs.total
    near = theirs.total * 0.15  # what the machine does meanwhile
    assert found["system.linux.memory.available"] == pytest.approx(theirs.available, abs=near)
    assert found["system.memory.usage free"] == pytest.approx(theirs.free, abs=near)
    cached = theirs.cached - theirs.shared  # psutil has what programs share in there, too
    assert found["system.memory.usage cached"] == pytest.approx(cached, abs=near)
    parts = ("used", "free", "buffers", "cached")
    assert sum(found[f"system.memory.usage {part}"] for part in parts) == theirs.total
    swap = psutil.swap_memory()
    assert found["system.paging.usage free"] == pytest.approx(swap.free, abs=near)


def test_disks_agree_with_psutil() -> None:
    before = psutil.disk_io_counters(perdisk=True)
    found = once("diskio")
    after = psutil.disk_io_counters(perdisk=True)
    names = {name.split(" ")[1] for name in found}
    assert names <= set(before)
    for name in names:
        for way in ("read", "write"):
            value = found[f"system.disk.io {name} {way}"]
            assert getattr(before[name], f"{way}_bytes") <= value <= getattr(after[name], f"{way}_bytes")
            value = found[f"system.disk.operations {name} {way}"]
            assert getattr(before[name], f"{way}_count") <= value <= getattr(after[name], f"{way}_count")


def test_network_agrees_with_psutil() -> None:
    before = psutil.net_io_counters(pernic=True, nowrap=False)
    found = json.loads(run("--once", "--json", "-c", "network", environment={"TELEMETRICS_NETWORK_NICS": "*"}))[
        "metrics"
    ]
    after = psutil.net_io_counters(pernic=True, nowrap=False)
    bytes_of = {"receive": "bytes_recv", "transmit": "bytes_sent"}
    compared = set()
    for each in found:
        if each["name"] == "system.network.io":
            nic, field = (
                each["attributes"]["network.interface.name"],
                bytes_of[each["attributes"]["network.io.direction"]],
            )
            if nic in before and nic in after:
                assert getattr(before[nic], field) <= each["value"] <= getattr(after[nic], field)
                compared.add(nic)
    assert "lo" in compared


def test_file_systems_agree_with_psutil() -> None:
    found = json.loads(run("--json", "-c", "filesystem"))["metrics"]
    roots = {
        " ".join([each["name"], each["attributes"].get("system.filesystem.state", "")]).strip(): each["value"]
        for each in found
        if each["attributes"]["system.filesystem.mountpoint"] == "/"
    }
    theirs = psutil.disk_usage("/")
    assert roots["system.filesystem.limit"] == theirs.total
    assert roots["system.filesystem.usage free"] == pytest.approx(theirs.free, abs=theirs.total * 0.05)
    assert 100 * roots["system.filesystem.utilization"] == pytest.approx(theirs.percent, abs=5)


def test_system_and_processes_agree_with_psutil() -> None:
    found = once("system", "processes")
    assert found["x.system.boot_time"] == psutil.boot_time()
    count = sum(value for name, value in found.items() if name.startswith("system.process.count "))
    assert count == pytest.approx(len(psutil.pids()), abs=100)  # tests begin and end some


# ---- the command line -----------------------------------------------------------------------------------------------


def test_the_table_of_now() -> None:
    text = run("--once", "--collector", "memory,pressure,cpu")
    assert "memory: memory and swap\n" in text
    assert "  system.memory.limit " in text and " GiB\n" in text
    assert text.index("cpu: ") < text.index("memory: ")
    assert "diskio" not in text


def test_the_list_has_every_collector() -> None:
    lines = run("--list").splitlines()
    assert [line.split()[0] for line in lines[1:] if line[0] != " "] == discovery.names()
    assert any(line.startswith("cpu ") and " 5 s " in line for line in lines)


def test_the_list_has_the_named_collectors_alone_also_where_they_are_switched_off(tmp_path: Path) -> None:
    file = tmp_path / "t.conf"
    file.write_text("[metrics.memory]\nenabled = false\n")
    lines = run("-f", str(file), "--list", "-c", "memory,cpu").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["cpu", "5", "s"], ["memory", "10", "s"]]


def test_lines_fit() -> None:
    for columns, most in (("", 100), ("60", 60)):
        for what in ("--list", "--once"):
            text = run(what, "-c", "-inventory", environment={"COLUMNS": columns})
            assert max(map(len, text.splitlines())) <= most


def test_lines_fit_the_terminal() -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 50, 0, 0))
    done = subprocess.Popen([METRICPROBE, "--list", "-c", "-inventory"], stdout=theirs, env={"PATH": "/usr/bin:/bin"})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # the end, on a terminal
        while piece := os.read(ours, 65_536):
            text += piece
    os.close(ours)
    assert done.wait(TIMEOUT_S) == 0
    lines = text.decode().splitlines()
    assert max(map(len, lines)) <= 50
    assert any(line.startswith("memory ") for line in lines) and len(lines) > 30


def test_the_benchmark_says_what_a_sample_costs() -> None:
    header, line = run("--benchmark", "-c", "memory").splitlines()
    name, median_us, least_us, values = line.split()
    assert (name, values) == ("memory", "10")
    assert 0 < float(least_us) <= float(median_us)
    assert "MEDIAN us" in header


def test_the_benchmark_says_it_where_there_is_nothing_to_sample() -> None:
    _, line = run("--benchmark", "-c", "network", environment={"TELEMETRICS_NETWORK_NICS": "none*"}).splitlines()
    assert line.split() == ["network", "-", "-", *"there is nothing to sample here now".split()]


def test_a_collector_can_be_switched_off_and_set(tmp_path: Path) -> None:
    file = tmp_path / "t.conf"
    text = "[metrics]\ncollectors = 'cpu,memory'\n[metrics.memory]\nenabled = false\n[metrics.cpu]\ninterval_s = 7\n"
    file.write_text(text)

    def listed(environment: Mapping[str, str]) -> dict[str, str]:
        lines = run("-f", str(file), "--list", environment=environment).splitlines()
        return {line.split()[0]: line for line in lines}

    found = listed({})
    assert "switched off" in found["memory"] and "switched off" in found["gpu"]
    assert " 7 s " in found["cpu"]
    found = listed({"TELEMETRICS_CPU_ENABLED": "no", "TELEMETRICS_MEMORY_ENABLED": "yes"})
    assert "switched off" in found["cpu"] and "switched off" not in found["memory"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--collector", "cpuu", "--once"], "no collector 'cpuu'; there are "),
        (["--frobnicate"], "unknown option --frobnicate"),
        (["extra"], "unexpected argument"),
    ],
)
def test_mistakes_are_said_in_a_sentence(arguments: list[str], said: str) -> None:
    complaint = run(*arguments, code=1)
    assert said in complaint and complaint.count("\n") == 1


def test_a_mistake_in_the_configuration_names_file_and_key(tmp_path: Path) -> None:
    file = tmp_path / "t.conf"
    file.write_text("[metrics.cpu]\ninterval_s = 0.1\n")
    said = f"{file}:2: [metrics.cpu] interval_s: this can't be its value; write a number of seconds from 1 to 86400\n"
    assert said in run("-f", str(file), "-o", code=1)


# ---- a day ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory, where there is such a folder: thousands of small files are written."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="tm-") as folder:
        yield Path(folder)


def write(path: Path, text: str) -> None:
    """Into the same inode, as the kernel's files are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.pwrite(fd, text.encode(), 0)
    os.ftruncate(fd, len(text.encode()))
    os.close(fd)


class Day:
    """A machine below root that works, on which things come and go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pids: list[int] = []
        for name in ("cpu", "memory", "io"):
            write(root / f"proc/pressure/{name}", "some avg10=0 avg60=0 avg300=0 total=5\n")
        amounts = {"MemTotal": 9000, "MemFree": 1000, "Buffers": 10, "Cached": 50, "SReclaimable": 1, "Shmem": 2}
        write(root / "proc/meminfo", "".join(f"{name}: {kb} kB\n" for name, kb in amounts.items()))
        write(root / "proc/uptime", "1.00 2.00\n")
        for disk in ("sda", "sdb", "sdc"):
            write(root / f"sys/block/{disk}/size", "1\n")
        self.at(0)

    def at(self, step: int) -> None:
        """Two minutes a step: counters grow, wrap and begin anew; a disk, an interface, a processor come and go."""
        processors = range(2 + step // 120 % 3)
        busy = 1000 + step * 700
        lines = [f"cpu{number} {busy} 1 2 {busy * 3} 5 6 7 8 9 10\n" for number in processors]
        write(
            self.root / "proc/stat", f"cpu  {busy * 2} 2 4 {busy * 6} 5 6 7 8 9 10\n{''.join(lines)}intr 1\nbtime 7\n"
        )
        write(self.root / "proc/loadavg", f"{step % 9}.50 1.00 1.00 1/2 {step}\n")
        ms = step * 9_000_000 % 2**32
        disks = ["sda", "sdb"] if step % 90 < 60 else ["sda", "sdc"]
        write(
            self.root / "proc/diskstats",
            "".join(f"8 0 {disk} {step} 0 {step * 8} {ms} {step} 0 {step * 8} {ms} 0 {ms} 0\n" for disk in disks),
        )
        nics = ["eth0", *(f"veth{step % 50}{number}" for number in range(20)), f"usb{step // 30}"]
        write(
            self.root / "proc/self/net/dev",
            "a\nb\n"
            + "".join(f"{nic}: {step % 300 * 1000} {step % 300} 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n" for nic in nics),
        )
        for pid in self.pids:
            end(self.root, pid)
        self.pids = [1, *range(100 + step * 8, 108 + step * 8)]
        for pid in self.pids:
            begin(self.root, pid)


def begin(root: Path, pid: int) -> None:
    rest = f"S 1 1 1 0 -1 0 0 0 0 0 {pid} 0 0 0 20 0 1 0 5 4096 {pid} 18446744073709551615 1"
    write(root / f"proc/{pid}/stat", f"{pid} (p{pid}) {rest}\n")


def end(root: Path, pid: int) -> None:
    """Where it is still open it says nothing any more."""
    write(root / f"proc/{pid}/stat", "")
    (root / f"proc/{pid}/stat").unlink()
    (root / f"proc/{pid}").rmdir()


DAY_S = 86_400
COLLECTORS = ("cpu", "memory", "pressure", "diskio", "network", "processes", "probe")


def test_a_day_in_which_neither_memory_nor_descriptors_grow(quick_folder: Path) -> None:
    """Samples to records, as the process does it, every interval four times as long as by default."""
    day = Day(quick_folder)
    places = Places(str(quick_folder))
    minutes = Minutes(12_345)
    records: list[int] = []
    now_s = 5.0
    wall_s = 1_800_000_000.0

    def take(name: str, series: Sequence[Series], time_us: int, row: Sequence[Value]) -> None:
        ended = minutes.take(name, series, time_us, int((wall_s - now_s) * 1e6), row)
        records.extend(len(payload) for payload in packed(ended))

    sources = []
    for name in COLLECTORS:
        kind = discovery.kind(name)
        chosen = {choice.name: choice.default for choice in kind.options}
        sources.append(Source(kind, places, chosen, kind.interval_s * 4))
    gathering = Gathering(sources, places, (take,))
    loop = Loop(gathering)
    gc.collect()  # what other tests have left
    before = len(os.listdir("/proc/self/fd"))
    loop.begin(now_s)
    blocks: list[int] = []
    descriptors: list[int] = []
    hour = step = 0
    while now_s < DAY_S:
        loop.turn(now_s, wall_s)
        slept_s = loop.next_s() - now_s
        assert 0 < slept_s <= 120
        if hour in (7, 8) and int(now_s) % 600 < 20:
            slept_s += 900  # suspended
        now_s += slept_s
        wall_s += slept_s
        if hour == 12 and int(now_s) // 3600 == 13:
            wall_s -= 7200  # the clock is set
        if int(now_s) // 120 != step:
            step = int(now_s) // 120
            day.at(step)
        if int(now_s) // 3600 != hour:
            hour = int(now_s) // 3600
            gc.collect()
            blocks.append(sys.getallocatedblocks())
            descriptors.append(len(os.listdir("/proc/self/fd")))
    records.extend(len(payload) for payload in packed(minutes.close()))
    assert not places.account.failures
    assert len(records) > 1000
    assert max(descriptors) - min(descriptors) <= 2
    assert max(blocks[12:]) < max(blocks[2:12]) * 1.02 + 500
    gathering.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_ten_thousand_processes_that_come_and_go(quick_folder: Path) -> None:
    for pid in range(1, 10_001):
        begin(quick_folder, pid)
    before = len(os.listdir("/proc/self/fd"))
    collector = discovery.kind("processes").collector(Places(str(quick_folder)), {"top": 5})
    assert sum(value or 0 for value in collector.sample(1000.0)[:7]) == 10_000
    assert len(os.listdir("/proc/self/fd")) <= before + 401
    for pid in range(1, 9_901):
        end(quick_folder, pid)
    for pid in range(20_000, 20_050):
        begin(quick_folder, pid)
    assert sum(value or 0 for value in collector.sample(1015.0)[:7]) == 150
    collector.close()
    assert len(os.listdir("/proc/self/fd")) == before
