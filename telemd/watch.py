# SPDX-License-Identifier: Apache-2.0
"""What passes while somebody looks: the records of the last moments with telemd's verdict, and sums by class and user,
for `telemctl tail` and `top`.

Pure: times come in. There is no such thing unless somebody asked within the last WATCH_MS, and it never holds up
telemd: of one round LINES_A_ROUND records are described, the others are counted, and a reader that is slow is told how
many it missed. A payload is kept only where it was asked for.
"""

from __future__ import annotations

from collections import deque

from libtelemetry import wire
from libtelemetry.errors import RecordError
from telemd import passing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.intake import Batch
    from telemd.passing import Passing

WATCH_MS: Final = 5000
"""Nobody has asked for so long: everything here goes."""

LINES_MAX: Final = 1000
LINES_A_ROUND: Final = 128
PAYLOAD_KEPT_MAX: Final = 1024
"""Bytes of a record's payload; who wants all of it asks the spool or the hub."""

PAGE_LINES_MAX: Final = 200
PAGE_BYTES_MAX: Final = 32 * 1024
SOURCES_MAX: Final = 256
"""So many pairs of class and user have sums of their own; the others have one together."""

NOWHERE: Final = 2**63 - 1
"""Not a serial: who has seen nothing yet begins now."""

UNKNOWN_UID: Final = -1
OTHERS: Final = "(others)"
UNREADABLE: Final = "(unreadable)"
"""What stands for the class of a record whose form was refused."""


class Line:
    """One record that passed. uid is UNKNOWN_UID and severity 0 where there was no whole record to look at."""

    __slots__ = (
        "classification",
        "payload",
        "payload_bytes",
        "pid",
        "reason",
        "record_id",
        "serial",
        "severity",
        "size",
        "uid",
        "verdict",
        "when_us",
    )

    def __init__(self, serial: int, when_us: int, seen: Passing, with_payload: bool) -> None:
        self.serial = serial
        self.when_us = when_us
        self.record_id = seen.record_id
        self.classification = seen.classification.decode("ascii", "replace")
        self.uid = seen.uid
        self.pid = seen.pid
        self.size = seen.length
        self.verdict = seen.verdict
        self.reason = seen.reason
        self.severity = self.payload_bytes = 0
        self.payload: bytes | None = None
        record = _decoded(seen.record())
        if record is not None:
            self.severity = record.severity
            self.payload_bytes = len(record.payload)
            if with_payload:
                self.payload = record.payload[:PAYLOAD_KEPT_MAX]


def _decoded(record: bytes) -> wire.DecodedRecord | None:
    """None where there is none; intake has looked at what there is."""
    if not record:
        return None
    try:
        return wire.decode(record)
    except RecordError:
        return None


class Sum:
    """What came of one class from one user since the watch began. refused ones are in records and size, too."""

    __slots__ = ("last_us", "records", "refused", "size")

    def __init__(self) -> None:
        self.records = 0
        self.size = 0
        self.refused = 0
        self.last_us = 0

    def add(self, records: int, size: int, refused: int, now_us: int) -> None:
        """More of it."""
        self.records += records
        self.size += size
        self.refused += refused
        self.last_us = now_us


class Page:
    """Lines for one reader: from where it goes on, and how many records passed that it doesn't see."""

    __slots__ = ("lines", "lost", "next_serial")

    def __init__(self, lines: list[Line], next_serial: int, lost: int) -> None:
        self.lines = lines
        self.next_serial = next_serial
        self.lost = lost


class Watch:
    """Begun by the first who asks. passed counts records since then; a line's serial is its record's number."""

    __slots__ = ("_lines", "_payloads_until_ms", "due_ms", "passed", "since_us", "sums")

    def __init__(self, now_ms: int, now_us: int) -> None:
        self.since_us = now_us
        self.due_ms = now_ms + WATCH_MS
        self.passed = 0
        self.sums: dict[tuple[str, int], Sum] = {}
        self._lines: deque[Line] = deque(maxlen=LINES_MAX)
        self._payloads_until_ms = -1

    def asked(self, now_ms: int, with_payload: bool = False) -> None:
        """Somebody is still there."""
        self.due_ms = now_ms + WATCH_MS
        if with_payload:
            self._payloads_until_ms = now_ms + WATCH_MS

    def take(self, batch: Batch, now_us: int) -> None:
        """A batch whose verdicts are known. Its newest records are those that are described."""
        first = self.passed
        self.passed += batch.entry_count
        with_payload = self._payloads_until_ms >= self.due_ms - WATCH_MS
        for each in passing.newest(batch, LINES_A_ROUND):
            self._lines.append(Line(first + each.index, now_us, each, with_payload))
        refused, unreadable = passing.refused_by_run(batch)
        for index, run in enumerate(batch.runs()):
            name = run.classification.decode("ascii", "replace")
            self._sum(name, run.uid).add(run.count, run.total_bytes, refused.get(index, 0), now_us)
        if unreadable:
            self._sum(UNREADABLE, UNKNOWN_UID).add(unreadable, 0, unreadable, now_us)

    def _sum(self, name: str, uid: int) -> Sum:
        key = (name, uid)
        if key not in self.sums and len(self.sums) >= SOURCES_MAX:
            key = (OTHERS, UNKNOWN_UID)
        return self.sums.setdefault(key, Sum())

    def page(self, from_serial: int | None) -> Page:
        """From that serial on; None: from now on. One that is beyond all there is was another watch's."""
        if from_serial is None:
            return Page([], self.passed, 0)
        begin = from_serial if from_serial <= self.passed else 0
        lines: list[Line] = []
        size = 0
        end = self.passed
        for line in self._lines:
            if line.serial < begin:
                continue
            if len(lines) == PAGE_LINES_MAX or size >= PAGE_BYTES_MAX:
                end = line.serial
                break
            lines.append(line)
            size += len(line.payload or b"")
        return Page(lines, end, end - begin - len(lines))
