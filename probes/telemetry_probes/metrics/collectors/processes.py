# SPDX-License-Identifier: Apache-2.0
"""Processes by state, and those that use most: /proc/PID/stat (proc(5)).

Its descriptors are kept, since opening a file costs more than reading it; a process that ended is noticed when it is
read. What a process was called with is never read: there are passwords in it.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.model import GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "processes by state, and those that use most"
INTERVAL_S = 15.0
QUICK = True
OPTIONS = (Choice("top", 5, "How many of those that use most processor time, and memory, are told by name; 0 to 50."),)

COUNT = Metric("system.process.count", "{process}", GAUGE, "Processes by state")
UTILIZATION = Metric(
    "process.cpu.utilization", "1", GAUGE, "Share of all processors' time since the last sample; of those with most"
)
MEMORY = Metric("process.memory.usage", "By", GAUGE, "Memory that is resident; of the processes with most")
THREADS = Metric("process.thread.count", "{thread}", GAUGE, "Threads of the processes that are told by name")
METRICS = (COUNT, UTILIZATION, MEMORY, THREADS)

STATES = {
    b"R": "running", b"S": "sleeping", b"D": "uninterruptible", b"I": "idle", b"T": "stopped", b"t": "stopped",
    b"Z": "defunct",
}  # fmt: skip
STATE_NAMES = ("running", "sleeping", "uninterruptible", "idle", "stopped", "defunct", "other")
ONLINE = "/sys/devices/system/cpu/online"
ONLINE_BYTES_MAX = 4096
STAT_BYTES_MAX = 1024
NAME_CHARS_MAX = 64
TOP_MAX = 50
PROCESSES_MAX = 32_768
"""More are not looked at."""
OPEN_MAX = 400
"""Whose descriptors are kept: a service has 1,024. The files of others are opened each time."""
PAGE_BYTES = posix.sysconf("SC_PAGESIZE")
TICKS_PER_S = posix.sysconf("SC_CLK_TCK")

_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
_FILE = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK


class Process:
    """One that was there at the last sample. fd: its stat, or -1. text: what that said."""

    __slots__ = ("began_s", "fd", "name", "pages", "pid", "state", "text", "threads", "ticks", "used")

    def __init__(self, pid: str, fd: int) -> None:
        self.pid = pid
        self.fd = fd
        self.text = b""
        self.state = b""
        self.name = b""
        self.threads = 0
        self.pages = 0
        self.began_s = 0.0
        """Since the boot."""
        self.ticks = 0
        self.used = 0
        """Ticks since the sample before."""

    def take(self, text: bytes) -> None:
        """What its stat says now. ValueError: that is not as in proc(5), and it stays as it was."""
        if text == self.text and text:
            self.used = 0
            return
        end = text.rindex(b") ")  # the name may have any character in it, also this one
        words = text[end + 2 : -1].split(b" ", 22)
        if len(words) < 23 or text[-1:] != b"\n":
            raise ValueError("it is cut")
        ticks, threads, pages = int(words[11]) + int(words[12]), int(words[17]), int(words[21])
        if min(ticks, threads, pages) < 0:
            raise ValueError("a figure is below 0")
        self.used = max(0, ticks - self.ticks)
        self.text, self.name, self.state = text, text[text.index(b"(") + 1 : end], words[0]
        self.ticks, self.threads, self.pages = ticks, threads, pages
        self.began_s = int(words[19]) / TICKS_PER_S


class Collector:
    """A pread for each process, and a listing of /proc where a process was begun."""

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        top = options["top"]
        self._top = min(TOP_MAX, max(0, top)) if isinstance(top, int) else 0
        self.series: Sequence[Series] = ()
        self._told: list[tuple[Metric, str, bytes]] | None = None
        self._processes: dict[str, Process] = {}
        self._open = 0
        self._sampled_s: float | None = None
        self._online = -1
        try:
            self._proc = posix.open(places.path("/proc"), _FOLDER)
        except OSError:
            raise Absent("/proc can't be read: it is not mounted") from None
        try:
            self._online = places.opened(ONLINE)
        except OSError:
            pass  # one processor

    def sample(self, now_s: float) -> Sequence[Value]:
        last_s, self._sampled_s = self._sampled_s, now_s
        gone: list[str] = []
        for pid, process in self._processes.items():
            try:
                process.take(self._read(process))
            except (OSError, ValueError):
                gone.append(pid)
        self._forget(gone)
        self._find(now_s if last_s is None else last_s)
        if not self._processes:
            raise Absent("there is no process in /proc that may be read: mount it without hidepid")
        counts = dict.fromkeys(STATE_NAMES, 0)
        for process in self._processes.values():
            counts[STATES.get(process.state, "other")] += 1
        passed_s = now_s - last_s if last_s is not None else 0.0
        return [*counts.values(), *self._most(passed_s)]

    def close(self) -> None:
        self._forget(list(self._processes))
        fds, self._proc, self._online = (self._proc, self._online), -1, -1
        for fd in fds:
            if fd >= 0:
                posix.close(fd)

    def _find(self, last_s: float) -> None:
        """Those that weren't there at the last sample. All that such a one has used it used since then, unless it was
        begun before."""
        known = self._processes
        for name in posix.listdir(self._proc):
            if name in known or not (name.isdigit() and name.isascii()) or len(known) >= PROCESSES_MAX:
                continue
            try:
                process = known[name] = self._opened(name)
                process.take(self._read(process))
            except (OSError, ValueError):
                self._forget([name] if name in known else [])  # it has ended
                continue
            if process.began_s < last_s:
                process.used = 0

    def _opened(self, pid: str) -> Process:
        if self._open >= OPEN_MAX:
            return Process(pid, -1)
        process = Process(pid, posix.open(f"{pid}/stat", _FILE, dir_fd=self._proc))
        self._open += 1
        return process

    def _read(self, process: Process) -> bytes:
        if process.fd >= 0:
            return posix.pread(process.fd, STAT_BYTES_MAX, 0)
        fd = posix.open(f"{process.pid}/stat", _FILE, dir_fd=self._proc)
        try:
            return posix.read(fd, STAT_BYTES_MAX)
        finally:
            posix.close(fd)

    def _forget(self, pids: Iterable[str]) -> None:
        for pid in pids:
            process = self._processes.pop(pid)
            if process.fd >= 0:
                self._open -= 1
                posix.close(process.fd)

    def _most(self, passed_s: float) -> list[Value]:
        """The values of those with most, and the series of them."""
        processes = self._processes.values()
        online = posix.pread(self._online, ONLINE_BYTES_MAX, 0) if self._online >= 0 else b""
        share = 1 / (TICKS_PER_S * passed_s * processors(online.decode("ascii", "replace"))) if passed_s > 0 else None
        busiest = most(processes, _used, self._top) if share else []
        largest = most(processes, _pages, self._top)
        told: list[tuple[Metric, str, bytes]] = []
        row: list[Value] = []
        for process in busiest:
            told.append((UTILIZATION, process.pid, process.name))
            row.append(min(1.0, process.used * share) if share else None)
        for process in largest:
            told.append((MEMORY, process.pid, process.name))
            row.append(process.pages * PAGE_BYTES)
        for process in {process.pid: process for process in (*busiest, *largest)}.values():
            told.append((THREADS, process.pid, process.name))
            row.append(process.threads)
        if told != self._told:
            self._told = told
            self.series = [
                *(COUNT.series(("process.state", state)) for state in STATE_NAMES),
                *(
                    metric.series(("process.executable.name", shown(name)), ("process.pid", pid))
                    for metric, pid, name in told
                ),
            ]
        return row


def _used(process: Process) -> int:
    return process.used


def _pages(process: Process) -> int:
    return process.pages


def most(processes: Iterable[Process], figure: Callable[[Process], int], count: int) -> list[Process]:
    """Those with the highest figure above 0, by pid, so that their order changes only when they do."""
    found = sorted((process for process in processes if figure(process) > 0), key=figure, reverse=True)[:count]
    return sorted(found, key=lambda process: int(process.pid))


def processors(text: str) -> int:
    """How many are online, of a list as `0-3,6`; 1 where it doesn't say."""
    count = 0
    for span in text.strip().split(","):
        first, _, last = span.partition("-")
        last = last or first
        if first.isdecimal() and last.isdecimal() and len(last) < 8 and int(first) <= int(last):
            count += int(last) - int(first) + 1
    return count or 1


def shown(name: bytes) -> str:
    """As text on one line."""
    text = name.decode("utf-8", "backslashreplace")[:NAME_CHARS_MAX]
    return "".join(char if char.isprintable() else "?" for char in text)
