# SPDX-License-Identifier: Apache-2.0
"""Records of a lane that are appended once more at its end, under new numbers: with their machine id, times and order.

The frames are built anew and synced here; the ledger, and letting go of where they lay before, is the spool's affair.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemd.frames import Spans
    from telemd.lane import Lane
    from telemd.reader import Reader
    from telemd.segment import Host


def head_to_end(lane: Lane, reader: Reader, count: int, bytes_max: int, roll: Callable[[Host], None]) -> int:
    """The first records of a lane, count of them or fewer, to its end; how many. roll: begin the lane's next segment,
    for such a host. OSError: what was done until then holds. Never while any of the lane is with the courier."""
    found = reader.at_cursor(count, bytes_max)
    if found is None:
        return 0
    at, spans, base = found
    line = lane.ledger
    shift_us = line.shift_us if line.cursor < line.shift_seq else 0
    count = min(spans.contiguous(), count)
    begin = 0
    while begin < count:
        end = append_again(lane, spans, list(range(begin, count)), count, shift_us, at.header.host)
        if end == begin:
            roll(at.header.host)
            continue
        reader.pass_to(at, spans, base, end)
        begin = end
    return count


def append_again(lane: Lane, spans: Spans, kept: list[int], count: int, shift_us: int, host: Host) -> int:
    """Append as many of those that are kept as the active segment takes, in one write; the first index that is not yet
    dealt with, count where all are."""
    active = lane.active()
    if not kept:
        return count
    if active is None or active.header.host != host:
        return kept[0]
    room = lane.room()
    frames: list[bytes] = []
    admitted_us: list[int] = []
    behind = count
    for index in kept:
        frame = spans.rebuilt(index, active.header.generation, lane.ledger.next_seq + len(frames), shift_us)
        if len(frame) > room:
            behind = index
            break
        frames.append(frame)
        admitted_us.append(spans.admitted_us(index) + shift_us)
        room -= len(frame)
    if frames:
        lane.carry(frames, admitted_us)
    return behind
