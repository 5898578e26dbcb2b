# SPDX-License-Identifier: Apache-2.0
"""One lane of the spool: its segments in order, and where records are appended to them.

All disk calls go through Disk. The lane's counters are its line of the ledger; writing the ledger is the spool's.
"""

from __future__ import annotations

import errno

from telemd import segment
from telemd.faultpoint import reached
from telemd.segment import FOOTER_LEN
from telemd.segmentfile import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemd.disk import Disk
    from telemd.intake import Batch
    from telemd.ledger import LaneLedger
    from telemd.segment import Host

ROLL_AFTER_US = 600 * 1_000_000


class Lane:
    """vital, event or metric."""

    __slots__ = (
        "_disk",
        "_footless",
        "_new_generation",
        "in_flight_to",
        "index",
        "ledger",
        "leftover",
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
        self.leftover: list[Segment] = []  # done with, but the disk didn't let them go yet
        self._footless: list[Segment] = []  # sealed, but the disk didn't take the footer yet
        self._disk = disk
        self._new_generation = new_generation
        self.sync_us = 0
        self.in_flight_to = 0  # the last seq of the batch that is being sent; 0 for none

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

    def roll(self, host: Host, now_us: int, spare: str | None = None) -> Segment:
        """Seal the active segment and begin the next; durable under its name when this returns. spare: make it of this
        file, which has the size already."""
        self.seal()
        header = segment.Header(self.index, self._new_generation(), self.ledger.next_seq, now_us, host)
        fresh = Segment(header, self.segment_size)
        if spare is not None:
            fresh.fd = self._disk.rename_open(spare, fresh.name)
        else:
            fresh.fd = self._disk.create(fresh.name, fresh.size)
        reached("segment-created")
        try:
            self._disk.write(fresh.fd, segment.pack_header(header), 0)
            reached("header-written")
            self._disk.sync_directory()
            reached("directory-synced")
        except OSError:
            self._close(fresh)
            self.unlink(fresh)
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
        active.admitted_us_min = min(active.admitted_us_min or share.oldest_us, share.oldest_us)
        active.admitted_us_max = max(active.admitted_us_max, now_us)
        active.end += share.length
        active.last_seq += share.frames
        self.ledger.next_seq += share.frames
        self.ledger.synced_seq = active.last_seq
        share.settle(0)
        return share.entry_to

    def carry(self, frames: list[bytes], admitted_us: list[int]) -> None:
        """Frames that were built for next_seq and the numbers after it, in one write, and their sync. The caller has
        seen that there is room. OSError as for append()."""
        active = self.segments[-1]
        assert active.fd is not None
        data = b"".join(frames)
        try:
            self._disk.write(active.fd, data, active.end)
            reached("carried")
            self._disk.sync(active.fd)
            reached("carry-synced")
        except OSError:
            self._abandon(active)
            raise
        active.admitted_us_min = min(active.admitted_us_min or admitted_us[0], *admitted_us)
        active.admitted_us_max = max(active.admitted_us_max, *admitted_us)
        active.end += len(data)
        active.last_seq += len(frames)
        self.ledger.next_seq += len(frames)
        self.ledger.carried += len(frames)
        self.ledger.synced_seq = active.last_seq

    def room(self) -> int:
        """Bytes that the active segment still takes."""
        active = self.active()
        return active.size - FOOTER_LEN - active.end if active is not None else 0

    def seal(self) -> None:
        """Write the footer and give back what was set aside; an empty segment is removed. A lost footer costs the next
        start a scan, so that nothing is synced here."""
        active = self.active()
        if active is None:
            return
        if active.count == 0:
            self._remove(active)
            return
        active.sealed = True
        try:
            self._write_footer(active)
        except OSError as error:
            self.notes.append(f"segment {active.name} could not be sealed ({error.strerror}): that is tried again")
            self._footless.append(active)
        self._close(active)

    def _write_footer(self, at: Segment) -> None:
        footer = segment.Footer(
            at.header.generation, at.count, at.last_seq, at.admitted_us_min, at.admitted_us_max, at.end
        )
        fd = self.descriptor(at)
        self._disk.write(fd, segment.pack_footer(footer), at.end)
        reached("footer-written")
        self._disk.truncate(fd, at.end + FOOTER_LEN)
        at.size = at.end + FOOTER_LEN

    def _abandon(self, spoiled: Segment) -> None:
        """After a failed write or sync its descriptor is never written again; what was durable before stays, and
        sweep() cuts off the rest."""
        if spoiled.count == 0:
            self._remove(spoiled)
            return
        spoiled.sealed = True
        self._footless.append(spoiled)
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
        line = self.ledger
        expected, total = line.cursor, 0
        for each in self.segments:
            if each.last_seq >= expected:
                total += max(0, each.first_seq - expected)
                expected = each.last_seq + 1
        evicted = max(0, line.hole_next - max(line.hole_first, line.cursor))
        return total + line.next_seq - expected - evicted

    def disk_bytes(self) -> int:
        """Bytes of the lane's files."""
        return sum(each.size for each in self.segments) + sum(each.size for each in self.leftover)

    def oldest_us(self) -> int:
        """About when the oldest waiting record came; 0 where none waits."""
        cursor = self.ledger.cursor
        return next((each.admitted_us_min for each in self.segments if each.last_seq >= cursor), 0)

    def finished(self) -> list[Segment]:
        """Segments of which nothing waits any more and nothing is written."""
        return [each for each in self.segments if each.sealed and each.last_seq < self.ledger.cursor]

    def remove(self, done: Segment) -> None:
        """Unlink. The caller has synced the ledger."""
        self._remove(done)

    # -- files --

    def descriptor(self, at: Segment) -> int:
        """Open for reading; of the sealed segments only one is at a time. FileNotFoundError: it is gone, and no longer
        one of the lane's; what it held is missing()."""
        if at.fd is None:
            for other in self.segments:
                if other.sealed and other is not at:
                    self._close(other)
            try:
                at.fd = self._disk.open(at.name)
            except FileNotFoundError:
                self.segments.remove(at)
                self.notes.append(f"segment {at.name} was deleted by somebody: what waited in it is lost")
                raise
        return at.fd

    def _close(self, at: Segment) -> None:
        if at.fd is not None:
            self._disk.close_file(at.fd)
            at.fd = None

    def detach(self, at: Segment) -> None:
        """The segment is the lane's no more; its file still is there."""
        self._close(at)
        self.segments.remove(at)

    def _remove(self, at: Segment) -> None:
        self.detach(at)
        self.unlink(at)

    def unlink(self, at: Segment) -> None:
        """Remove the file of a segment that was detached; where that can't be done now, sweep() tries again."""
        if not self._unlinked(at):
            self.notes.append(f"segment {at.name} could not be removed: that is tried again")
            self.leftover.append(at)

    def sweep(self) -> None:
        """Remove and seal what could not be removed or sealed before."""
        self.leftover = [each for each in self.leftover if not self._unlinked(each)]
        for each in [each for each in self._footless if each in self.segments]:
            try:
                self._write_footer(each)
            except OSError:
                return  # the next call tries again
            self._footless.remove(each)
        self._footless.clear()

    def close_files(self) -> None:
        """Let go of every descriptor."""
        for each in self.segments:
            self._close(each)

    def _unlinked(self, at: Segment) -> bool:
        try:
            self._disk.unlink(at.name)
        except OSError as error:
            return error.errno == errno.ENOENT
        reached("unlinked")
        return True
