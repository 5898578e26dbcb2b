# SPDX-License-Identifier: Apache-2.0
"""A sum of amounts that stand at rising places, and leave in front: minutes of a window, numbers of records that wait.

Pure, and bounded: many places become fewer, and then an amount leaves late, never early. No rule about who may have how
much.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PLACES_MAX: Final = 64
"""Even, and more than a window has minutes, so that only numbers of records are ever joined."""


class Tally:
    """Amounts at places. What stands before `first`, which only rises, is gone."""

    __slots__ = ("places", "total")

    def __init__(self) -> None:
        self.places: dict[int, int] = {}
        self.total = 0

    def used(self, first: int) -> int:
        """The sum from that place on."""
        while self.places:
            oldest = next(iter(self.places))
            if oldest >= first:
                break
            self.total -= self.places.pop(oldest)
        return self.total

    def add(self, place: int, amount: int) -> None:
        """It leaves when `first` is past that place, or past the last one that was added to."""
        if amount <= 0:
            return
        if self.places:
            place = max(place, next(reversed(self.places)))
        self.places[place] = self.places.get(place, 0) + amount
        self.total += amount
        if len(self.places) > PLACES_MAX:
            self._join()

    def _join(self) -> None:
        """The oldest stays; the others each with its neighbour, at the place of the later one."""
        found = list(self.places.items())
        self.places = dict(found[:1])
        for at in range(2, len(found), 2):
            self.places[found[at][0]] = found[at - 1][1] + found[at][1]
