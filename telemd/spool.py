# SPDX-License-Identifier: Apache-2.0
"""The durable queue: three lanes of segments and the ledger that accounts for them.

The only owner of the spool's directory. A record is durable when append() has returned; it is gone when the ledger that
says so is synced. What is sent when is delivery's affair.
"""

from __future__ import annotations

import contextlib
import errno

from telemd import eviction, fates, purge, recovery, segment
from telemd.fates import Fates
from telemd.faultpoint import reached
from telemd.lane import Lane
from telemd.ledger import SLOT_LEN, slot_offset
from telemd.purge import Purged
from telemd.quarantine import FILE_BYTES_MAX, FILES_MAX, Quarantine
from telemd.reader import Reader
from telemd.spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.disk import Disk
    from telemd.intake import Batch
    from telemd.ledger import Ledger
    from telemd.reader import Waiting
    from telemd.segment import Host
    from telemd.segmentfile import Segment

REASON_NO_SPACE = 16
REASON_IO = 19
SYNCS_KEPT = 4096
ROLLS_MAX = 2  # so many segments may be begun for one record
KINDS_MAX = 1024  # a lane remembers so many kinds of records, to protect the first of each
QUARANTINE_SHARE = 8  # it may take such a part of the cap
DROP_BYTES_MAX = 512 * 1024  # more in drop/ counts for no more than that, or it would keep itself from being taken in
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
        self.cap_bytes = cap_bytes
        self.expiry_us = expiry_us
        self.lanes: list[Lane] = []
        self._doomed: list[Segment] = []
        size = segment.size_for(cap_bytes)
        self.spare = Spare(disk, size)
        self._foreign_bytes = 0
        self.count_drop()
        self.fates = Fates()
        self.quarantine = Quarantine(disk, self._quarantine_room)
        found = recovery.recover(disk, self.quarantine, account)
        self._foreign_bytes += found.stuck_bytes
        self.ledger = found.ledger
        self._ledger_fd = found.ledger_fd
        self._ledger_dirty = True
        self._ledger_owes = (
            False  # what was evicted or purged stands in no ledger yet: a killed telemd would find it again
        )
        self._notes = found.notes
        self._trouble = ""
        self.in_doubt = False  # a write failed in a way that may mean that the directory isn't there any more
        self._kinds: list[dict[bytes, int]] = [{} for _ in segment.LANES]
        self.sync_us: list[int] = []
        self.sync_count = 0
        self.lanes = [Lane(i, disk, line, self._new_generation, size) for i, line in enumerate(self.ledger.lanes)]
        self.readers = [Reader(lane, disk, self.quarantine, self.fates) for lane in self.lanes]
        for lane, segments in zip(self.lanes, found.segments, strict=True):
            self._adopt(lane, segments)
        self.ledger.received = sum(self.ledger.refused) + self.ledger.duplicate + self.admitted()

    def _adopt(self, lane: Lane, segments: list[Segment]) -> None:
        line = lane.ledger
        for each in segments:
            if line.hole_first <= each.first_seq and each.last_seq < line.hole_next:
                self._doomed.append(each)  # evicted and counted, but not yet unlinked
                continue
            lane.segments.append(each)
            if not each.sealed:
                each.fd = self._disk.open(each.name)
                lane.seal()

    def close(self, now_us: int) -> None:
        """Seal what is open, write the ledger, let go of the directory."""
        for lane in self.lanes:
            lane.seal()
        self.flush(now_us)
        for lane in self.lanes:
            lane.close_files()
        self._disk.close_file(self._ledger_fd)
        self._disk.close()

    def is_lost(self) -> bool:
        """The directory or its ledger was deleted; or nothing can be written any more and another directory is in its
        place. There is no use in going on with it then."""
        doubted, self.in_doubt = self.in_doubt, False
        if self._disk.is_deleted() or self._disk.is_deleted(self._ledger_fd):
            return True
        return doubted and not self._disk.in_place()

    def let_go(self, now_us: int) -> Ledger:
        """Close everything as it is. The account, for the spool that takes this one's place; where the ledger alone is
        missing it is written anew."""
        if self._disk.in_place():
            with contextlib.suppress(OSError):  # a disk that takes nothing: what it holds begins a new account
                fd = self._disk.create(recovery.LEDGER_NAME, 2 * SLOT_LEN)
                self._disk.write(fd, self.ledger.pack(now_us), slot_offset(self.ledger.generation))
                self._disk.close_file(fd)
                self._disk.sync_directory()
        for lane in self.lanes:
            lane.close_files()
        self._disk.close_file(self._ledger_fd)
        self._disk.close()
        return self.ledger

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
        self._mark_kinds(batch)
        for index in sorted(lanes):
            self._append_lane(self.lanes[index], batch, host, now_us)
        self._ledger_dirty = True

    def _mark_kinds(self, batch: Batch) -> None:
        """The first record of a kind that waits is what eviction protects."""
        for run in batch.runs():
            if run.refused or run.lane == len(self.lanes) - 1:
                continue
            line, kinds, kind = self.lanes[run.lane].ledger, self._kinds[run.lane], run.classification
            if kinds.get(kind, 0) >= line.cursor:
                continue
            run.mark_first()
            kinds.pop(kind, None)
            kinds[kind] = line.next_seq
            if len(kinds) > KINDS_MAX:
                del kinds[next(iter(kinds))]

    def _append_lane(self, lane: Lane, batch: Batch, host: Host, now_us: int) -> None:
        entry, failures, rolls = 0, 0, 0
        while entry < batch.entry_count:
            try:
                if rolls > ROLLS_MAX:
                    raise OSError(errno.ENOSPC, "no segment has room for the record")
                if lane.must_roll(host, now_us):
                    self._roll(lane, host, now_us, batch.largest_frame(entry))
                before = lane.ledger.next_seq
                reached = lane.append(batch, entry, now_us)
                if lane.ledger.next_seq != before:
                    self._count_sync(lane.sync_us)
                    self._trouble = ""
                    rolls = 0
                elif reached < batch.entry_count:
                    rolls += 1
                    self._roll(
                        lane, host, now_us, batch.largest_frame(reached)
                    )  # the next frame doesn't fit into this segment
                entry = reached
            except OSError as error:
                failures += 1
                self.in_doubt = self.in_doubt or error.errno not in _FULL
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

    def count_refused(self, reason: int) -> None:
        """One that came in another way than by a connection, and can't be admitted."""
        self.ledger.received += 1
        self.ledger.refused[reason] += 1
        self._ledger_dirty = True

    def count_drop(self) -> None:
        """See anew how much lies in drop/."""
        self._drop_bytes = min(self._disk.folder_bytes("drop"), DROP_BYTES_MAX)

    # -- room --

    def _roll(self, lane: Lane, host: Host, now_us: int, reserve: int) -> None:
        """The next segment of a lane; where the cap or the disk leaves no room, in the place of what may go. reserve:
        bytes that stay free in it for the newcomer."""
        lane.seal()
        if not self._over_cap(lane.segment_size):
            try:
                lane.roll(host, now_us)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
            else:
                self._ensure_spare(lane.segment_size)
                return
        self._roll_in_place_of_others(lane, host, now_us, reserve)

    def _over_cap(self, more: int) -> bool:
        return self.cap_bytes >= 0 and self.disk_bytes() + more > self.cap_bytes

    def _roll_in_place_of_others(self, lane: Lane, host: Host, now_us: int, reserve: int) -> None:
        self._see_that_the_ledger_can_be_written(now_us)
        if self._victim(lane) is None and self._over_cap(lane.segment_size):
            raise OSError(errno.ENOSPC, "the spool is full, and nothing in it may make room")
        if self.spare.bytes:  # so that the first of each kind has a place to be carried to
            self.spare.become_segment(lane, host, now_us)
        self._make_room(lane, now_us, reserve)
        if lane.active() is None:
            if self.spare.bytes:
                self.spare.become_segment(lane, host, now_us)
            elif self._over_cap(lane.segment_size):
                raise OSError(errno.ENOSPC, "the spool is full, and nothing more in it may make room")
            else:
                self._roll_on_full_disk(lane, host, now_us)
            self._make_room(lane, now_us, reserve)  # for a spare, or nothing would be protected the next time either
        self._ensure_spare(lane.segment_size)

    def _see_that_the_ledger_can_be_written(self, now_us: int) -> None:
        """Or nobody would know what was evicted. What is delivered goes on this occasion. OSError where it can't be."""
        if self._ledger_owes or any(lane.finished() for lane in self.lanes):
            self._ledger_dirty = True
            self.flush(now_us)
            if self._ledger_dirty:
                raise OSError(errno.EIO, "the spool's ledger can't be written")
        else:
            self.ledger.generation += 1
            try:
                self._write_ledger(now_us)
            finally:
                self.ledger.generation -= 1  # the eviction's own flush writes the same slot once more, and syncs it

    def _roll_on_full_disk(self, lane: Lane, host: Host, now_us: int) -> None:
        """What others have filled up below the cap is no reason to lose what was accepted, but for a higher lane."""
        try:
            lane.roll(host, now_us)
        except OSError as error:
            chosen = eviction.victim(self.lanes, lane.index + 1) if error.errno in _FULL else None
            if chosen is None:
                raise
            self._evict(*chosen, now_us, 0)
            if self.spare.bytes:
                self.spare.become_segment(lane, host, now_us)
            else:
                lane.roll(host, now_us)

    def _make_room(self, lane: Lane, now_us: int, reserve: int) -> None:
        """Evict what this lane's newcomers may displace, until there is a spare or room for one under the cap."""
        while not self.spare.bytes and self._over_cap(lane.segment_size):
            chosen = self._victim(lane)
            if chosen is None:
                return
            self._evict(*chosen, now_us, reserve if chosen[0] is lane else 0)

    def _evict(self, lane: Lane, doomed: Segment, now_us: int, reserve: int) -> None:
        try:
            lost = eviction.evict(lane, self.readers[lane.index], doomed, reserve)
        except FileNotFoundError:
            if doomed in lane.segments:
                raise
            return  # somebody deleted it: there is room now
        reached("evicted")
        self.fates.add(lost, fates.EVICTED, now_us)
        lane.detach(doomed)
        self._doomed.append(doomed)
        self._ledger_dirty = self._ledger_owes = True
        self.flush(now_us)
        if self._doomed:
            raise OSError(errno.EIO, "the spool's ledger can't be written")

    def _victim(self, newcomer: Lane) -> tuple[Lane, Segment] | None:
        found = eviction.victim(self.lanes, newcomer.index)
        if found is None:
            for lower in self.lanes[newcomer.index + 1 :]:
                lower.seal()
            found = eviction.victim(self.lanes, newcomer.index)
        return found

    def _ensure_spare(self, size: int) -> None:
        """Without a spare the first of each kind may not be saved."""
        if self._over_cap(size):
            return
        try:
            self.spare.make()
        except OSError as error:
            if error.errno not in _FULL:
                self._notes.append(f"no segment could be set aside ({error.strerror}), ignoring")

    def _quarantine_room(self) -> int:
        if self.cap_bytes < 0:
            return FILES_MAX * FILE_BYTES_MAX - self.quarantine.bytes
        return min(self.cap_bytes // QUARANTINE_SHARE - self.quarantine.bytes, self.cap_bytes - self.disk_bytes())

    # -- out --

    def head(self, lane: int, records_max: int, bytes_max: int, now_us: int) -> Waiting | None:
        """The next records of a lane that may be sent now. OSError: the disk doesn't let us; later it may."""
        if self._ledger_owes:
            # What comes behind would be sent before what a restart finds again.
            self.flush(now_us)
            if self._ledger_owes:
                raise OSError(errno.EIO, "its ledger can't be written")
        before = self.ledger.lanes[lane].cursor
        try:
            return self.readers[lane].head(records_max, bytes_max, now_us, self.expiry_us)
        finally:
            self._ledger_dirty = self._ledger_dirty or self.ledger.lanes[lane].cursor != before

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
        self._ledger_dirty = True
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
        kept = self.quarantine.keep(name, waiting.records)
        where = f"quarantine/{name}" if kept else "nowhere: there is no room in quarantine/"
        self._notes.append(f"a record ended the courier again and again: it is no longer sent, and kept in {where}")
        self.fates.add(waiting.ids(0, 1), fates.PUT_AWAY, now_us)
        self.settle(lane, waiting, Settlement(0, 1))

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
                    target, reader, pattern, until_seq, lambda host: self._roll_to_carry(target, host, now_us)
                )
        finally:
            self._ledger_dirty = self._ledger_owes = True  # also where a part is done, and a flush came in between
        self.fates.add(purged.ids, fates.PURGED, now_us)
        self.flush(now_us)
        if purged.done:
            self._leave_nothing_behind(now_us)
        self._ensure_spare(target.segment_size)
        return purged

    def _leave_nothing_behind(self, now_us: int) -> None:
        """What was evicted before may still be read in the spare, and behind the last frame of an open segment."""
        for lane in self.lanes:
            lane.seal()
        self.flush(now_us)
        try:
            self.spare.give_up()
        except OSError as error:
            self._notes.append(
                f"the file spare can't be removed ({error.strerror}): what was evicted may still be in it"
            )

    def _roll_to_carry(self, lane: Lane, host: Host, now_us: int) -> None:
        """The next segment of a lane for records that are carried: nothing else is evicted for it."""
        lane.seal()
        self._ledger_dirty = True
        self.flush(now_us)  # what was passed goes first
        if not self._over_cap(lane.segment_size):
            lane.roll(host, now_us)
        elif self.spare.bytes:
            self.spare.become_segment(lane, host, now_us)
        else:
            raise OSError(errno.ENOSPC, "the spool is full, and there is no room to keep the others")

    def expire(self, now_us: int) -> int:
        """Whole segments whose records are all too old go, also where nothing is delivered; how many records that
        was."""
        count = sum(
            reader.expire(now_us, self.expiry_us)
            for lane, reader in zip(self.lanes, self.readers, strict=True)
            if not lane.in_flight_to
        )
        self._ledger_dirty = self._ledger_dirty or count > 0
        return count

    def clock_jumped(self, shift_us: int) -> None:
        """The wall clock was put forward (or back) by so much: what waits did not age by that."""
        for line in self.ledger.lanes:
            older_us = line.shift_us if line.cursor < line.shift_seq else 0
            line.shift_us = max(older_us + shift_us, shift_us)
            line.shift_seq = line.next_seq
        self._ledger_dirty = True

    def flush(self, now_us: int) -> None:
        """Write and sync the ledger if it changed, then remove the segments it is done with."""
        if self._ledger_dirty:
            self.ledger.generation += 1
            reached("ledger-due")
            try:
                self._write_ledger(now_us)
                reached("ledger-written")
                self._disk.sync(self._ledger_fd)
                reached("ledger-synced")
            except OSError as error:
                self.in_doubt = True
                self.ledger.generation -= 1  # the next try is at the same slot: the other one is the last that is good
                self._note_trouble(f"the spool's ledger could not be written ({error.strerror}): it is tried again")
                return
            self._ledger_dirty = self._ledger_owes = False
        for lane in self.lanes:
            for done in lane.finished():
                lane.remove(done)
        for doomed in self._doomed:
            if self._over_cap(self.spare.size - doomed.size) or not self.spare.make_of(doomed):
                self.lanes[doomed.header.lane].unlink(doomed)
        self._doomed.clear()
        for lane in self.lanes:
            lane.sweep()

    def _write_ledger(self, now_us: int) -> None:
        self._disk.write(self._ledger_fd, self.ledger.pack(now_us), slot_offset(self.ledger.generation))

    # -- figures --

    def admitted(self) -> int:
        """Records ever taken in."""
        return sum(line.admitted for line in self.ledger.lanes)

    def pending(self) -> int:
        """Records that wait."""
        return sum(lane.pending() for lane in self.lanes)

    def disk_bytes(self) -> int:
        """Bytes of all files of the directory."""
        doomed = sum(each.size for each in self._doomed)
        lanes = sum(lane.disk_bytes() for lane in self.lanes)
        others = self.quarantine.bytes + self._foreign_bytes + self._drop_bytes
        return lanes + doomed + self.spare.bytes + others + 2 * SLOT_LEN

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
