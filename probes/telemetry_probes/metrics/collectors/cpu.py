# SPDX-License-Identifier: Apache-2.0
"""What the processors do: /proc/stat and /proc/loadavg (proc(5)), and cpufreq of sysfs where there is one.

Time that guests had is inside that of user and nice already. Times may shrink in the kernel (proc(5) says so of iowait;
steal does where a virtual machine has moved): then they are taken to have stayed.
"""

from __future__ import annotations

import posix
from _operator import lt

from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "processors: time by mode, utilization, frequency, load"
INTERVAL_S = 5.0
QUICK = True

TIME = Metric("system.cpu.time", "s", COUNTER, "Time since the boot, by processor and mode")
UTILIZATION = Metric(
    "system.cpu.utilization",
    "1",
    GAUGE,
    "Share of all processors' time since the last sample that was not idle or iowait",
)
FREQUENCY = Metric("system.cpu.frequency", "Hz", GAUGE, "Clock of a processor")
COUNT = Metric("system.cpu.logical.count", "{cpu}", GAUGE, "Processors that are online")
LOADS = tuple(
    Metric(f"x.load.{span}", "1", GAUGE, f"Tasks that ran or waited for a processor or a disk, mean of {minutes}")
    for span, minutes in (("1m", "one minute"), ("5m", "5 minutes"), ("15m", "15 minutes"))
)
METRICS = (TIME, UTILIZATION, FREQUENCY, COUNT, *LOADS)

STAT = "/proc/stat"
LOADAVG = "/proc/loadavg"
FREQUENCIES = "/sys/devices/system/cpu/{}/cpufreq/scaling_cur_freq"
MODES = ("user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal")
IDLE, IOWAIT = 3, 4
WORDS = 11
"""Of a processor's line: its name, the modes, and guests' time twice."""
TICKS_PER_S = posix.sysconf("SC_CLK_TCK")
PROCESSORS_MAX = 4096
FREQUENCIES_MAX = 128
"""Processors whose clock is told: a descriptor each."""
BYTES_MAX = 1 << 20


class Collector:
    """One pread for each file."""

    def __init__(self, places: Places, _: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._places = places
        self._names: list[bytes] = [b"none yet"]
        self._bytes = 4096
        self._ticks: list[int] = []
        self._all: list[int] = []
        self._frequencies: list[int] = []
        self._load = -1
        try:
            self._stat = places.opened(STAT)
        except OSError:
            raise Absent(f"{STAT} can't be read: /proc is not mounted") from None
        try:
            self._load = places.opened(LOADAVG)
        except OSError:
            pass  # its values are missing

    def sample(self, _: float) -> Sequence[Value]:
        words = words_of(self._read())
        if words[::WORDS] != self._names or len(words) % WORDS:
            self._begin(processors(words))
        row: list[Value] = [self._utilization(list(map(int, words[1:9]))), len(self._names) - 1]
        row += loads(posix.pread(self._load, 128, 0)) if self._load >= 0 else (None, None, None)
        for fd in self._frequencies:
            row.append(hertz(fd))
        ticks: list[int] = []
        for at in range(WORDS, len(words), WORDS):
            ticks += map(int, words[at + 1 : at + 9])
        if min(ticks, default=0) < 0:
            raise ValueError("a time is below 0")
        last = self._ticks
        if any(map(lt, ticks, last)):
            ticks = [steady(now, before) for now, before in zip(ticks, last, strict=True)]
        self._ticks = ticks
        row += [tick / TICKS_PER_S for tick in ticks]
        return row

    def close(self) -> None:
        fds, self._frequencies, self._stat, self._load = [*self._frequencies, self._stat, self._load], [], -1, -1
        for fd in fds:
            if fd >= 0:
                posix.close(fd)

    def _read(self) -> bytes:
        """The part of /proc/stat that is about processors, and a little more."""
        text = posix.pread(self._stat, self._bytes, 0)
        while b"\nintr" not in text and len(text) == self._bytes and self._bytes < BYTES_MAX:
            self._bytes *= 2
            text = posix.pread(self._stat, self._bytes, 0)
        return text

    def _begin(self, names: list[bytes]) -> None:
        """Other processors than before."""
        while self._frequencies:
            fd = self._frequencies.pop()
            if fd >= 0:
                posix.close(fd)
        self._names = names
        self._ticks = []
        self._all = []
        numbers = [name[3:].decode() for name in names[1:]]
        clocked = numbers[:FREQUENCIES_MAX]
        for number in clocked:
            try:
                self._frequencies.append(self._places.opened(FREQUENCIES.format("cpu" + number)))
            except OSError:
                self._frequencies.append(-1)
        if all(fd < 0 for fd in self._frequencies):
            self._frequencies = []
        self.series = (
            UTILIZATION.series(),
            COUNT.series(),
            *(load.series() for load in LOADS),
            *(FREQUENCY.series(("cpu.logical_number", number)) for number in clocked if self._frequencies),
            *(TIME.series(("cpu.logical_number", number), ("cpu.mode", mode)) for number in numbers for mode in MODES),
        )

    def _utilization(self, now: list[int]) -> Value:
        last, self._all = self._all, now
        return busy(last, now) if last else None


def words_of(text: bytes) -> list[bytes]:
    """Of the lines that are about processors, WORDS each; none where the text ends before the next ones begin."""
    return text[: max(0, text.find(b"\nintr"))].split()


def processors(words: list[bytes]) -> list[bytes]:
    """The names in those lines; the first is that of all together. ValueError."""
    names = words[::WORDS]
    if not words or len(words) % WORDS or len(names) > PROCESSORS_MAX or names[0] != b"cpu":
        raise ValueError("these are no processors")
    for name in names[1:]:
        if name[:3] != b"cpu" or not name[3:].isdigit():
            raise ValueError("this is no processor")
    if len(set(names)) < len(names):
        raise ValueError("a processor comes twice")
    return names


def busy(last: Sequence[int], now: Sequence[int]) -> Value:
    """The share that was neither idle nor iowait, of the ticks of all modes; None where no time passed."""
    passed = sum(now) - sum(last)
    unused = max(0, now[IDLE] - last[IDLE]) + max(0, now[IOWAIT] - last[IOWAIT])
    return min(1.0, max(0.0, (passed - unused) / passed)) if passed > 0 else None


def steady(now: int, last: int) -> int:
    """A time that shrank a little is what it was; one that shrank by much began anew."""
    return last if 0 < last - now < last // 8 else now


def loads(text: bytes) -> Sequence[Value]:
    """The three of /proc/loadavg, which are hundredths; None where it doesn't say."""
    words = text.split(None, 4)
    try:
        found = [int(word.replace(b".", b"", 1)) / 100 for word in words[:3]]
    except ValueError:
        return (None, None, None)
    return found if len(words) == 5 and min(found) >= 0 else (None, None, None)


def hertz(fd: int) -> Value:
    """cpufreq says kHz; None where it doesn't."""
    if fd < 0:
        return None
    try:
        text = posix.pread(fd, 32, 0).strip()
    except OSError:
        return None  # a processor that just went offline
    return int(text) * 1000 if text.isdigit() else None
