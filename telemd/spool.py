# SPDX-License-Identifier: Apache-2.0
"""The durable queue: three lanes of segments and the ledger that accounts for them.

The only owner of the spool's directory. A record is durable when append() has returned; it is gone when the ledger that
says so is synced. What is sent when is delivery's affair.
"""

from __future__ import annotations

import errno

from telemd import recovery, segment
from telemd.lane import Lane
from telemd.ledger import slot_offset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.disk import Disk
    from telemd.intake import Batch
    from telemd.lane import Segment, Waiting
    from telemd.segment import Host

REASON_NO_SPACE = 16
REASON_IO = 19
SYNCS_KEPT = 4096
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Settlement:
    """What became of the first records of a batch that was sent; retry ones are not among them."""

    __slots__ = ("delivered", "rejected")

    def __init__(self, delivered: int, rejected: int) -> None:
        self.delivered = delivered
        self.rejected = rejected


class Spool:
    """One spool directory. cap_bytes below 0 means no cap."""

    def __init__(self, disk: Disk, cap_bytes: int) -> None:
        self._disk = disk
        self.cap_bytes = cap_bytes
        found = recovery.recover(disk)
        self.ledger = found.ledger
        self._ledger_fd = found.ledger_fd
        self._ledger_dirty = True
        self._notes = found.notes
        self._trouble = ""
        self.sync_us: list[int] = []
        self.sync_count = 0
        size = segment.size_for(cap_bytes)
        self.lanes = [Lane(i, disk, line, self._new_generation, size) for i, line in enumerate(self.ledger.lanes)]
        for lane, segments in zip(self.lanes, found.segments, strict=True):
            self._adopt(lane, segments)
        self.ledger.received = sum(self.ledger.refused) + self.ledger.duplicate + self.admitted()

    def _adopt(self, lane: Lane, segments: list[Segment]) -> None:
        for each in segments:
            lane.segments.append(each)
            if not each.sealed:
                each.fd = self._disk.open(each.name)
                lane.seal()

    def close(self, now_us: int) -> None:
        """Seal what is open, write the ledger, let go of the directory."""
        for lane in self.lanes:
            lane.seal()
        self.flush(now_us)
        self._disk.close_file(self._ledger_fd)
        self._disk.close()

    def take_notes(self) -> list[str]:
        """Sentences for the log since the last call."""
        notes = self._notes
        self._notes = []
        for lane in self.lanes:
            notes += lane.notes
            lane.notes = []
        return notes

    # -- in --

    def append(self, batch: Batch, lanes: set[int], host: Host, now_us: int) -> None:
        """Make the batch's records of these lanes durable; every entry has its verdict then."""
        for index in sorted(lanes):
            self._append_lane(self.lanes[index], batch, host, now_us)
        self._ledger_dirty = True

    def _append_lane(self, lane: Lane, batch: Batch, host: Host, now_us: int) -> None:
        entry, failures = 0, 0
        while entry < batch.entry_count:
            try:
                if lane.must_roll(host, now_us):
                    self._roll(lane, host, now_us)
                before = lane.ledger.next_seq
                reached = lane.append(batch, entry, now_us)
                if lane.ledger.next_seq != before:
                    self._count_sync(lane.sync_us)
                    self._trouble = ""
                elif reached < batch.entry_count:
                    self._roll(lane, host, now_us)  # the next frame doesn't fit into this segment
                entry = reached
            except OSError as error:
                failures += 1
                if error.errno in _FULL or failures > 1:
                    reason = REASON_NO_SPACE if error.errno in _FULL else REASON_IO
                    batch.refuse_rest(lane.index, entry, reason)
                    self._note_trouble(f"records are refused: {error.strerror}")
                    return

    def _note_trouble(self, sentence: str) -> None:
        """Said once, not for every batch, until a write succeeds."""
        if sentence != self._trouble:
            self._notes.append(sentence)
        self._trouble = sentence

    def _roll(self, lane: Lane, host: Host, now_us: int) -> None:
        lane.seal()
        if self.cap_bytes >= 0 and self.disk_bytes() + lane.segment_size > self.cap_bytes:
            raise OSError(errno.ENOSPC, "the spool has reached spool_max_size")
        lane.roll(host, now_us)

    def _new_generation(self) -> int:
        self.ledger.segment_generation += 1
        return self.ledger.segment_generation

    def _count_sync(self, took_us: int) -> None:
        if len(self.sync_us) < SYNCS_KEPT:
            self.sync_us.append(took_us)
        else:
            self.sync_us[self.sync_count % SYNCS_KEPT] = took_us
        self.sync_count += 1

    def count_intake(self, received: int, refused: list[int], duplicate: int) -> None:
        """What came and was not admitted, since the last call."""
        if received:
            self.ledger.received += received
            self.ledger.duplicate += duplicate
            for reason, count in enumerate(refused):
                self.ledger.refused[reason] += count
            self._ledger_dirty = True

    # -- out --

    def head(self, lane: int, records_max: int, bytes_max: int) -> Waiting | None:
        """The next records of a lane to be sent."""
        return self.lanes[lane].head(records_max, bytes_max)

    def settle(self, lane: int, waiting: Waiting, settlement: Settlement) -> None:
        """The first records of what head() gave are final. Durable after flush()."""
        at = self.lanes[lane]
        at.advance(waiting, settlement.delivered + settlement.rejected)
        at.ledger.delivered += settlement.delivered
        at.ledger.rejected += settlement.rejected
        self._ledger_dirty = True

    def flush(self, now_us: int) -> None:
        """Write and sync the ledger if it changed, then remove the segments it is done with."""
        if self._ledger_dirty:
            self.ledger.generation += 1
            try:
                self._disk.write(self._ledger_fd, self.ledger.pack(now_us), slot_offset(self.ledger.generation))
                self._disk.sync(self._ledger_fd)
            except OSError as error:
                self._notes.append(f"the spool's ledger could not be written ({error.strerror}): it is tried again")
                return
            self._ledger_dirty = False
        for lane in self.lanes:
            for done in lane.finished():
                lane.remove(done)

    # -- figures --

    def admitted(self) -> int:
        """Records ever taken in."""
        return sum(line.admitted for line in self.ledger.lanes)

    def pending(self) -> int:
        """Records that wait."""
        return sum(lane.pending() for lane in self.lanes)

    def disk_bytes(self) -> int:
        """Bytes of all files."""
        return sum(lane.disk_bytes() for lane in self.lanes) + 8192

    def refused(self) -> dict[int, int]:
        """Records that were not admitted, by reason."""
        return {reason: count for reason, count in enumerate(self.ledger.refused) if count}

    def accounting(self) -> dict[str, int]:
        """The account of docs/protocol.md, section 4.5; both of its equations hold at any time."""
        lines = self.ledger.lanes
        return {
            "received": self.ledger.received,
            "refused": sum(self.ledger.refused),
            "duplicate": self.ledger.duplicate,
            "admitted": self.admitted(),
            "delivered": sum(line.delivered for line in lines),
            "rejected": sum(line.rejected for line in lines),
            "evicted": sum(line.evicted for line in lines),
            "expired": sum(line.expired for line in lines),
            "purged": sum(line.purged for line in lines),
            "damaged": sum(line.damaged for line in lines) + sum(lane.missing() for lane in self.lanes),
            "pending": self.pending(),
        }
