# SPDX-License-Identifier: Apache-2.0
"""What systemd says of units that fail, joined to incidents: all that comes of one unit until it is quiet again.

Which entry belongs to which incident depends on the entries' own times alone. Read once more, the journal gives the
same incidents, so that one that was told is known again. Pure: entries in, incidents out.
"""

from __future__ import annotations

from telemetry_probes.journal import trusted
from telemetry_probes.journal.place import UNIT_CHARS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.journal.source import Entry

SETTLED_US = 10_000_000
"""A unit of which nothing more was said for so long is quiet."""
LONGEST_US = 60_000_000
"""One that is never quiet is told after so long, and begins anew."""
SLACK_US = 5_000_000
"""Entries may be read so much later than they were written: journald may be busy with its disk."""
OPEN_MAX = 256
"""Units that are collected at the same time; for one more the oldest incident is ended."""
KINDS_MAX = 16
"""Ways to end that are told apart in one incident."""
_WORD_CHARS_MAX = 40
_CREDENTIALS = "run-credentials-"
"""Mounts that systemd makes for a service and takes away with it. Often they are gone already when it unmounts them as
the machine goes down, which it tells as their failure: nothing is wrong then."""


class Incident:
    """What was said of one unit. `first` and `last`: entries; `exits`: how often each command, code (exited, killed,
    dumped) and status; `results`: how often each result; `restarts`: systemd's count, None where it said none;
    `not_started`: a job to start it failed so; `memory`: the kernel killed for want of memory."""

    __slots__ = ("exits", "first", "last", "memory", "not_started", "restarts", "results", "unit")

    def __init__(self, unit: str, first: Entry) -> None:
        self.unit = unit
        self.first = first
        self.last = first
        self.exits: dict[tuple[str, str, int], int] = {}
        self.results: dict[str, int] = {}
        self.restarts: int | None = None
        self.not_started = ""
        self.memory = False

    def add(self, entry: Entry) -> None:
        """One more message of it."""
        self.last = entry
        kind = entry.text("MESSAGE_ID")
        if kind == trusted.EXITED:
            status = entry.count("EXIT_STATUS")
            end = (_word(entry, "COMMAND"), _word(entry, "EXIT_CODE"), -1 if status is None else status)
            if end in self.exits or len(self.exits) < KINDS_MAX:
                self.exits[end] = self.exits.get(end, 0) + 1
        elif kind == trusted.FAILED:
            result = _word(entry, "UNIT_RESULT")
            if result in self.results or len(self.results) < KINDS_MAX:
                self.results[result] = self.results.get(result, 0) + 1
        elif kind == trusted.RESTARTED:
            self.restarts = entry.count("N_RESTARTS")
        elif kind == trusted.JOB_FAILED:
            self.not_started = _word(entry, "JOB_RESULT")
        elif kind == trusted.OUT_OF_MEMORY:
            self.memory = True

    def belongs(self, entry: Entry) -> bool:
        """May an entry of its unit be a part of it?"""
        return (
            entry.boot == self.first.boot
            and entry.monotonic_us - self.last.monotonic_us <= SETTLED_US
            and entry.monotonic_us - self.first.monotonic_us <= LONGEST_US
        )


def _word(entry: Entry, name: str) -> str:
    """systemd's own words: short, without blanks."""
    text = entry.text(name)[:_WORD_CHARS_MAX]
    return text if text.isascii() and text.isprintable() else "?"


class Incidents:
    """Those that are going on, oldest first."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, Incident] = {}

    def feed(self, entry: Entry) -> list[Incident]:
        """The incidents that this entry shows to have ended."""
        ended = [one for one in self._open.values() if not one.belongs(entry)]
        for one in ended:
            del self._open[one.unit]
        unit = entry.text("UNIT")
        if not unit or len(unit) > UNIT_CHARS_MAX or "\n" in unit:
            return ended
        if unit.startswith(_CREDENTIALS) and unit.endswith(".mount"):
            return ended
        if unit not in self._open:
            if entry.text("MESSAGE_ID") == trusted.RESTARTED:
                return ended  # nothing failed: it is started again whenever it ends
            if len(self._open) >= OPEN_MAX:
                ended.append(self._open.pop(next(iter(self._open))))
            self._open[unit] = Incident(unit, entry)
        self._open[unit].add(entry)
        return ended

    def quiet(self, now_us: int) -> list[Incident]:
        """Those that have ended, after all that is in the journal was read. `now_us`: the clock that entries have,
        taken before that. What is of its future is of another boot, and has ended."""
        ended = [
            one
            for one in self._open.values()
            if not -SLACK_US <= now_us - one.last.monotonic_us <= SETTLED_US + SLACK_US
        ]
        for one in ended:
            del self._open[one.unit]
        return ended

    def end(self) -> list[Incident]:
        """All of them."""
        ended = list(self._open.values())
        self._open.clear()
        return ended

    def oldest(self) -> Entry | None:
        """The first entry that is still needed."""
        return next(iter(self._open.values())).first if self._open else None

    def next_quiet_us(self) -> int | None:
        """When the next one ends if nothing more is said of it."""
        if not self._open:
            return None
        return min([one.last.monotonic_us for one in self._open.values()]) + SETTLED_US + SLACK_US
