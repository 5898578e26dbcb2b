# SPDX-License-Identifier: Apache-2.0
"""What waits in the spool, for somebody who asks: a page of it, one record by its id, how many are of a class.

Changes nothing. Each call looks at a bounded piece and says where the next one goes on, so that telemd's loop is never
held up; what is admitted or delivered in between is seen or not.
"""

from __future__ import annotations

from libtelemetry import wire
from libtelemetry.errors import RecordError
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from telemd.frames import Spans
    from telemd.lane import Lane
    from telemd.segment import Host
    from telemd.segmentfile import Segment
    from telemd.spool import Spool

PAGE_RECORDS_MAX: Final = 100
PAGE_BYTES_MAX: Final = 1024 * 1024
SEARCH_BYTES: Final = 4 * 1024 * 1024
"""A call looks through so many bytes of segments, or one segment."""

Place = tuple[int, int]
"""Lane and sequence number from which on to look."""
BEGIN: Final = (0, 0)


class Kept:
    """One waiting record. before: how many of its lane wait before it."""

    __slots__ = (
        "admitted_us",
        "before",
        "host",
        "lane",
        "not_before_us",
        "pid",
        "record",
        "seq",
        "uid",
        "with_courier",
    )

    def __init__(self, lane: Lane, host: Host, spans: Spans, index: int) -> None:
        self.lane = lane.index
        self.host = host
        self.seq = spans.seq(index)
        self.admitted_us = spans.admitted_us(index)
        self.not_before_us = spans.not_before_us(index)
        self.uid, self.pid = spans.sender(index)
        self.record = spans.record(index)
        self.with_courier = self.seq <= lane.in_flight_to
        cursor = lane.ledger.cursor
        self.before = sum(
            max(0, min(each.last_seq + 1, self.seq) - max(each.first_seq, cursor)) for each in lane.segments
        )

    def decoded(self) -> wire.DecodedRecord | None:
        """Taken apart; None where it breaks a rule, which what lies in the spool doesn't."""
        try:
            return wire.decode(self.record)
        except RecordError:
            return None


class Counted:
    """Records of a class among those looked at: how many, of how many, the number of the last one, and from where to go
    on (0: that was all)."""

    __slots__ = ("last_seq", "matching", "next_seq", "total")

    def __init__(self) -> None:
        self.matching = 0
        self.total = 0
        self.last_seq = 0
        self.next_seq = 0


def page(spool: Spool, lane: int, from_seq: int, records_max: int) -> tuple[list[Kept], int]:
    """Waiting records of a lane, oldest first, from that number on; and the number to go on from, 0 where that is all.
    OSError."""
    found: list[Kept] = []
    left_bytes = PAGE_BYTES_MAX
    for at in _segments(spool, lane, from_seq):
        for spans, first, some in _frames(spool, at, from_seq):
            for index in range(first, first + some):
                if len(found) == min(records_max, PAGE_RECORDS_MAX) or left_bytes <= 0:
                    return found, spans.seq(index)
                kept = Kept(spool.lanes[lane], at.header.host, spans, index)
                left_bytes -= len(kept.record)
                found.append(kept)
    return found, 0


def find(spool: Spool, record_id: bytes, place: Place) -> Kept | Place | None:
    """The waiting record of that id; or from where to look further; or None where none waits. OSError."""
    looked_bytes = 0
    for lane in range(place[0], len(LANES)):
        from_seq = place[1] if lane == place[0] else 0
        for at in _segments(spool, lane, from_seq):
            if looked_bytes and looked_bytes + at.end > SEARCH_BYTES:
                return lane, at.first_seq
            looked_bytes += at.end
            for spans, first, some in _frames(spool, at, from_seq):
                index = _index_of(spans.ids(first, some), record_id)
                if index is not None:
                    return Kept(spool.lanes[lane], at.header.host, spans, first + index)
    return None


def count(spool: Spool, lane: int, pattern: bytes, from_seq: int) -> Counted:
    """How many waiting records of a lane are of a class (a/b/c, or a/*), from that number on. OSError."""
    counted = Counted()
    looked_bytes = 0
    for at in _segments(spool, lane, from_seq):
        if looked_bytes and looked_bytes + at.end > SEARCH_BYTES:
            counted.next_seq = at.first_seq
            break
        looked_bytes += at.end
        for spans, first, some in _frames(spool, at, from_seq):
            chosen = spans.of_class(pattern, first, some)
            counted.total += some
            counted.matching += chosen.count(1)
            if 1 in chosen:
                counted.last_seq = spans.seq(first + chosen.rindex(1))
    return counted


def _segments(spool: Spool, lane: int, from_seq: int) -> list[Segment]:
    """Those in which something waits that is numbered from there on."""
    least = max(from_seq, spool.lanes[lane].ledger.cursor)
    return [each for each in spool.lanes[lane].segments if each.last_seq >= least]


def _frames(spool: Spool, at: Segment, from_seq: int) -> Iterator[tuple[Spans, int, int]]:
    lane = at.header.lane
    return spool.readers[lane].frames_from(at, max(from_seq, spool.lanes[lane].ledger.cursor))


def _index_of(ids: bytes, record_id: bytes) -> int | None:
    at = ids.find(record_id)
    while at >= 0 and at % 16:  # the end of one id and the begin of the next
        at = ids.find(record_id, at + 1)
    return at // 16 if at >= 0 else None
