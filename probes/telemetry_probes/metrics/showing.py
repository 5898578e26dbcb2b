# SPDX-License-Identifier: Apache-2.0
"""What metricprobe prints instead of sending: a table of now, the collectors there are, what each costs.

None of it is loaded by the process that runs all day.
"""

from __future__ import annotations

import posix
from select import POLLIN, poll
from time import CLOCK_BOOTTIME, clock_gettime, perf_counter, sleep, time

from telemetry_probes.metrics import printing
from telemetry_probes.metrics.gathering import Gathering
from telemetry_probes.program import STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from telemetry_probes.metrics.gathering import Source
    from telemetry_probes.metrics.model import Series, Value
    from telemetry_probes.metrics.places import Places

WIDTH = 100
"""Columns of a line where there is no terminal."""
WAIT_S = 30.0
"""For all collectors together; one that takes longer is said to."""
APART_S = 1.0
"""How far the two samples lie apart that tell how busy the machine is."""
NOTHING = "there is nothing to sample here now"
BENCHMARK_S = 0.5
"""Spent on each collector."""
BENCHMARK_SAMPLES, BENCHMARK_SAMPLES_SLOW = 2000, 3
"""At most, of a collector that doesn't wait and of one that may."""


class Keeping:
    """A gathering whose last rows are kept."""

    __slots__ = ("gathering", "rows")

    def __init__(self, sources: Sequence[Source], places: Places) -> None:
        self.rows: dict[str, printing.Row] = {}
        self.gathering = Gathering(sources, places, (self._keep,))

    def sample(self, names: Iterable[str]) -> None:
        """Those, and wait for the slow ones."""
        polling = poll()
        polling.register(self.gathering.woken, POLLIN)
        until_s = perf_counter() + WAIT_S
        for name in names:
            self.gathering.sample(name, clock_gettime(CLOCK_BOOTTIME), int(time() * 1_000_000))
        while self.gathering.is_busy and (left_s := until_s - perf_counter()) > 0:
            polling.poll(int(left_s * 1000) + 1)
            self.gathering.collect(clock_gettime(CLOCK_BOOTTIME))
        for source in self.gathering.at_work:
            self.gathering.said[source.kind.name] = f"it takes longer than {WAIT_S:.0f} s"

    def _keep(self, name: str, series: Sequence[Series], time_us: int, row: Sequence[Value]) -> None:
        self.rows[name] = printing.Row(self.gathering.sources[name].kind, series, time_us, row)


def once(sources: Sequence[Source], places: Places, as_json: bool) -> str:
    """All samples of now; the quick ones twice, since they tell what was between the two."""
    keeping = Keeping(sources, places)
    keeping.sample([source.kind.name for source in sources])
    sleep(APART_S)
    keeping.sample([name for name, row in keeping.rows.items() if row.kind.quick])
    rows = [keeping.rows[name] for name in sorted(keeping.rows)]
    said = {name: why for name, why in sorted(keeping.gathering.said.items()) if why}
    keeping.gathering.close()
    if as_json:
        return printing.document(rows, said)
    columns = width(places.environment)
    reasons = [
        line for name, why in said.items() for line in printing.folded(f"{name}: {printing.printable(why)}", columns)
    ]
    return printing.table(rows, columns) + "".join(f"{line}\n" for line in reasons)


def listed(sources: Sequence[Source], places: Places, names: Sequence[str]) -> str:
    """Every collector in a line: what it tells, or why it can't. names: of those to list; one that has no source is
    switched off."""
    keeping = Keeping(sources, places)
    keeping.sample([source.kind.name for source in sources])
    keeping.gathering.close()
    used = keeping.gathering.sources
    lines: list[tuple[str, str, str]] = [("COLLECTOR", "EVERY", "WHAT IT TELLS, OR WHY IT DOES NOT")]
    for name in names:
        if name not in used:
            lines.append((name, "-", "switched off in the configuration"))
        elif why := keeping.gathering.said.get(name, ""):
            lines.append((name, "-", printing.printable(why)))
        else:
            source = used[name]
            lines.append((name, f"{source.interval_s:g} s", source.kind.title))
    return printing.columns(lines, width(places.environment))


def benchmark(sources: Sequence[Source], places: Places) -> str:
    """Microseconds a sample, after two that open what is read."""
    lines: list[tuple[str, str, str, str]] = [("COLLECTOR", "MEDIAN us", "LEAST us", "VALUES")]
    for source in sources:
        sample = source.sample(clock_gettime(CLOCK_BOOTTIME), 0)
        if not sample.series:
            lines.append((source.kind.name, "-", "-", printing.printable(sample.absent or sample.failure or NOTHING)))
            source.close()
            continue
        most = BENCHMARK_SAMPLES if source.kind.quick else BENCHMARK_SAMPLES_SLOW
        took_s = durations_s(source, most)
        source.close()
        median_s = sorted(took_s)[len(took_s) // 2]
        lines.append((source.kind.name, f"{median_s * 1e6:.1f}", f"{min(took_s) * 1e6:.1f}", str(len(sample.series))))
    return printing.columns(lines, width(places.environment))


def width(environment: Mapping[str, str]) -> int:
    """Columns of a line: COLUMNS, else the terminal's, else WIDTH."""
    said = environment.get("COLUMNS", "")
    found = int(said) if said.isascii() and said.isdecimal() and len(said) < 5 else 0
    try:
        found = found or posix.get_terminal_size(STDOUT).columns
    except OSError:
        pass  # it is a file or a pipe
    return max(printing.WIDTH_MIN, found or WIDTH)


def durations_s(source: Source, most: int) -> list[float]:
    """Of so many samples, or as many as there is time for; one at least."""
    source.sample(clock_gettime(CLOCK_BOOTTIME), 0)
    found: list[float] = []
    began_s = perf_counter()
    while len(found) < most and (not found or perf_counter() - began_s < BENCHMARK_S):
        found.append(source.sample(clock_gettime(CLOCK_BOOTTIME), 0).spent_s)
    return found
