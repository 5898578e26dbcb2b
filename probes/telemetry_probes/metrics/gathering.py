# SPDX-License-Identifier: Apache-2.0
"""Samples collectors, and gives what comes to sinks: a collector that fails disturbs no other.

Those that may wait are sampled in threads, one each; the others here, where the loop calls. What is done with a row
(a record, Prometheus text, a table) never comes in here.
"""

from __future__ import annotations

import _thread
import posix
from time import perf_counter

from telemetry_probes.metrics.model import Absent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final, TypeAlias

    from telemetry_probes.metrics.discovery import Kind
    from telemetry_probes.metrics.model import Collector, Option, Series, Value
    from telemetry_probes.metrics.places import Places

    Sink: TypeAlias = Callable[[str, Sequence[Series], int, Sequence[Value]], None]
    """Takes the collector's name, its series, the time in microseconds since 1970 and the row, and keeps the row."""

ABSENT_AGAIN_S: Final = 300.0
"""How long after a collector was absent it is asked again."""
LATE_S: Final = 60.0
"""A sample that takes longer is told as a failure, each time it ought to have been over."""
REST_S: Final = 0.05
"""For which a collector that hears too much is left alone."""
THREADS_MAX: Final = 8
"""At work at once. A thread that waits for ever keeps its place."""
THREAD_STACK_BYTES: Final = 512 * 1024
VALUE_MAX: Final = 1e300

_NOT_AS_EXPECTED: Final = "what it reads is not as expected"


class Sample:
    """What a collector gave, or why it gave nothing: then there are no series."""

    __slots__ = ("absent", "failure", "row", "series", "source", "spent_s", "time_us")

    def __init__(self, source: Source, time_us: int) -> None:
        self.source = source
        self.time_us = time_us
        self.series: Sequence[Series] = ()
        self.row: Sequence[Value] = ()
        self.absent = ""
        self.failure = ""
        self.spent_s = 0.0


class Source:
    """A collector in use. It is opened by the first sample, and anew by the first after it failed."""

    __slots__ = ("_options", "_places", "collector", "interval_s", "kind", "since_s")

    def __init__(self, kind: Kind, places: Places, options: Mapping[str, Option], interval_s: float) -> None:
        self.kind = kind
        self.interval_s = interval_s
        self.collector: Collector | None = None
        self.since_s = 0.0
        """When the sample that runs in a thread began; 0 while none does."""
        self._places = places
        self._options = options

    def sample(self, boot_s: float, time_us: int) -> Sample:
        """Never raises. boot_s: seconds since the boot, asleep or not. time_us: microseconds since 1970."""
        sample = Sample(self, time_us)
        began_s = perf_counter()
        try:
            if self.collector is None:
                self.collector = self.kind.collector(self._places, self._options)
            row = self.collector.sample(boot_s)
            sample.series = self.collector.series
            sample.row = sound(row, len(sample.series))
        except Absent as absent:
            sample.absent = str(absent) or "it is not there"
            self.close()
        except OSError as error:
            sample.failure = error.strerror or "a system call failed"
            self.close()
        except ValueError:
            sample.failure = _NOT_AS_EXPECTED
        except Exception as error:  # of a collector, which must not end the process
            sample.failure = f"a mistake in the collector ({place(error)})"
            self.close()
        if sample.failure or sample.absent:
            sample.series = sample.row = ()
        sample.spent_s = perf_counter() - began_s
        return sample

    def close(self) -> None:
        """Gives back what the collector opened. The next sample opens it anew."""
        collector, self.collector = self.collector, None
        if collector is not None:
            try:
                collector.close()
            except OSError:  # a descriptor that is closed already
                return


