# SPDX-License-Identifier: Apache-2.0
"""What else the journal has about a failure: the lines before and after, and the crash or the kill that it came of.

Looked up in a reader of its own, which is closed afterwards; how many failures are looked at is bounded by how many are
sent. What may be told of a line is masking's affair.
"""

from __future__ import annotations

import posix
import re

from telemetry_probes import eventid
from telemetry_probes.journal import masking, trusted
from telemetry_probes.journal.source import NoJournal, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_probes.journal.failure import Failure
    from telemetry_probes.journal.source import Entry

LINES_BEFORE, LINES_AFTER = 20, 10
BEFORE_US, AFTER_US = 3_600_000_000, 10_000_000
"""No line that is farther away."""
CAUSE_US = 30_000_000
"""The kernel, systemd-coredump or crashprobe spoke of it at most so long before the unit failed, or after."""
CAUSES_MAX = 200
"""Messages of theirs that are looked at."""
_FIELDS = ("MESSAGE", "_PID")
_KILLED = re.compile(r"^oom-kill:.*\btask_memcg=([^,]{1,1024}),task=.*,pid=(\d{1,9}),uid=\d+$")
_FAULT = re.compile(r"^(?:traps: )?.{1,15}\[(\d{1,9})\]:? (?:segfault at|general protection|trap )")


class Context:
    """`before` and `after` the first message of the failure: lines with the seconds from that. `event`: the id of the
    crash or kill that it came of; empty where the journal doesn't tell."""

    __slots__ = ("after", "before", "event")

    def __init__(self, before: list[str], after: list[str], event: bytes) -> None:
        self.before = before
        self.after = after
        self.event = event


def of(failure: Failure, directory: str, lifted: bool) -> Context:
    """What there is; nothing where the journal can't be read any more."""
    unit = failure.incident.unit
    try:
        source = Source(directory, trusted.of_unit(unit, lifted))
    except NoJournal:
        return Context([], [], b"")
    try:
        first = failure.incident.first
        before = [_line(entry, first, unit, lifted) for entry in _around(source, first, -LINES_BEFORE)]
        after = [_line(entry, first, unit, lifted) for entry in _around(source, first, LINES_AFTER)]
        return Context([line for line in before if line], [line for line in after if line], _cause(source, failure))
    finally:
        source.close()


def _around(source: Source, at: Entry, count: int) -> list[Entry]:
    """Entries of the same boot: so many before `at`, or behind it."""
    if not source.seek_cursor(at.cursor):
        return []
    found: list[Entry] = []
    if count > 0:
        entry = source.next(_FIELDS)
        if entry is not None and source.is_at(at.cursor):
            entry = source.next(_FIELDS)
        while entry is not None and len(found) < count and _is_near(entry, at, AFTER_US):
            found.append(entry)
            entry = source.next(_FIELDS)
        return found
    while len(found) < -count:
        entry = source.back(1, _FIELDS)
        if entry is None or not _is_near(entry, at, BEFORE_US):
            break
        if entry.cursor != at.cursor:
            found.insert(0, entry)
    return found


def _is_near(entry: Entry, at: Entry, most_us: int) -> bool:
    return entry.boot == at.boot and abs(entry.monotonic_us - at.monotonic_us) <= most_us


def _line(entry: Entry, first: Entry, unit: str, lifted: bool) -> str:
    said = entry.text("MESSAGE").partition("\n")[0]
    if lifted:
        said = "".join([char if char.isprintable() else "?" for char in said[: masking.LINE_CHARS_MAX]])
    else:
        said = masking.line(said, unit)
    return f"{(entry.monotonic_us - first.monotonic_us) / 1e6:+.3f} {said}" if said else ""


def _cause(source: Source, failure: Failure) -> bytes:
    pid = 0
    if failure.memory:
        pid = _killed(source, failure)
    elif failure.died_of_a_fault:
        pid = _dumped(source, failure) or _reported(source, failure) or _faulted(source, failure)
    return eventid.of_crash(failure.incident.first.boot, pid) if pid else b""


def _killed(source: Source, failure: Failure) -> int:
    """The pid that the kernel says it killed in the unit's group."""
    source.match((trusted.KERNEL,))
    for entry in _near(source, failure, _FIELDS):
        found = _KILLED.match(entry.text("MESSAGE"))
        if found is not None and failure.incident.unit in found[1].split("/"):
            return int(found[2])
    return 0


def _dumped(source: Source, failure: Failure) -> int:
    """The pid of the unit's that systemd-coredump reports."""
    unit = f"COREDUMP_UNIT={failure.incident.unit}"
    source.match(((*trusted.DUMPER, f"MESSAGE_ID={trusted.DUMPED}", unit),))
    for entry in _near(source, failure, ("COREDUMP_PID",)):
        return entry.count("COREDUMP_PID") or 0
    return 0


def _reported(source: Source, failure: Failure) -> int:
    """The pid of the unit's that crashprobe reported."""
    source.match((trusted.of_crashprobe(posix.getuid(), failure.incident.unit),))
    for entry in _near(source, failure, ("TELEMETRICS_CRASH_PID",)):
        return entry.count("TELEMETRICS_CRASH_PID") or 0
    return 0


def _faulted(source: Source, failure: Failure) -> int:
    """The pid that the kernel says has crashed, where a process of the unit with that pid has once written a line."""
    source.match((trusted.KERNEL,))
    found = [_FAULT.match(entry.text("MESSAGE")) for entry in _near(source, failure, _FIELDS)]
    for pid in [int(each[1]) for each in found if each is not None]:
        source.match(((f"_SYSTEMD_UNIT={failure.incident.unit}", f"_PID={pid}"),))
        source.seek_tail()
        entry = source.back(1)
        if entry is not None and entry.boot == failure.incident.first.boot:
            return pid
    return 0


def _near(source: Source, failure: Failure, fields: tuple[str, ...]) -> Iterator[Entry]:
    """The latest first, from a little behind the end of the failure back to a little before its begin."""
    first, last = failure.incident.first, failure.incident.last
    source.seek_time(last.realtime_us + CAUSE_US)
    for _ in range(CAUSES_MAX):
        entry = source.back(1, fields)
        if entry is None or entry.boot != first.boot or entry.monotonic_us < first.monotonic_us - CAUSE_US:
            return
        yield entry
