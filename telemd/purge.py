# SPDX-License-Identifier: Apache-2.0
"""Dropping waiting records at the owner's word: a whole lane, or those of a class. A bounded piece at each call.

The head of the lane is passed and counted as purged; what isn't meant is appended again under a new number, as eviction
does, with its machine id, its times and its order kept. Nothing is deleted here: the spool syncs the ledger and lets go
of what it is done with. Never called while records of the lane are with the courier.
"""

from __future__ import annotations

from telemd import carrying
from telemd.fates import ID_LEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from telemd.lane import Lane
    from telemd.reader import Reader
    from telemd.segment import Host

PIECE_RECORDS_MAX: Final = 1000
PIECE_BYTES_MAX: Final = 1024 * 1024


class Purged:
    """What one call did: records dropped, and kept by carrying; ids of the dropped ones, as far as they can be told.
    done: nothing more below the number that was named waits."""

    __slots__ = ("count", "done", "ids", "kept")

    def __init__(self, count: int, kept: int, done: bool, ids: bytes = b"") -> None:
        self.count = count
        self.kept = kept
        self.done = done
        self.ids = ids


def drop(lane: Lane, reader: Reader, until_seq: int) -> Purged:
    """All of the segment at the cursor that is numbered below until_seq."""
    line = lane.ledger
    found = reader.at_cursor(1, 1)
    if found is None or line.cursor >= until_seq:
        return Purged(0, 0, True)
    at = found[0]
    behind = min(at.last_seq + 1, until_seq)
    count = behind - line.cursor
    ids = b"".join(
        spans.ids(first, max(0, spans.count_up_to(behind - 1) - first))
        for spans, first, _ in reader.frames_from(at, line.cursor)
    )
    line.purged += count
    line.cursor = behind
    return Purged(count, 0, behind >= until_seq, ids)


def sift(lane: Lane, reader: Reader, pattern: bytes, until_seq: int, roll: Callable[[Host], None]) -> Purged:
    """The next records below until_seq: those whose classification fits go, the others are carried. roll: begin the
    lane's next segment, for such a host. OSError: what was done until then counts."""
    line = lane.ledger
    found = reader.at_cursor(PIECE_RECORDS_MAX, PIECE_BYTES_MAX)
    if found is None or line.cursor >= until_seq:
        return Purged(0, 0, True)
    at, spans, base = found
    count = min(spans.contiguous(), until_seq - line.cursor)
    shift_us = line.shift_us if line.cursor < line.shift_seq else 0
    chosen = spans.of_class(pattern, 0, count)
    ids = spans.ids(0, count)
    begin = dropped = 0
    while begin < count:
        end = carrying.append_again(
            lane, spans, [index for index in range(begin, count) if not chosen[index]], count, shift_us, at.header.host
        )
        if end == begin:
            roll(at.header.host)
            continue
        gone = sum(chosen[begin:end])
        line.purged += gone
        dropped += gone
        reader.pass_to(at, spans, base, end)
        begin = end
    gone_ids = b"".join(ids[ID_LEN * index : ID_LEN * (index + 1)] for index in range(count) if chosen[index])
    return Purged(dropped, count - dropped, line.cursor >= until_seq, gone_ids)