class Gathering:
    """All sources, and what became of each. say: to the operator, of what fails for the first time."""

    __slots__ = (
        "_account",
        "_done",
        "_say",
        "_sinks",
        "_waiting",
        "_waker",
        "absent",
        "at_work",
        "said",
        "sources",
        "woken",
    )

    def __init__(
        self,
        sources: Sequence[Source],
        places: Places,
        sinks: Sequence[Sink],
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.sources = {source.kind.name: source for source in sources}
        self.woken, self._waker = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        self.at_work: list[Source] = []
        """Whose samples run in threads."""
        self.absent: list[str] = []
        """Whom the last sample found absent. Who looks takes them out."""
        self.said: dict[str, str] = {}
        """Why there is no row of a collector, since its last sample."""
        self._account = places.account
        self._say = say
        self._sinks = sinks
        self._done: list[Sample] = []
        self._waiting: list[tuple[Source, float, int]] = []

    def sample(self, name: str, boot_s: float, time_us: int) -> None:
        """Now, or in a thread: then collect() has it once `woken` is readable."""
        source = self.sources[name]
        if source.kind.quick:
            self._give(source.sample(boot_s, time_us))
        elif source in self.at_work:
            if boot_s - source.since_s > LATE_S:
                self._failed(name, f"it takes longer than {LATE_S:.0f} s")
        elif any(source is other for other, _, _ in self._waiting):
            self._failed(name, f"{THREADS_MAX} others wait for something, and no more may")
        else:
            self._waiting.append((source, boot_s, time_us))
            self._start(boot_s)

    def collect(self, boot_s: float) -> None:
        """What threads have finished."""
        try:
            posix.read(self.woken, 512)
        except BlockingIOError:
            pass  # woken by something else
        while self._done:
            sample = self._done.pop(0)
            sample.source.since_s = 0.0
            self.at_work.remove(sample.source)
            self._give(sample)
        self._start(boot_s)

    def listens(self, name: str) -> int:
        """The descriptor on which that collector waits to hear something; -1 for most, and where it isn't open."""
        collector = self.sources[name].collector
        return getattr(collector, "fd", -1) if hasattr(collector, "ready") else -1

    def hear(self, name: str) -> float | None:
        """Let that collector, which listens, take what has come. For how many seconds it is left alone then; None: it
        listens no longer."""
        source = self.sources[name]
        collector = source.collector
        if collector is None or not hasattr(collector, "ready"):
            return None
        try:
            return REST_S if collector.ready() else 0.0
        except Exception as error:  # of a collector, which must not end the process
            source.close()
            self._failed(name, f"it can't hear ({place(error)})")
            return None

    @property
    def is_busy(self) -> bool:
        """Whether there are samples that collect() will have."""
        return bool(self.at_work or self._waiting)

    def close(self) -> None:
        """Gives back what the collectors opened, but for those that still wait for something."""
        for source in self.sources.values():
            if source not in self.at_work:
                source.close()

    def _start(self, boot_s: float) -> None:
        while self._waiting and len(self.at_work) < THREADS_MAX:
            source, asked_s, time_us = self._waiting.pop(0)
            source.since_s = boot_s
            self.at_work.append(source)
            before = _thread.stack_size(THREAD_STACK_BYTES)
            try:
                _thread.start_new_thread(self._in_thread, (source, asked_s, time_us))
            except RuntimeError:  # no thread to be had
                self.at_work.remove(source)
                self._failed(source.kind.name, "the system gives no thread")
            finally:
                _thread.stack_size(before)

    def _in_thread(self, source: Source, boot_s: float, time_us: int) -> None:
        self._done.append(source.sample(boot_s, time_us))
        try:
            posix.write(self._waker, b".")
        except BlockingIOError:
            return  # full: it is readable

    def _give(self, sample: Sample) -> None:
        name = sample.source.kind.name
        self._account.sampled(name, sample.spent_s)
        if sample.failure:
            self._failed(name, sample.failure)
            return
        self.said[name] = sample.absent
        if sample.absent:
            self.absent.append(name)
        if sample.series:
            for sink in self._sinks:
                sink(name, sample.series, sample.time_us, sample.row)

    def _failed(self, name: str, why: str) -> None:
        self.said[name] = why
        if self._account.failed(name, why) and self._say is not None:
            self._say(f"collector {name}: {why}; it is tried again, and what failed is counted")


def sound(row: Sequence[Value], length: int) -> Sequence[Value]:
    """The row, with None for what is not a finite number. ValueError where it hasn't that length."""
    if len(row) != length:
        raise ValueError(f"{len(row)} values for {length} series")
    for value in row:
        if value is not None and not -VALUE_MAX < value < VALUE_MAX:
            return [None if each is not None and not -VALUE_MAX < each < VALUE_MAX else each for each in row]
    return row


def place(error: Exception) -> str:
    """What it was and where, without what it says: that may come of a file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f", {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__ + where
