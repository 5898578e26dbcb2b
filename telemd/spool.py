# SPDX-License-Identifier: Apache-2.0
"""The durable queue: three lanes of segments and the ledger that accounts for them. Records in, records out, figures.

A record is durable when append() has returned; it is gone when the ledger that says so is synced. How room is made for
it is the room's affair, what is sent when is delivery's.
"""

from __future__ import annotations

import contextlib
import errno

from telemd import carrying, fates, purge, recovery, segment
from telemd.cap import Cap
from telemd.fates import Fates
from telemd.faultpoint import reached
from telemd.kinds import Kinds
from telemd.lane import Lane
from telemd.purge import Purged
from telemd.reader import Reader
from telemd.room import FULL, Room
from telemd.trouble import INTAKE, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.disk import Disk
    from telemd.intake import Batch
    from telemd.ledger import Ledger
    from telemd.reader import Waiting
    from telemd.segment import Host
    from telemd.segmentfile import Segment

REASON_NO_SPACE: Final = 16
REASON_IO: Final = 19
SYNCS_KEPT: Final = 4096
ROLLS_MAX: Final = 2
"""So many segments may be begun for one record."""


class Settlement:
    """What became of the first records of a batch that was sent; retry ones are not among them."""

    __slots__ = ("delivered", "rejected")

    def __init__(self, delivered: int, rejected: int) -> None:
        self.delivered = delivered
        self.rejected = rejected


