# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells about a process: its processor time, its memory, its children. Reads /proc, changes nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """In bytes. Pages shared with n processes count 1/n in pss, wholly in rss and not at all in private."""

    pss: int
    rss: int
    private: int


def cpu_s(pid: int) -> float:
    """Processor time of all threads, user and system, in seconds.

    From schedstat, in nanoseconds; from stat (in clock ticks of 10 ms) on a kernel without it. Source: proc(5).
    """
    total_ns = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[0])
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total_ns / 1e9


class Processors(NamedTuple):
    """Time in seconds, of all processors together."""

    ours: float  # this process, and its children that have ended
    busy: float  # anybody's
    stolen: float  # what the host of a virtual machine gave to others
    all: float


def processors() -> Processors:
    """Since the boot; subtract two of them (source: proc(5), getrusage(2))."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    user, nice, system, idle, waiting, irq, softirq, stolen = (
        int(field) / os.sysconf("SC_CLK_TCK") for field in fields
    )
    busy = user + nice + system + irq + softirq
    times = os.times()
    ours = times.user + times.system + times.children_user + times.children_system
    return Processors(ours, busy, stolen, busy + idle + waiting + stolen)


def shares(before: Processors, after: Processors) -> str:
    """Who had the processors between two looks, for a line of text."""
    spent = max(after.all - before.all, 0.01)
    ours, stolen = 100 * (after.ours - before.ours) / spent, 100 * (after.stolen - before.stolen) / spent
    others = max(100 * (after.busy - before.busy) / spent - ours, 0.0)
    return f"processors: {ours:.0f}% this row, {others:.0f}% others and the kernel's threads, {stolen:.0f}% stolen"


def memory(pid: int) -> Memory:
    """From smaps_rollup (source: proc(5)); the numbers there are in KiB."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        found[name] = int(value) * 1024
    return Memory(found["Pss:"], found["Rss:"], found["Private_Clean:"] + found["Private_Dirty:"])


def peak_rss(pid: int) -> int:
    """Bytes in memory at the most, so far (VmHWM; source: proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/status tells no VmHWM: the process has ended")


def descendants(pid: int) -> list[int]:
    """The process's children, their children and so on, without itself."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found: list[int] = []
    line = [pid]
    while line:
        children = [child for child, parent in parents.items() if parent in line]
        found += children
        line = children
    return found


def alive_with(path: Path) -> list[int]:
    """The processes whose command line names path, this one left out: a daemon is told its configuration's path."""
    wanted = os.fsencode(path)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
