# SPDX-License-Identifier: Apache-2.0
"""What metricprobe itself costs, and which collectors fail and why."""

from __future__ import annotations

import posix

from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "metricprobe itself: memory, time spent, failures"
INTERVAL_S = 60.0
QUICK = True

FAILURES = Metric(
    "x.metricprobe.failures", "{failure}", COUNTER, "Samples that failed, by collector and reason, since the start"
)
SPENT = Metric("x.metricprobe.sampling_time", "s", COUNTER, "Time that samples took, by collector, since the start")
MEMORY = Metric("x.metricprobe.memory", "By", GAUGE, "Memory of the process that is resident")
METRICS = (FAILURES, SPENT, MEMORY)

STATM = "/proc/self/statm"
PAGE_BYTES = posix.sysconf("SC_PAGESIZE")


class Collector:
    """Tells the account of the places it is given."""

    def __init__(self, places: Places, _: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._account = places.account
        self._keys = -1
        try:
            self._fd = places.opened(STATM)
        except OSError:
            self._fd = -1

    def sample(self, _: float) -> Sequence[Value]:
        account = self._account
        if account.keys != self._keys:
            self._keys = account.keys
            self.series = (
                MEMORY.series(),
                *(SPENT.series(("collector", name)) for name in account.spent_s),
                *(FAILURES.series(("collector", name), ("reason", why)) for name, why in account.failures),
            )
        return [self._memory(), *account.spent_s.values(), *account.failures.values()]

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            posix.close(fd)

    def _memory(self) -> Value:
        fields = posix.pread(self._fd, 128, 0).split() if self._fd >= 0 else ()
        return int(fields[1]) * PAGE_BYTES if len(fields) > 1 and fields[1].isdigit() else None
