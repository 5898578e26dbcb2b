# SPDX-License-Identifier: Apache-2.0
"""Which record ends the courier? Found by halving what it is given; a single one that does it again and again is
condemned.

Pure: told of deaths and answers, says how many records a lane's next batch may have.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

DEATHS_OF_A_BATCH: Final = 2
"""So often a batch of several may end the courier before it is halved: the first time may be chance."""

DEATHS_OF_ONE: Final = 3
"""So often a single record may, before it is put away."""


class Suspicion:
    """At most one lane is under suspicion: the courier takes one batch after the other, so that of several under way
    the first is meant. While there is a suspicion only one batch should be under way."""

    __slots__ = ("_deaths", "_first_seq", "_size", "lane")

    def __init__(self) -> None:
        self.lane: int | None = None
        self._first_seq = 0
        self._size = 0
        self._deaths = 0

    def size_for(self, lane: int, full: int) -> int:
        """Records that the lane's next batch may have."""
        return min(self._size, full) if lane == self.lane else full

    def died(self, lane: int, first_seq: int, count: int) -> bool:
        """The courier ended with that batch in its hands. True: the batch is one record, and it is condemned."""
        if (lane, first_seq) != (self.lane, self._first_seq) or count < self._size:
            self.lane, self._first_seq, self._size, self._deaths = lane, first_seq, count, 0
        self._deaths += 1
        if count == 1:
            if self._deaths < DEATHS_OF_ONE:
                return False
            self.clear()
            return True
        if self._deaths >= DEATHS_OF_A_BATCH:
            self._size = count // 2
            self._deaths = 0
        return False

    def survived(self, lane: int, count: int, full: int) -> None:
        """The courier answered a batch of that lane: the next one may be twice as large."""
        if lane == self.lane:
            self._deaths = 0
            self._size = max(self._size, count) * 2
            if self._size >= full:
                self.clear()

    def clear(self) -> None:
        """Nothing is suspected."""
        self.lane = None
