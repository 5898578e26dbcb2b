# SPDX-License-Identifier: Apache-2.0
"""One lane of the spool: its segments in order, where records are appended and from where they are read.

All disk calls go through Disk. The lane's counters are its line of the ledger; writing the ledger is the spool's.
"""

from __future__ import annotations

import errno

from telemd import frames, segment
from telemd.segment import FOOTER_LEN, HEADER_LEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemd.disk import Disk
    from telemd.frames import Spans
    from telemd.intake import Batch
    from telemd.ledger import LaneLedger
    from telemd.segment import Host

ROLL_AFTER_US = 600 * 1_000_000
QUARANTINE_FILES_MAX = 64
QUARANTINE_BYTES_MAX = 256 * 1024


class Segment:
    """A segment file as it is known: last_seq below first_seq while it is empty; end is the offset behind the
    last frame."""

    __slots__ = ("admitted_us_max", "admitted_us_min", "end", "fd", "header", "last_seq", "name", "sealed", "size")

    def __init__(self, header: segment.Header, size: int) -> None:
        self.header = header
        self.name = segment.name_of(header.lane, header.generation)
        self.size = size
        self.end = HEADER_LEN
        self.last_seq = header.first_seq - 1
        self.sealed = False
        self.fd: int | None = None
        self.admitted_us_min = 0
        self.admitted_us_max = 0

    @property
    def first_seq(self) -> int:
        """Number of the first frame."""
        return self.header.first_seq

    @property
    def count(self) -> int:
        """Frames in it."""
        return self.last_seq - self.header.first_seq + 1


class Waiting:
    """Records at the head of a lane, ready to be sent; all of one machine id and one set of host facts."""

    __slots__ = ("_base", "_generation", "_spans", "count", "first_seq", "host", "records")

    def __init__(self, host: Host, first_seq: int, count: int, spans: Spans, base: int, generation: int) -> None:
        self.host = host
        self.first_seq = first_seq
        self.count = count
        self.records = spans.records(count)
        self._spans = spans
        self._base = base
        self._generation = generation

    def place_after(self, count: int) -> tuple[int, int]:
        """Generation and offset where the record after the first count ones begins."""
        return self._generation, self._base + self._spans.offset(count)


