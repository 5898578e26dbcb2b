# SPDX-License-Identifier: Apache-2.0
"""When records whose server is out of reach are moved behind the others of their lane, so that those can go.

Pure: numbers and monotonic time are arguments. A lane is a queue with one cursor, and what can't be sent would hold up
all that comes after it. So it is appended again at the end, a lap at a time: a lap is over when all that waited at its
begin was at the head once. How often, and how much is written for it, is bounded here. Never touches a record.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LAP_MS: Final = 5_000
"""A lap begins no sooner after the last one: so long a newcomer may wait behind records whose server is away."""

BYTES_A_MS: Final = 256
"""What a lap moves delays the next one by so much more: 256 KB a second are written for it at most."""


class Laps:
    """Those of one lane. Sequence numbers are the lane's; next_seq is the number that its next record will have."""

    __slots__ = ("_moved", "_until_seq", "due_ms")

    def __init__(self) -> None:
        self.due_ms = 0
        self._until_seq = 0  # where the last lap began: what has a number from here on has come, or was moved, since
        self._moved = 0

    def wanted(self, head_seq: int, next_seq: int, now_ms: int) -> bool:
        """The record at the head, which can't be sent, should be moved now: a lap is under way, or may begin."""
        return head_seq < self._until_seq or (now_ms >= self.due_ms and self.newcomers(next_seq))

    def newcomers(self, next_seq: int) -> bool:
        """Something has come behind what was moved."""
        return next_seq - self._until_seq > self._moved

    def move(self, head_seq: int, next_seq: int, now_ms: int) -> None:
        """The head is about to be moved."""
        if head_seq >= self._until_seq:
            self._until_seq, self._moved = next_seq, 0
            self.due_ms = now_ms + LAP_MS

    def moved(self, count: int, size: int) -> None:
        """So many records, of so many bytes, were."""
        self._moved += count
        self.due_ms += size // BYTES_A_MS

    def none_behind(self, head_seq: int, next_seq: int) -> None:
        """Nothing waits but what can't be sent: there is nothing to be moved for."""
        self._until_seq, self._moved = head_seq, next_seq - head_seq

    def failed(self, head_seq: int, now_ms: int) -> None:
        """Nothing could be moved: not before the next lap is due."""
        self._until_seq, self._moved = head_seq, -1
        self.due_ms = now_ms + LAP_MS
