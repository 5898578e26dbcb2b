# SPDX-License-Identifier: Apache-2.0
"""The ledger: what became of every record, and how far delivery has come (docs/protocol.md, sections 4.2 and 4.5).

Pure: the two slots as bytes, the counters as values. The disk is the spool's.
"""

from __future__ import annotations

import struct

from telemd.segment import LANES, crc32c

SLOT_LEN = 4096
REASONS = 32

_MAGIC = b"TLMLED05"
_VERSION = 1
_HEAD = struct.Struct(f"<8sHHIQQqQ{REASONS}QQ")
_LANE = struct.Struct("<13Qq")


class LaneLedger:
    """One lane's line. seq numbers begin at 1; the rest are counts of records."""

    __slots__ = (
        "carried",
        "cursor",
        "damaged",
        "delivered",
        "evicted",
        "expired",
        "hole_first",
        "hole_next",
        "next_seq",
        "purged",
        "rejected",
        "shift_seq",
        "shift_us",
        "synced_seq",
    )

    def __init__(self) -> None:
        self.cursor = 1
        self.synced_seq = 0
        self.next_seq = 1
        self.carried = 0
        self.delivered = 0
        self.rejected = 0
        self.evicted = 0
        self.expired = 0
        self.purged = 0
        self.damaged = 0
        self.hole_first = 0  # [hole_first, hole_next) was evicted behind a segment that was in flight
        self.hole_next = 0
        self.shift_seq = 0  # records numbered below it were stamped by a clock that was shift_us behind
        self.shift_us = 0

    @property
    def admitted(self) -> int:
        """Records ever taken into the lane."""
        return self.next_seq - 1 - self.carried

    def leave_hole(self) -> None:
        """Past the numbers that were evicted while a segment before them was in flight, if the cursor has reached
        them."""
        if self.hole_first <= self.cursor < self.hole_next:
            self.cursor = self.hole_next

    def is_past(self, seq: int) -> bool:
        """What has that number is accounted for."""
        return seq < self.cursor or self.hole_first <= seq < self.hole_next

    def unheld(self, before_seq: int) -> int:
        """How many numbers from the cursor up to that one were not evicted: where no segment holds them they are
        lost."""
        evicted = min(self.hole_next, before_seq) - max(self.hole_first, self.cursor)
        return max(0, before_seq - self.cursor) - max(0, evicted)

    def pack(self) -> bytes:
        """112 bytes."""
        return _LANE.pack(
            self.cursor,
            self.synced_seq,
            self.next_seq,
            self.carried,
            self.delivered,
            self.rejected,
            self.evicted,
            self.expired,
            self.purged,
            self.damaged,
            self.hole_first,
            self.hole_next,
            self.shift_seq,
            self.shift_us,
        )

    def unpack(self, data: bytes, offset: int) -> None:
        """The opposite of pack()."""
        (
            self.cursor,
            self.synced_seq,
            self.next_seq,
            self.carried,
            self.delivered,
            self.rejected,
            self.evicted,
            self.expired,
            self.purged,
            self.damaged,
            self.hole_first,
            self.hole_next,
            self.shift_seq,
            self.shift_us,
        ) = _LANE.unpack_from(data, offset)


class Ledger:
    """The whole account. generation rises with every slot that is written."""

    __slots__ = ("duplicate", "generation", "lanes", "received", "refused", "segment_generation")

    def __init__(self) -> None:
        self.generation = 0
        self.segment_generation = 0
        self.received = 0
        self.refused = [0] * REASONS
        self.duplicate = 0
        self.lanes = [LaneLedger() for _ in LANES]

    def pack(self, written_us: int) -> bytes:
        """One slot: 4,096 bytes."""
        head = _HEAD.pack(
            _MAGIC,
            _VERSION,
            len(LANES),
            0,
            self.generation,
            self.segment_generation,
            written_us,
            self.received,
            *self.refused,
            self.duplicate,
        )
        body = (head + b"".join(lane.pack() for lane in self.lanes)).ljust(SLOT_LEN - 4, b"\0")
        return body + crc32c(body).to_bytes(4, "little")


def parse_slot(data: bytes) -> Ledger | None:
    """None where the slot was never written, is torn, or is of another version."""
    if len(data) != SLOT_LEN or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    magic, version, lanes, _, generation, segment_generation, _, received, *rest = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != _VERSION or lanes != len(LANES):
        return None
    ledger = Ledger()
    ledger.generation = generation
    ledger.segment_generation = segment_generation
    ledger.received = received
    ledger.refused = rest[:REASONS]
    ledger.duplicate = rest[REASONS]
    for index, lane in enumerate(ledger.lanes):
        lane.unpack(data, _HEAD.size + index * _LANE.size)
    return ledger


def parse(data: bytes) -> Ledger | None:
    """The newer good slot of a ledger file."""
    slots = [parse_slot(data[:SLOT_LEN]), parse_slot(data[SLOT_LEN : 2 * SLOT_LEN])]
    good = [slot for slot in slots if slot is not None]
    return max(good, key=lambda slot: slot.generation, default=None)


def slot_offset(generation: int) -> int:
    """Where the slot of that generation is written: the two take turns."""
    return generation % 2 * SLOT_LEN
