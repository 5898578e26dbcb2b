# SPDX-License-Identifier: Apache-2.0
"""How long tasks had to wait because there was too little of something: pressure stall information.

/proc/pressure of Linux 4.20 (Documentation/accounting/psi.rst); its means are left out: they follow from the totals.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.model import COUNTER, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "time in which tasks waited for processor, memory, disks"
INTERVAL_S = 10.0
QUICK = True

METRICS = tuple(
    Metric(f"x.pressure.{what}", "s", COUNTER, f"Time in which some or all (full) tasks waited for {what}")
    for what in ("cpu", "memory", "io")
)
FOLDER = "/proc/pressure"
SPANS = (b"some", b"full")
BYTES_MAX = 512
US_PER_S = 1_000_000


class Collector:
    """One pread for each of the three."""

    def __init__(self, places: Places, _: Mapping[str, Option]) -> None:
        self._fds: list[int] = []
        try:
            for metric in METRICS:
                self._fds.append(places.opened(f"{FOLDER}/{metric.name.rpartition('.')[2]}"))
                posix.pread(self._fds[-1], BYTES_MAX, 0)  # fails where it was switched off at the boot
        except OSError:
            self.close()
            raise Absent(f"the kernel has no {FOLDER}: boot Linux 4.20 or later with psi=1") from None
        self.series: Sequence[Series] = [
            metric.series(("x.pressure.tasks", span.decode())) for metric in METRICS for span in SPANS
        ]

    def sample(self, _: float) -> Sequence[Value]:
        row: list[Value] = []
        for fd in self._fds:
            row += stalled_s(posix.pread(fd, BYTES_MAX, 0))
        return row

    def close(self) -> None:
        while self._fds:
            posix.close(self._fds.pop())


def stalled_s(text: bytes) -> list[Value]:
    """The totals of `some` and `full`; None for one that isn't there: of processors there was no `full` before 5.13."""
    found: list[Value] = []
    for span in SPANS:
        begin = text.find(span + b" ")
        line = text[begin:].partition(b"\n") if begin >= 0 else (b"", b"", b"")
        total = line[0].rpartition(b"total=")[2]
        found.append(int(total) / US_PER_S if line[1] and b"total=" in line[0] and total.isdigit() else None)
    return found