class Lane:
    """vital, event or metric."""

    __slots__ = (
        "_disk",
        "_new_generation",
        "_place",
        "index",
        "ledger",
        "notes",
        "segment_size",
        "segments",
        "sync_us",
    )

    def __init__(
        self, index: int, disk: Disk, ledger: LaneLedger, new_generation: Callable[[], int], segment_size: int
    ) -> None:
        self.index = index
        self.ledger = ledger
        self.segments: list[Segment] = []
        self.segment_size = segment_size
        self.notes: list[str] = []
        self._disk = disk
        self._new_generation = new_generation
        self.sync_us = 0
        self._place: tuple[int, int, int] | None = None  # (seq, generation, offset) of the cursor, where it is known

    # -- appending --

    def active(self) -> Segment | None:
        """The segment that is being written."""
        return self.segments[-1] if self.segments and not self.segments[-1].sealed else None

    def must_roll(self, host: Host, now_us: int) -> bool:
        """The active segment can't take records of this host and time."""
        active = self.active()
        if active is None:
            return True
        age_us = now_us - active.header.created_us
        return active.header.host != host or (active.count > 0 and not 0 <= age_us < ROLL_AFTER_US)

    def roll(self, host: Host, now_us: int) -> Segment:
        """Seal the active segment and begin the next; durable under its name when this returns."""
        self.seal()
        header = segment.Header(self.index, self._new_generation(), self.ledger.next_seq, now_us, host)
        fresh = Segment(header, self.segment_size)
        fresh.fd = self._disk.create(fresh.name, fresh.size)
        try:
            self._disk.write(fresh.fd, segment.pack_header(header), 0)
            self._disk.sync_directory()
        except OSError:
            self._disk.close_file(fresh.fd)
            self._disk.unlink(fresh.name)
            raise
        self.segments.append(fresh)
        return fresh

    def append(self, batch: Batch, entry: int, now_us: int) -> int:
        """One write of the batch's frames for this lane, from that entry on, into the active segment. The entry to go
        on from; the same as before where nothing fitted. OSError: nothing of it counts, and the segment is not written
        again."""
        active = self.segments[-1]
        assert active.fd is not None
        room = active.size - FOOTER_LEN - active.end
        share = batch.stamp(self.index, entry, self.ledger.next_seq, now_us, active.header.generation, room)
        if share.frames == 0:
            return share.entry_to
        try:
            self.sync_us = self._disk.write_share(active.fd, share, active.end)
        except OSError:
            self._abandon(active)
            raise
        if active.count == 0:
            active.admitted_us_min = now_us
        active.admitted_us_max = max(active.admitted_us_max, now_us)
        active.end += share.length
        active.last_seq += share.frames
        self.ledger.next_seq += share.frames
        self.ledger.synced_seq = active.last_seq
        share.settle(0)
        return share.entry_to

    def seal(self) -> None:
        """Write the footer and give back what was set aside; an empty segment is removed. A lost footer costs the next
        start a scan, so that nothing is synced here."""
        active = self.active()
        if active is None:
            return
        if active.count == 0:
            self._remove(active)
            return
        assert active.fd is not None
        footer = segment.Footer(
            active.header.generation,
            active.count,
            active.last_seq,
            active.admitted_us_min,
            active.admitted_us_max,
            active.end,
        )
        active.sealed = True
        try:
            self._disk.write(active.fd, segment.pack_footer(footer), active.end)
            self._disk.truncate(active.fd, active.end + FOOTER_LEN)
            active.size = active.end + FOOTER_LEN
        except OSError as error:
            self.notes.append(f"segment {active.name} could not be sealed ({error.strerror}), ignoring")
        self._close(active)

    def _abandon(self, spoiled: Segment) -> None:
        """After a failed write or sync its descriptor is never written again; what was durable before stays."""
        if spoiled.count == 0:
            self._remove(spoiled)
            return
        spoiled.sealed = True
        self._close(spoiled)

    # -- reading --

    def pending(self) -> int:
        """Records that wait, counted from the segments."""
        cursor = self.ledger.cursor
        return sum(max(0, each.last_seq - max(each.first_seq, cursor) + 1) for each in self.segments)

    def waits(self) -> bool:
        """Something waits. The last segment may still be empty."""
        return any(each.last_seq >= self.ledger.cursor for each in self.segments[-2:])

    def missing(self) -> int:
        """Records beyond the cursor that have a number but no segment: lost, and counted when the cursor passes."""
        expected, total = self.ledger.cursor, 0
        for each in self.segments:
            if each.last_seq >= expected:
                total += max(0, each.first_seq - expected)
                expected = each.last_seq + 1
        return total + self.ledger.next_seq - expected

    def disk_bytes(self) -> int:
        """Bytes of the lane's files."""
        return sum(each.size for each in self.segments)

    def oldest_us(self) -> int:
        """About when the oldest waiting record came; 0 where none waits."""
        cursor = self.ledger.cursor
        return next((each.admitted_us_min for each in self.segments if each.last_seq >= cursor), 0)

    def head(self, records_max: int, bytes_max: int) -> Waiting | None:
        """The records at the cursor, or None where none waits. Damage in the way is counted and kept in
        quarantine."""
        while True:
            at = next((each for each in self.segments if each.last_seq >= self.ledger.cursor), None)
            if at is None:
                return None
            if at.first_seq > self.ledger.cursor:
                self._lose(at.first_seq - self.ledger.cursor, f"before {at.name} is missing")
                continue
            waiting = self._head_of(at, records_max, bytes_max)
            if waiting is not None:
                return waiting

    def advance(self, waiting: Waiting, count: int) -> None:
        """The first count records are final."""
        self.ledger.cursor = waiting.first_seq + count
        self._place = (self.ledger.cursor, *waiting.place_after(count))

    def finished(self) -> list[Segment]:
        """Segments of which nothing waits any more and nothing is written."""
        return [each for each in self.segments if each.sealed and each.last_seq < self.ledger.cursor]

    def remove(self, done: Segment) -> None:
        """Unlink. The caller has synced the ledger."""
        self._remove(done)

    def _head_of(self, at: Segment, records_max: int, bytes_max: int) -> Waiting | None:
        cursor = self.ledger.cursor
        fd = self._descriptor(at)
        offset = self._offset(at, fd)
        data = self._disk.read(fd, offset, min(at.end - offset, bytes_max + frames.FRAME_MAX))
        spans = frames.scan(data, at.header.generation, cursor - 1, 0, records_max, bytes_max)
        if spans.count and spans.seq(0) == cursor:
            return Waiting(at.header.host, cursor, spans.consecutive(), spans, offset, at.header.generation)
        if spans.count:
            self._lose(spans.seq(0) - cursor, f"in {at.name} is missing")
            return None
        rest = self._disk.read(fd, offset, at.end - offset)
        good = frames.find(rest, at.header.generation, cursor - 1, 0)
        self._quarantine(at, rest[:good])
        found = frames.scan(rest, at.header.generation, cursor - 1, good, 1)
        resumed = found.seq(0) if found.count else at.last_seq + 1
        self._lose(resumed - cursor, f"in {at.name} is damaged")
        self._place = (resumed, at.header.generation, offset + good)
        return None

    def _offset(self, at: Segment, fd: int) -> int:
        """Where the cursor's frame begins in the segment."""
        cursor = self.ledger.cursor
        if self._place is not None and self._place[:2] == (cursor, at.header.generation):
            return self._place[2]
        if cursor == at.first_seq:
            return HEADER_LEN
        data = self._disk.read(fd, HEADER_LEN, at.end - HEADER_LEN)
        offset, floor = 0, at.first_seq - 1
        while offset < len(data):
            spans = frames.scan(data, at.header.generation, floor, offset)
            for index in range(spans.count):
                if spans.seq(index) >= cursor:
                    return HEADER_LEN + spans.offset(index)
            if spans.count:
                floor, offset = spans.seq(spans.count - 1), spans.end
            else:
                offset = frames.find(data, at.header.generation, floor, offset)
        return at.end

    def _lose(self, count: int, what: str) -> None:
        self.ledger.damaged += count
        self.ledger.cursor += count
        self.notes.append(f"{count} records of the spool are lost: what lay {what}")

    def _quarantine(self, at: Segment, data: bytes) -> None:
        name = f"{at.name}.{self.ledger.cursor}"
        try:
            self._disk.quarantine(name, data[:QUARANTINE_BYTES_MAX], QUARANTINE_FILES_MAX)
        except OSError as error:
            self.notes.append(f"damaged bytes of {at.name} could not be kept ({error.strerror}), ignoring")

    # -- files --

    def _descriptor(self, at: Segment) -> int:
        if at.fd is None:
            for other in self.segments:
                if other.sealed and other is not at:
                    self._close(other)
            at.fd = self._disk.open(at.name)
        return at.fd

    def _close(self, at: Segment) -> None:
        if at.fd is not None:
            self._disk.close_file(at.fd)
            at.fd = None

    def _remove(self, at: Segment) -> None:
        self._close(at)
        self.segments.remove(at)
        try:
            self._disk.unlink(at.name)
        except OSError as error:
            if error.errno != errno.ENOENT:
                self.notes.append(f"segment {at.name} could not be removed ({error.strerror}), ignoring")
