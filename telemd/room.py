# SPDX-License-Identifier: Apache-2.0
"""Room for what comes: the next segment of a lane, in the place of what may go where the cap or the disk leaves none.

The only one that begins segments and lets files go, and never before the ledger that says so is synced. Which segment
goes and what of it is saved is eviction's rule.
"""

from __future__ import annotations

import errno

from telemd import eviction, fates
from telemd.faultpoint import reached
from telemd.segment import LANES
from telemd.trouble import LEDGER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemd.cap import Cap
    from telemd.fates import Fates
    from telemd.lane import Lane
    from telemd.ledgerfile import LedgerFile
    from telemd.reader import Reader
    from telemd.segment import Host
    from telemd.segmentfile import Segment
    from telemd.trouble import Trouble

METRIC: Final = LANES.index("metric")
METRIC_SHARE: Final = 2
"""The lane of metrics has such a part of the cap: what is measured without a break would fill it all."""

STUCK_MAX: Final = 3
"""Where so many files can't be removed nothing more is evicted: everything would go, and make no room."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Room:
    """Of one spool: its lanes with their readers under its cap."""

    __slots__ = ("_cap", "_fates", "_lanes", "_ledger_file", "_readers", "_trouble")

    def __init__(
        self,
        cap: Cap,
        lanes: Sequence[Lane],
        readers: Sequence[Reader],
        ledger_file: LedgerFile,
        remembered: Fates,
        trouble: Trouble,
    ) -> None:
        self._cap = cap
        self._lanes = lanes
        self._readers = readers
        self._ledger_file = ledger_file
        self._fates = remembered
        self._trouble = trouble

    # -- letting go --

    def flush(self, now_us: int) -> None:
        """Write and sync the ledger if it changed, then remove the files it is done with. What fails is noted, and
        tried again at the next call."""
        try:
            self._ledger_file.commit(now_us)
        except OSError as error:
            self._trouble.in_doubt = True
            sentence = f"the spool's ledger could not be written ({error.strerror}): it is tried again"
            self._trouble.lasts(LEDGER, sentence)
            return
        self._trouble.is_over(LEDGER)
        cap = self._cap
        for lane in self._lanes:
            for done in lane.finished():
                lane.remove(done)
        for doomed in cap.doomed:
            if cap.is_over(cap.spare.size - doomed.size) or not cap.spare.make_of(doomed):
                self._lanes[doomed.header.lane].unlink(doomed)
        cap.doomed.clear()
        for lane in self._lanes:
            lane.sweep()
        for sentence in cap.sweep():
            self._trouble.note(sentence)

    def leave_nothing_behind(self, now_us: int) -> None:
        """What was evicted before may still be read in the spare, and behind the last frame of an open segment."""
        for lane in self._lanes:
            lane.seal()
        self.flush(now_us)
        try:
            self._cap.spare.give_up()
        except OSError as error:
            self._trouble.note(
                f"the file spare can't be removed ({error.strerror}): what was evicted may still be in it"
            )

    # -- the next segment --

    def roll(self, lane: Lane, host: Host, now_us: int, reserve: int) -> None:
        """The next segment of a lane; where the cap or the disk leaves no room, in the place of what may go. reserve:
        bytes that stay free in it for the newcomer. OSError: there is none."""
        lane.seal()
        if self._cap.is_over(lane.segment_size) or not self._rolled(lane, host, now_us):
            self._roll_in_place_of_others(lane, host, now_us, reserve)
        if lane.index == METRIC:
            self._keep_to_its_share(lane, now_us, reserve)

    def _rolled(self, lane: Lane, host: Host, now_us: int) -> bool:
        """False where the disk has no room."""
        try:
            lane.roll(host, now_us)
        except OSError as error:
            if error.errno not in FULL:
                raise
            return False
        self.set_aside()
        return True

    def _keep_to_its_share(self, lane: Lane, now_us: int, reserve: int) -> None:
        """The oldest goes, however much room others leave."""
        while 0 <= self._cap.bytes // METRIC_SHARE < lane.disk_bytes():
            chosen = self._oldest(lane.index)
            if chosen is None:
                return
            self._see_that_the_ledger_can_be_written(now_us)
            self._evict(*chosen, now_us, reserve)

    def roll_to_carry(self, lane: Lane, host: Host, now_us: int) -> None:
        """The next segment of a lane for records that are carried: nothing else is evicted for it. OSError: there is
        none."""
        lane.seal()
        self._ledger_file.changed = True
        self.flush(now_us)  # what was passed goes first
        if not self._cap.is_over(lane.segment_size):
            lane.roll(host, now_us)
        elif self._cap.spare.bytes:
            self._cap.spare.become_segment(lane, host, now_us)
        else:
            raise OSError(errno.ENOSPC, "the spool is full, and there is no room to keep the others")

    def set_aside(self) -> None:
        """A spare, if there is none and the cap allows it: without one the first of each kind may not be saved."""
        if self._cap.is_over(self._cap.segment_size):
            return
        try:
            self._cap.spare.make()
        except OSError as error:
            if error.errno not in FULL:
                self._trouble.note(f"no segment could be set aside ({error.strerror}), ignoring")

    def _roll_in_place_of_others(self, lane: Lane, host: Host, now_us: int, reserve: int) -> None:
        spare = self._cap.spare
        self._see_that_the_ledger_can_be_written(now_us)
        if self._victim(lane, lane.index) is None and self._cap.is_over(lane.segment_size):
            raise OSError(errno.ENOSPC, "the spool is full, and nothing in it may make room")
        if spare.bytes:  # so that the first of each kind has a place to be carried to
            spare.become_segment(lane, host, now_us)
        self._make_room(lane, now_us, reserve)
        if lane.active() is None:
            if spare.bytes:
                spare.become_segment(lane, host, now_us)
            elif self._cap.is_over(lane.segment_size):
                raise OSError(errno.ENOSPC, "the spool is full, and nothing more in it may make room")
            else:
                self._roll_on_full_disk(lane, host, now_us)
            self._make_room(lane, now_us, reserve)  # for a spare, or nothing would be protected the next time either
        self.set_aside()

    def _see_that_the_ledger_can_be_written(self, now_us: int) -> None:
        """Or nobody would know what was evicted. What is delivered goes on this occasion. OSError where it can't be."""
        if self._ledger_file.owes or any(lane.finished() for lane in self._lanes):
            self._ledger_file.changed = True
            self._write_ledger(now_us)
        else:
            self._ledger_file.try_to_write(now_us)

    def _write_ledger(self, now_us: int) -> None:
        """flush() that must not fail. OSError where it did."""
        self.flush(now_us)
        if self._ledger_file.changed:
            raise OSError(errno.EIO, "the spool's ledger can't be written")

    def _roll_on_full_disk(self, lane: Lane, host: Host, now_us: int) -> None:
        """What others have filled up below the cap is no reason to lose what was accepted, but for a higher lane."""
        try:
            lane.roll(host, now_us)
        except OSError as error:
            chosen = self._victim(lane, lane.index + 1) if error.errno in FULL else None
            if chosen is None:
                raise
            self._evict(*chosen, now_us, 0)
            if self._cap.spare.bytes:
                self._cap.spare.become_segment(lane, host, now_us)
            else:
                lane.roll(host, now_us)

    # -- in the place of others --

    def _make_room(self, lane: Lane, now_us: int, reserve: int) -> None:
        """Evict what this lane's newcomers may displace, until there is a spare or room for one under the cap."""
        while not self._cap.spare.bytes and self._cap.is_over(lane.segment_size):
            chosen = self._victim(lane, lane.index)
            if chosen is None:
                return
            self._evict(*chosen, now_us, reserve if chosen[0] is lane else 0)

    def _victim(self, newcomer: Lane, highest: int) -> tuple[Lane, Segment] | None:
        """What goes for it of that lane and those below. What is being written there goes only for a higher lane, and
        where there is nothing else."""
        found = self._oldest(highest)
        if found is None:
            for lower in self._lanes[newcomer.index + 1 :]:
                lower.seal()
            found = self._oldest(highest)
        return found

    def _oldest(self, highest: int) -> tuple[Lane, Segment] | None:
        """None where nothing may go, or where that would make no room."""
        if sum(len(each.leftover) for each in self._lanes) >= STUCK_MAX:
            return None
        return eviction.victim(self._lanes, highest)

    def _evict(self, lane: Lane, doomed: Segment, now_us: int, reserve: int) -> None:
        try:
            lost = eviction.evict(lane, self._readers[lane.index], doomed, reserve)
        except FileNotFoundError:
            if doomed in lane.segments:
                raise
            return  # somebody deleted it: there is room now
        reached("evicted")
        self._fates.add(lost, fates.EVICTED, now_us)
        lane.detach(doomed)
        self._cap.doomed.append(doomed)
        self._ledger_file.owe()
        self._write_ledger(now_us)
