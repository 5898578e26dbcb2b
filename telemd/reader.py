# SPDX-License-Identifier: Apache-2.0
"""The head of a lane: which records are to be sent next, past what is expired, evicted, missing or damaged.

Moves the lane's cursor over what needs no sending and counts it under its reason; what was sent is moved by advance().
Reads through Disk, writes nothing but to quarantine/.
"""

from __future__ import annotations

from telemd import fates, frames, salvage
from telemd.segment import HEADER_LEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemd.disk import Disk
    from telemd.fates import Fates
    from telemd.frames import Spans
    from telemd.lane import Lane
    from telemd.quarantine import Quarantine
    from telemd.segment import Host
    from telemd.segmentfile import Segment

FATES_BYTES_MAX = 4 * 1024 * 1024
"""Of expired segments so many bytes are read again for their ids."""

DEFER_MAX_US = 25 * 3600 * 1_000_000
"""A record deferred further than this was stamped by a clock that has been put back since; it may go."""


class Waiting:
    """Records at the head of a lane, ready to be sent; all of one machine id and one set of host facts."""

    __slots__ = ("_base", "_generation", "_skipped", "_spans", "count", "first_seq", "host", "records")

    def __init__(
        self, host: Host, first_seq: int, skipped: int, count: int, spans: Spans, base: int, generation: int
    ) -> None:
        self.host = host
        self.first_seq = first_seq
        self.count = count
        self.records = spans.records(skipped, count)
        self._skipped = skipped
        self._spans = spans
        self._base = base
        self._generation = generation

    def ids(self, first: int, count: int) -> bytes:
        """Ids of count records from the first on, 16 bytes each."""
        return self._spans.ids(self._skipped + first, count)

    def named(self, first: int) -> tuple[int, bytes, int]:
        """How many from the first on name the same configuration file, which, and the user who sent them; or how many
        name none, which is the empty path."""
        return self._spans.named(self._skipped + first, self.count - first)

    def cut(self, count: int) -> None:
        """Only the first count of them, of which there are so many at least."""
        if count < self.count:
            self.count = count
            self.records = self._spans.records(self._skipped, count)

    def place_after(self, count: int) -> tuple[int, int]:
        """Generation and offset where the record after the first count ones begins."""
        return self._generation, self._base + self._spans.offset(self._skipped + count)


