# SPDX-License-Identifier: Apache-2.0
"""Making room in a full spool: which segment goes, and which of its records are carried to safety first.

The oldest segment of the lowest lane goes; the first record of each kind in it is appended again under a new number.
What is with the courier stays. The disk is the lanes' own; unlinking waits until the ledger that counts the loss is
synced.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemd.lane import Lane
    from telemd.reader import Reader
    from telemd.segmentfile import Segment


def victim(lanes: Sequence[Lane], newcomer: int) -> tuple[Lane, Segment] | None:
    """The segment that must go for records of the newcomer's lane: never one of a higher lane, never the one that is
    being written or sent. None where nothing may go."""
    for lane in reversed(lanes[newcomer:]):
        for each in lane.segments:
            pinned = each.first_seq <= lane.in_flight_to and each.last_seq >= lane.ledger.cursor
            if each.sealed and not pinned:
                return lane, each
    return None


def evict(lane: Lane, reader: Reader, doomed: Segment, reserve: int) -> bytes:
    """Carry the first of each kind, count the rest, and take the segment out of what the reader sees; the ids of the
    rest, as far as they can be told. The caller syncs the ledger and unlinks it. OSError where it can't be read or
    carried: nothing has changed then. reserve: bytes of the active segment that are left free for the newcomer: if what
    is carried took its room, each segment made for it would be filled the same way, for ever."""
    line = lane.ledger
    from_seq = max(doomed.first_seq, line.cursor)
    pending = max(0, doomed.last_seq - from_seq + 1)
    active = lane.active()
    # a segment tells of one machine id and one set of facts: records never change theirs to be saved
    takes = active is not None and active.header.host == doomed.header.host
    room = min(lane.room() - reserve, lane.segment_size // 2) if takes else 0
    carried: list[bytes] = []
    admitted_us: list[int] = []
    lost: list[bytes] = [] if room > 0 else _ids(reader, doomed, from_seq)
    for spans, begin, _ in reader.frames_from(doomed, from_seq) if room > 0 else ():
        for index in spans.firsts(begin):
            shift_us = line.shift_us if spans.seq(index) < line.shift_seq else 0
            seq = line.next_seq + len(carried)
            frame = spans.rebuilt(index, lane.segments[-1].header.generation, seq, shift_us)
            if len(frame) <= room:
                carried.append(frame)
                admitted_us.append(spans.admitted_us(index) + shift_us)
                room -= len(frame)
                lost.append(spans.ids(begin, index - begin))
                begin = index + 1
        lost.append(spans.ids(begin, spans.count - begin))
    if carried:
        lane.carry(carried, admitted_us)
    line.evicted += pending - len(carried)
    _step_over(lane, doomed)
    return b"".join(lost)


def _ids(reader: Reader, doomed: Segment, from_seq: int) -> list[bytes]:
    """Where nothing can be carried a segment that can't be read goes all the same, and is not remembered."""
    try:
        return [spans.ids(first, count) for spans, first, count in reader.frames_from(doomed, from_seq)]
    except OSError:
        return []


def _step_over(lane: Lane, doomed: Segment) -> None:
    """The reader doesn't take what was evicted for lost."""
    line = lane.ledger
    line.leave_hole()
    if doomed.last_seq < line.cursor:
        return
    before = [each for each in lane.segments if each.last_seq >= line.cursor and each.first_seq < doomed.first_seq]
    if not before:
        line.damaged += line.unheld(doomed.first_seq)
        line.cursor = doomed.last_seq + 1
    elif line.hole_first > line.cursor:
        line.damaged += doomed.first_seq - line.hole_next
        line.hole_next = doomed.last_seq + 1
    else:
        line.hole_first, line.hole_next = doomed.first_seq, doomed.last_seq + 1
