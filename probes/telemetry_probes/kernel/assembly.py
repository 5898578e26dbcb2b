# SPDX-License-Identifier: Apache-2.0
"""Lines of the kernel's log, one by one, joined to reports; those of several processors kept apart.

Kernels that say who printed a line (CONFIG_PRINTK_CALLER) make that certain. For others a line goes to the report that
took the last one, unless that has such a line already and another lacks it. Pure: lines in, reports out; the time is
what the lines say.
"""

from __future__ import annotations

from telemetry_probes.kernel.lines import CPU, DETAIL, END, FRAME, MODULES, OTHER, TRACE, is_bare_hex, kind
from telemetry_probes.kernel.patterns import ALONE, CUT_HERE, FRAMED, Pattern, match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

GAP_US = 2_000_000
"""A report that got no line for so long is whole."""
LONGEST_US = 30_000_000
"""Nor does one go on for longer: its end may have been overwritten."""
OPEN_MAX = 8
"""Reports that are collected at the same time."""
LINES_MAX = 600
BYTES_MAX = 64 * 1024
"""Of one report; what is more is left out, and `cut` says so."""
HEAD_LINES_MAX = 60
"""Lines before a trace that needn't look like anything."""

_HEAD, _TRACE, _TAIL = range(3)


class Line:
    """One line. `seq`: its place in the log; `time_us` since the boot; `caller` as the kernel says it, or empty;
    `first`: the kernel's own record begins with it, so that nobody else chose where it begins."""

    __slots__ = ("caller", "first", "seq", "text", "time_us")

    def __init__(self, text: str, time_us: int, seq: int, caller: str = "", first: bool = True) -> None:
        self.text = text
        self.time_us = time_us
        self.seq = seq
        self.caller = caller
        self.first = first


class Report:
    """The lines of one report. `time_us`: when its first line was said; `reason`: the line that told what it is;
    `cut`: it had more lines; `mixed`: another's lines came in between, and the kernel doesn't say whose are whose."""

    __slots__ = (
        "_bytes",
        "_said",
        "_state",
        "caller",
        "cut",
        "first_seq",
        "last_us",
        "lines",
        "mixed",
        "pattern",
        "reason",
        "time_us",
    )

    def __init__(self, line: Line, pattern: Pattern | None) -> None:
        self.pattern = pattern
        self.reason = line.text if pattern is not None else ""
        self.lines = [line.text]
        self.first_seq = line.seq
        self.time_us = line.time_us
        self.last_us = line.time_us
        self.caller = line.caller
        self.cut = False
        self.mixed = False
        self._bytes = len(line.text)
        self._state = _HEAD
        self._said = 0

    def lacks(self, sort: int) -> bool:
        """No line of that sort has come yet."""
        return not self._said & 1 << sort

    def is_named(self, pattern: Pattern, line: str) -> None:
        """This line tells what it is, or more of it: the worse counts, and the reason is what was said first."""
        if self.pattern is None or (pattern.severity > self.pattern.severity and self.pattern.shape != FRAMED):
            self.pattern = pattern
        self.reason = self.reason or line

    def takes(self, line: str, sort: int) -> bool:
        """Is this a line of it, as far as can be told by how it looks?"""
        if self.pattern is not None and self.pattern.shape == FRAMED:
            return True
        if self._state == _HEAD:
            return sort not in (OTHER, END) or (sort == OTHER and len(self.lines) < HEAD_LINES_MAX)
        if sort == CPU:
            return self.lacks(CPU)
        if sort == MODULES:
            return self.lacks(MODULES)
        if sort == TRACE:
            return self.lacks(TRACE) or self.pattern is None or self.pattern.kind == "rcu-stall"
        if sort == FRAME:
            return self._state == _TRACE
        if sort in (DETAIL, END):
            return True
        return is_bare_hex(line)

    def add(self, line: Line, sort: int) -> None:
        """One more line."""
        self.last_us = max(self.last_us, line.time_us)
        self._said |= 1 << sort
        if sort == TRACE:
            self._state = _TRACE
        elif sort == MODULES and self._state == _TRACE:
            self._state = _TAIL
        if len(self.lines) >= LINES_MAX or self._bytes + len(line.text) >= BYTES_MAX:
            self.cut = True
            if not self._is_last(line.text, sort):
                return
            self.lines.pop()
        self.lines.append(line.text)
        self._bytes += len(line.text)

    def ends_with(self, line: str, sort: int) -> bool:
        """Nothing of it comes after this line."""
        return self.pattern is not None and (self.pattern.shape == ALONE or self._is_last(line, sort))

    def _is_last(self, line: str, sort: int) -> bool:
        if self.pattern is not None and self.pattern.shape == FRAMED:
            return self.pattern.until in line and len(self.lines) > 1
        return sort == END

    def is_over(self, line: str, sort: int) -> bool:
        """A line that isn't its own says that it is whole."""
        return self._state != _HEAD and sort == OTHER and bool(line.strip())


