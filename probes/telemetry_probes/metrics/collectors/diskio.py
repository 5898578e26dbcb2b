# SPDX-License-Identifier: Apache-2.0
"""What disks do: /proc/diskstats (Documentation/admin-guide/iostats.rst).

Whole disks, those that device mapper and md make of them among them; partitions only where they are named.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.lines import Wanted
from telemetry_probes.metrics.model import COUNTER, Absent, Choice, Metric
from telemetry_probes.metrics.wraps import Going

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "disks: bytes, operations and their time"
INTERVAL_S = 5.0
QUICK = True
OPTIONS = (
    Choice(
        "devices",
        ALL,
        "Which disks, as in `nvme*,sda`, or after a `-` which not. A list of which takes partitions, too, "
        "and what is left out otherwise: loop, ram, zram, fd, sr.",
    ),
)

IO = Metric("system.disk.io", "By", COUNTER, "Bytes read from and written to a disk")
OPERATIONS = Metric("system.disk.operations", "{operation}", COUNTER, "Reads and writes that a disk has finished")
OPERATION_TIME = Metric("system.disk.operation_time", "s", COUNTER, "Time that all reads and all writes took, added up")
IO_TIME = Metric("system.disk.io_time", "s", COUNTER, "Time in which a disk had something to do")
METRICS = (IO, OPERATIONS, OPERATION_TIME, IO_TIME)

DISKSTATS = "/proc/diskstats"
DISKS = "/sys/block"
SKIPPED = ("loop*", "ram*", "zram*", "fd*", "sr*")
BYTES_MAX = 1 << 20
SECTOR_BYTES = 512
"""In diskstats, whatever the disk's are."""
MS_PER_S = 1000
WORDS_MIN = 11
"""Figures of a disk; kernels since 4.18 have more."""
EVENTS = (0, 3)
"""Reads and writes, of reads, sectors, ms, writes, sectors, ms, ms at work: what was counted once is never fewer."""


class Collector:
    """One pread."""

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._places = places
        self._filter = Filter(str(options["devices"]), SKIPPED)
        self._whole: frozenset[str] | None = None
        self._lines = Wanted(head, name_in, self._wants)
        self._names: list[bytes] = self._lines.names
        self._going: dict[bytes, Going] = {}
        self._bytes = 8192
        try:
            self._fd = places.opened(DISKSTATS)
        except OSError:
            raise Absent(f"{DISKSTATS} can't be read: this kernel counts no disks, or /proc is not mounted") from None

    def sample(self, now_s: float) -> Sequence[Value]:
        text = posix.pread(self._fd, self._bytes, 0)
        while len(text) == self._bytes and self._bytes < BYTES_MAX:
            self._bytes *= 2
            text = posix.pread(self._fd, self._bytes, 0)
        self._whole = None
        lines = self._lines.chosen(text, now_s)
        if self._lines.names is not self._names:
            self._begin()
        row: list[Value] = []
        for name, line in zip(self._names, lines, strict=True):
            reads, got, read_ms, writes, put, write_ms, busy_ms = self._going[name].on(counters(line))
            row += (
                got * SECTOR_BYTES, put * SECTOR_BYTES, reads, writes,
                read_ms / MS_PER_S, write_ms / MS_PER_S, busy_ms / MS_PER_S,
            )  # fmt: skip
        return row

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            posix.close(fd)

    def _wants(self, name: bytes) -> bool:
        text = shown(name)
        if self._filter.takes_listed:
            return self._filter.takes(text)
        if self._whole is None:
            self._whole = frozenset(self._places.listed(DISKS))
        return text.replace("/", "!") in self._whole and self._filter.takes(text)  # as sysfs writes it

    def _begin(self) -> None:
        """Other disks than before. One that is still there goes on."""
        self._names = self._lines.names
        self._going = {name: self._going.get(name) or Going(EVENTS) for name in self._names}
        series: list[Series] = []
        for name in self._names:
            device = ("system.device", shown(name))
            for metric in (IO, OPERATIONS, OPERATION_TIME):
                series += (metric.series(device, ("disk.io.direction", way)) for way in ("read", "write"))
            series.append(IO_TIME.series(device))
        self.series = series


def head(line: bytes) -> bytes:
    """Major and minor number and the disk's name; b"" where the line has too few figures."""
    words = line.split(None, 3)
    return line[: -len(words[3])] if len(words) == 4 and len(words[3].split(None, WORDS_MIN)) >= WORDS_MIN else b""


def name_in(head: bytes) -> bytes:
    """The disk's."""
    return head.split()[2]


def shown(name: bytes) -> str:
    """As text."""
    return name.decode("utf-8", "backslashreplace")


def counters(figures: bytes) -> list[int]:
    """Reads, sectors read, ms reading, writes, sectors written, ms writing, ms at work. ValueError."""
    words = figures.split(None, WORDS_MIN)
    found = [*map(int, (words[0], words[2], words[3], words[4], words[6], words[7], words[9]))]
    if min(found) < 0:
        raise ValueError("a counter is below 0")
    return found