class Spool:
    """One spool directory. cap_bytes below 0 means no cap; expiry_us is how old a record may get."""

    def __init__(self, disk: Disk, cap_bytes: int, expiry_us: int, account: Ledger | None = None) -> None:
        """account: goes on in a directory that has none, in place of one that was deleted."""
        self._disk = disk
        self.expiry_us = expiry_us
        self.cap = Cap(disk, cap_bytes)
        self.fates = Fates()
        found = recovery.recover(disk, self.cap.quarantine, account)
        self.cap.useless = found.useless
        self._ledger_file = found.ledger_file
        self.ledger = found.ledger_file.account
        self.trouble = Trouble(found.notes)
        size = self.cap.segment_size
        self.lanes = [Lane(i, disk, line, self._new_generation, size) for i, line in enumerate(self.ledger.lanes)]
        self.readers = [Reader(lane, disk, self.cap.quarantine, self.fates) for lane in self.lanes]
        self.cap.lanes = self.lanes
        self._kinds = Kinds(self.ledger.lanes)
        self._room = Room(self.cap, self.lanes, self.readers, self._ledger_file, self.fates, self.trouble)
        self.sync_us: list[int] = []
        self.sync_count = 0
        for lane, segments in zip(self.lanes, found.segments, strict=True):
            self._adopt(lane, segments)
        self.ledger.received = sum(self.ledger.refused) + self.ledger.duplicate + self.admitted()

    def _adopt(self, lane: Lane, segments: list[Segment]) -> None:
        line = lane.ledger
        for each in segments:
            if line.hole_first <= each.first_seq and each.last_seq < line.hole_next:
                self.cap.doomed.append(each)  # evicted and counted, but not yet unlinked
                continue
            lane.segments.append(each)
            if not each.sealed:
                each.fd = self._disk.open(each.name)
                lane.seal()

    def _new_generation(self) -> int:
        self.ledger.segment_generation += 1
        return self.ledger.segment_generation

    def close(self, now_us: int) -> None:
        """Seal what is open, write the ledger, let go of the directory."""
        for lane in self.lanes:
            lane.seal()
        self.flush(now_us)
        self._close_files()

    def _close_files(self) -> None:
        for lane in self.lanes:
            lane.close_files()
        self._ledger_file.close()
        self._disk.close()

    def is_lost(self) -> bool:
        """The directory or its ledger was deleted; or nothing can be written any more and another directory is in its
        place. There is no use in going on with it then."""
        doubted, self.trouble.in_doubt = self.trouble.in_doubt, False
        if self._disk.is_deleted() or self._ledger_file.is_deleted():
            return True
        return doubted and not self._disk.in_place()

    def let_go(self, now_us: int) -> Ledger:
        """Close everything as it is. The account, for the spool that takes this one's place; where the ledger alone is
        missing it is written anew."""
        if self._disk.in_place():
            with contextlib.suppress(OSError):  # a disk that takes nothing: what it holds begins a new account
                self._ledger_file.make_anew(now_us)
        self._close_files()
        return self.ledger

    def flush(self, now_us: int) -> None:
        """Write and sync the ledger if it changed, then remove the segments it is done with."""
        self._room.flush(now_us)

    def take_notes(self) -> list[str]:
        """Sentences for the log since the last call."""
        notes = self.trouble.take_notes()
        for lane in self.lanes:
            notes += lane.notes
            lane.notes = []
        return notes

    # -- in --

    def append(self, batch: Batch, lanes: set[int], host: Host, now_us: int) -> None:
        """Make the batch's records of these lanes durable; every entry has its verdict then."""
        self._kinds.mark(batch)
        for index in sorted(lanes):
            self._append_lane(self.lanes[index], batch, host, now_us)
        self._ledger_file.changed = True

    def _append_lane(self, lane: Lane, batch: Batch, host: Host, now_us: int) -> None:
        entry, failures, rolls = 0, 0, 0
        while entry < batch.entry_count:
            try:
                if rolls > ROLLS_MAX:
                    raise OSError(errno.ENOSPC, "no segment has room for the record")
                if lane.must_roll(host, now_us):
                    self._room.roll(lane, host, now_us, batch.largest_frame(entry))
                before = lane.ledger.next_seq
                behind = lane.append(batch, entry, now_us)
                if lane.ledger.next_seq != before:
                    self._count_sync(lane.sync_us)
                    self.trouble.is_over(INTAKE)
                    rolls = 0
                elif behind < batch.entry_count:  # the next frame doesn't fit into this segment
                    rolls += 1
                    self._room.roll(lane, host, now_us, batch.largest_frame(behind))
                entry = behind
            except OSError as error:
                failures += 1
                self.trouble.in_doubt = self.trouble.in_doubt or error.errno not in FULL
                if error.errno in FULL or failures > 1:
                    reason = REASON_NO_SPACE if error.errno in FULL else REASON_IO
                    batch.refuse_rest(lane.index, entry, reason)
                    self.trouble.lasts(INTAKE, f"records are refused: {error.strerror}")
                    return

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
            self._ledger_file.changed = True

    def count_refused(self, reason: int) -> None:
        """One that came in another way than by a connection, and can't be admitted."""
        self.ledger.received += 1
        self.ledger.refused[reason] += 1
        self._ledger_file.changed = True

    # -- out --

    def head(self, lane: int, records_max: int, bytes_max: int, now_us: int) -> Waiting | None:
        """The next records of a lane that may be sent now. OSError: the disk doesn't let us; later it may."""
        self._see_that_nothing_is_owed(now_us)
        before = self.ledger.lanes[lane].cursor
        try:
            waiting = self.readers[lane].head(records_max, bytes_max, now_us, self.expiry_us)
        finally:
            if self.ledger.lanes[lane].cursor != before:
                self._ledger_file.owe()
        if waiting is not None:
            self._see_that_nothing_is_owed(now_us)
        return waiting

    def _see_that_nothing_is_owed(self, now_us: int) -> None:
        """What comes behind would be sent before what a restart finds again: also what expired, if the clock is put
        back then. OSError where the ledger can't be written."""
        if self._ledger_file.owes:
            self.flush(now_us)
            if self._ledger_file.owes:
                raise OSError(errno.EIO, "its ledger can't be written")

    def waits(self, now_us: int) -> list[bool]:
        """The lanes of which something may be sent now."""
        return [lane.waits() and reader.due_us <= now_us for lane, reader in zip(self.lanes, self.readers, strict=True)]

    def deferred_until_us(self) -> list[int]:
        """When the lanes whose head is deferred may go on."""
        return [reader.due_us for reader in self.readers if reader.due_us]

    def pin(self, lane: int, waiting: Waiting | None) -> None:
        """These records are with the courier: eviction leaves them. None: nothing of the lane is."""
        self.lanes[lane].in_flight_to = waiting.first_seq + waiting.count - 1 if waiting is not None else 0

    def settle(self, lane: int, waiting: Waiting, settlement: Settlement) -> None:
        """The first records of what head() gave are final. Durable after flush()."""
        self.readers[lane].advance(waiting, settlement.delivered + settlement.rejected)
        line = self.ledger.lanes[lane]
        line.delivered += settlement.delivered
        line.rejected += settlement.rejected
        self._ledger_file.changed = True
        reached("settled")

    def put_away(self, lane: int, seq: int, now_us: int) -> None:
        """The record at the head of a lane can't be delivered by any means: it goes to quarantine/ and counts as
        rejected."""
        try:
            waiting = self.head(lane, 1, 1, now_us)
        except OSError:
            return  # it is sent once more then
        if waiting is None or waiting.first_seq != seq:
            return  # it went another way meanwhile
        name = f"{segment.LANES[lane]}.{waiting.first_seq}.rec"
        kept = self.cap.quarantine.keep(name, waiting.records)
        where = f"quarantine/{name}" if kept else "nowhere: there is no room in quarantine/"
        self.trouble.note(f"a record ended the courier again and again: it is no longer sent, and kept in {where}")
        self.fates.add(waiting.ids(0, 1), fates.PUT_AWAY, now_us)
        self.settle(lane, waiting, Settlement(0, 1))

    def move_behind(self, lane: int, count: int, bytes_max: int, now_us: int) -> int:
        """The first count records of a lane, or fewer, are appended again at its end, so that those behind them can be
        sent; how many were. Nothing of the lane is with the courier. OSError: what was moved until then is."""
        target = self.lanes[lane]
        try:
            return carrying.head_to_end(
                target,
                self.readers[lane],
                count,
                bytes_max,
                lambda host: self._room.roll_to_carry(target, host, now_us),
            )
        finally:
            self._ledger_file.owe()  # also where a part is done, and a flush came in between
            self.flush(now_us)
            self._room.set_aside()

    def purge(self, lane: int, pattern: bytes | None, until_seq: int, now_us: int) -> Purged:
        """Drop waiting records of a lane that are numbered below until_seq, at the owner's word: all, or those of a
        class (a/b/c, or a/*). A piece at a time: done says whether that was all. Where anything of the lane is with the
        courier nothing is done. OSError: nothing more can be done now."""
        if self.lanes[lane].in_flight_to:
            return Purged(0, 0, False)
        target, reader = self.lanes[lane], self.readers[lane]
        try:
            if pattern is None:
                purged = purge.drop(target, reader, until_seq)
            else:
                purged = purge.sift(
                    target, reader, pattern, until_seq, lambda host: self._room.roll_to_carry(target, host, now_us)
                )
        finally:
            self._ledger_file.owe()  # also where a part is done, and a flush came in between
        self.fates.add(purged.ids, fates.PURGED, now_us)
        self.flush(now_us)
        if purged.done:
            self._room.leave_nothing_behind(now_us)
        self._room.set_aside()
        return purged

    def expire(self, now_us: int) -> int:
        """Whole segments whose records are all too old go, also where nothing is delivered; how many records that
        was."""
        count = sum(
            reader.expire(now_us, self.expiry_us)
            for lane, reader in zip(self.lanes, self.readers, strict=True)
            if not lane.in_flight_to
        )
        if count:
            self._ledger_file.owe()
        return count

    def clock_jumped(self, shift_us: int) -> None:
        """The wall clock was put forward (or back) by so much: what waits did not age by that."""
        for line in self.ledger.lanes:
            older_us = line.shift_us if line.cursor < line.shift_seq else 0
            line.shift_us = max(older_us + shift_us, shift_us)
            line.shift_seq = line.next_seq
        self._ledger_file.changed = True

    # -- figures --

    def admitted(self) -> int:
        """Records ever taken in."""
        return sum(line.admitted for line in self.ledger.lanes)

    def pending(self) -> int:
        """Records that wait."""
        return sum(lane.pending() for lane in self.lanes)

    def disk_bytes(self) -> int:
        """Bytes of all files of the directory."""
        return self.cap.used()

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