class Assembler:
    """Collects. `oldest_seq` is the first line that a report which isn't whole needs."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: list[Report] = []  # the one that took the last line first

    def oldest_seq(self) -> int | None:
        """None where nothing is being collected."""
        return min([report.first_seq for report in self._open], default=None)

    def feed(self, line: Line) -> list[Report]:
        """The next line; the reports that are whole now."""
        if not self._open and not line.first:
            return []
        pattern = match(line.text) if line.first else None
        if not self._open and pattern is None and line.text != CUT_HERE:
            return []
        done = self.quiet(line.time_us)
        mine = [report for report in self._open if report.caller == line.caller]
        if line.text == CUT_HERE:
            announced = mine[0] if mine and _only_announced(mine[0]) else None
            if announced is None:
                done += self._begin(Report(line, None), mine)
            else:
                announced.add(line, OTHER)
            return done
        sort = kind(line.text)
        if pattern is not None and not _goes_on(mine, sort, pattern, line.text):
            report = Report(line, pattern)
            if report.ends_with(line.text, sort):
                return [*done, report]
            return done + self._begin(report, mine)
        taking = _taking(mine, line.text, sort)
        if taking is None:
            over = [report for report in mine if report.is_over(line.text, sort)]
            return done + self._closed(over)
        if pattern is not None:
            taking.is_named(pattern, line.text)
        taking.add(line, sort)
        if mine[0] is not taking and not line.caller:
            taking.mixed = mine[0].mixed = True
        self._open.remove(taking)
        self._open.insert(0, taking)
        if taking.ends_with(line.text, sort):
            return done + self._closed([taking])
        return done

    def quiet(self, now_us: int) -> list[Report]:
        """The reports that had no line for GAP_US, or go on for LONGEST_US; `now_us` as the lines' time."""
        return self._closed(
            [
                report
                for report in self._open
                if now_us - report.last_us > GAP_US or now_us - report.time_us > LONGEST_US
            ]
        )

    def flush(self) -> list[Report]:
        """All that are open: nothing more will come."""
        return self._closed(list(self._open))

    def _begin(self, report: Report, mine: list[Report]) -> list[Report]:
        done: list[Report] = []
        if report.caller:
            done = self._closed(mine)  # whoever begins another has ended the one before
        if len(self._open) >= OPEN_MAX:
            done += self._closed([min(self._open, key=lambda other: other.last_us)])
        self._open.insert(0, report)
        return done

    def _closed(self, reports: Iterable[Report]) -> list[Report]:
        """In the order in which they began; what never told what it is was no report."""
        gone = sorted(reports, key=lambda report: report.first_seq)
        for report in gone:
            self._open.remove(report)
        return [report for report in gone if report.pattern is not None]


def _only_announced(report: Report) -> bool:
    """As "list_del corruption." is, before the report itself."""
    return len(report.lines) == 1 and report.pattern is not None and report.pattern.shape != FRAMED


def _goes_on(mine: list[Report], sort: int, pattern: Pattern, line: str) -> bool:
    """Does a line that could begin a report belong to the one that is being collected?"""
    if not mine:
        return False
    report = mine[0]
    if report.pattern is None:
        return True
    if report.pattern.shape == FRAMED:
        # a report inside of another's frame is a detail of that; only a worse one is a report of its own
        return pattern.severity < 4 or report.pattern.until == "====="
    if pattern.kind in ("panic", "oom", "hung-task", "soft-lockup", "hard-lockup"):
        return False
    if pattern.shape != report.pattern.shape or pattern.text == report.pattern.text:
        return False
    return report.lacks(CPU) and report.lacks(TRACE)


def _taking(mine: list[Report], line: str, sort: int) -> Report | None:
    """Which of them the line belongs to: the one that is missing it rather than the one that has one already."""
    fitting = [report for report in mine if report.takes(line, sort)]
    if len(fitting) > 1 and sort in (CPU, MODULES, TRACE):
        missing = [report for report in fitting if report.lacks(sort)]
        fitting = _same_processor(missing, line) or missing or fitting
    if len(fitting) > 1 and sort in (MODULES, TRACE, FRAME, DETAIL):
        # these come behind the lines that say what it is and where: one that has them rather than one that begins
        fitting = sorted(fitting, key=lambda report: (report.lacks(CPU), report.pattern is None))
    if len(fitting) > 1 and sort == END:
        # it is the first to end that began first
        fitting = sorted(fitting, key=lambda report: report.first_seq)
    return fitting[0] if fitting else None


def _same_processor(reports: list[Report], line: str) -> list[Report]:
    """Those whose first lines name the processor that this line is about."""
    number = line.partition("CPU: ")[2].partition(" ")[0]
    if not number:
        return []
    return [report for report in reports if any(f"CPU: {number} " in said for said in report.lines[:4])]