class Reader:
    """The reading end of one lane. due_us: when the record at the cursor may be sent, where it was deferred; 0
    otherwise."""

    __slots__ = ("_disk", "_fates", "_lane", "_place", "_quarantine", "due_us")

    def __init__(self, lane: Lane, disk: Disk, quarantine: Quarantine, remembered: Fates) -> None:
        self._fates = remembered
        self.due_us = 0
        self._quarantine = quarantine
        self._lane = lane
        self._disk = disk
        self._place: tuple[int, int, int] | None = None  # (seq, generation, offset) of the cursor, where it is known

    def head(self, records_max: int, bytes_max: int, now_us: int, expiry_us: int) -> Waiting | None:
        """The records at the cursor that may be sent now, or None. expiry_us: how old a record may get."""
        line = self._lane.ledger
        self.due_us = 0
        while (found := self.at_cursor(records_max, bytes_max)) is not None:
            at, spans, base = found
            before_us = now_us - expiry_us - (line.shift_us if line.cursor < line.shift_seq else 0)
            expired, ready = spans.ready(now_us, before_us)
            if expired:
                self._fates.add(spans.ids(0, expired), fates.EXPIRED, now_us)
                line.expired += expired
                line.cursor += expired
                self._place = (line.cursor, at.header.generation, base + spans.offset(expired))
            if ready == 0 and spans.count > expired and spans.not_before_us(expired) > now_us:
                if spans.not_before_us(expired) - now_us <= DEFER_MAX_US:
                    self.due_us = spans.not_before_us(expired)
                    return None
                ready = 1
            if ready:
                return Waiting(at.header.host, line.cursor, expired, ready, spans, base, at.header.generation)
        return None

    def at_cursor(self, records_max: int, bytes_max: int) -> tuple[Segment, Spans, int] | None:
        """The frames at the cursor, deferred and expired ones among them, in which segment they are and where in it
        they begin; passes what is missing or damaged. None where nothing waits."""
        line = self._lane.ledger
        while True:
            line.leave_hole()
            at = next((each for each in self._lane.segments if each.last_seq >= line.cursor), None)
            if at is None:
                return None
            if at.first_seq > line.cursor:
                reached = line.hole_first if line.cursor < line.hole_first < at.first_seq else at.first_seq
                self._lose(reached - line.cursor, f"before {at.name} is missing")
                continue
            try:
                spans, base = self._spans(at, records_max, bytes_max)
            except FileNotFoundError:
                continue  # and it is no longer there to be found
            if spans is not None:
                return at, spans, base

    def pass_to(self, at: Segment, spans: Spans, base: int, count: int) -> None:
        """The first count of what at_cursor() gave end otherwise than by being sent; the caller counts them."""
        self._lane.ledger.cursor = spans.seq(0) + count
        self._place = (self._lane.ledger.cursor, at.header.generation, base + spans.offset(count))

    def advance(self, waiting: Waiting, count: int) -> None:
        """The first count records are final. Those that were evicted meanwhile have their reason already."""
        reached = waiting.first_seq + count
        if reached > self._lane.ledger.cursor:
            self._lane.ledger.cursor = reached
            self._place = (reached, *waiting.place_after(count))

    def expire(self, now_us: int, expiry_us: int) -> int:
        """Pass the segments at the head in which every record is too old; how many records that was."""
        line = self._lane.ledger
        passed: list[tuple[Segment, int]] = []
        total = 0
        for each in self._lane.segments:
            if each.last_seq < line.cursor:
                continue
            line.leave_hole()
            shift_us = line.shift_us if each.last_seq < line.shift_seq else 0
            if not each.sealed or each.first_seq > line.cursor or each.admitted_us_max + shift_us >= now_us - expiry_us:
                break
            count = each.last_seq - max(each.first_seq, line.cursor) + 1
            passed.append((each, line.cursor))
            total += count
            line.expired += count
            line.cursor = each.last_seq + 1
        self._remember(passed, now_us)
        return total

    def _remember(self, passed: list[tuple[Segment, int]], now_us: int) -> None:
        """The last segments alone are read for the ids of what expired: older ones would soon be pushed out."""
        left_bytes = FATES_BYTES_MAX
        known: list[bytes] = []
        for each, first_seq in reversed(passed):
            if left_bytes < each.end:
                break
            try:
                known.insert(
                    0, b"".join(spans.ids(first, rest) for spans, first, rest in self.frames_from(each, first_seq))
                )
            except OSError:
                break  # what can't be read any more is not remembered
            left_bytes -= each.end
        self._fates.add(b"".join(known), fates.EXPIRED, now_us)

    def frames_from(self, at: Segment, seq: int) -> Iterator[tuple[Spans, int, int]]:
        """Good frames of a segment numbered from seq on, piece by piece: the piece, the first of it that counts, and
        how many those are."""
        data = salvage.read(self._disk, self._lane.descriptor(at), HEADER_LEN, at.end - HEADER_LEN)
        offset, floor = 0, at.first_seq - 1
        while offset < len(data):
            spans = frames.scan(data, at.header.generation, floor, offset)
            if spans.count:
                floor, offset = spans.seq(spans.count - 1), spans.end
                first = spans.count_up_to(seq - 1)
                if first < spans.count:
                    yield spans, first, spans.count - first
            else:
                offset = frames.find(data, at.header.generation, floor, offset + 1)

    def _spans(self, at: Segment, records_max: int, bytes_max: int) -> tuple[Spans | None, int]:
        """Good frames that begin with the cursor's and where they begin; None where damage was passed instead."""
        line = self._lane.ledger
        if line.cursor < line.shift_seq:
            records_max = min(records_max, line.shift_seq - line.cursor)
        fd = self._lane.descriptor(at)
        offset = self._offset(at, fd)
        data = salvage.read(self._disk, fd, offset, min(at.end - offset, bytes_max + frames.FRAME_MAX))
        spans = frames.scan(data, at.header.generation, line.cursor - 1, 0, records_max, bytes_max)
        if spans.count and spans.seq(0) == line.cursor:
            return spans, offset
        if spans.count:
            self._lose(spans.seq(0) - line.cursor, f"in {at.name} is missing")
            return None, 0
        rest = salvage.read(self._disk, fd, offset, at.end - offset)
        good = frames.find(rest, at.header.generation, line.cursor - 1, 0)
        if not self._quarantine.keep(f"{at.name}.{line.cursor}", rest[:good]):
            self._lane.notes.append(f"damaged bytes of {at.name} could not be kept in quarantine/, ignoring")
        found = frames.scan(rest, at.header.generation, line.cursor - 1, good, 1)
        resumed = found.seq(0) if found.count else at.last_seq + 1
        self._lose(resumed - line.cursor, f"in {at.name} is damaged")
        self._place = (resumed, at.header.generation, offset + good)
        return None, 0

    def _offset(self, at: Segment, fd: int) -> int:
        """Where the cursor's frame begins in the segment."""
        cursor = self._lane.ledger.cursor
        if self._place is not None and self._place[:2] == (cursor, at.header.generation):
            return self._place[2]
        if cursor == at.first_seq:
            return HEADER_LEN
        data = salvage.read(self._disk, fd, HEADER_LEN, at.end - HEADER_LEN)
        offset, floor = 0, at.first_seq - 1
        while offset < len(data):
            spans = frames.scan(data, at.header.generation, floor, offset)
            for index in range(spans.count):
                if spans.seq(index) >= cursor:
                    return HEADER_LEN + spans.offset(index)
            if spans.count:
                floor, offset = spans.seq(spans.count - 1), spans.end
            else:
                offset = frames.find(data, at.header.generation, floor, offset + 1)
        return at.end

    def _lose(self, count: int, what: str) -> None:
        self._lane.ledger.damaged += count
        self._lane.ledger.cursor += count
        self._lane.notes.append(f"{count} records of the spool are lost: what lay {what}")
