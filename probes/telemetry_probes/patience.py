# SPDX-License-Identifier: Apache-2.0
"""When a record that telemd did not take is offered again: after FIRST_S, then after twice as long each time.

Pure: time is an argument.
"""

from __future__ import annotations

FIRST_S, MOST_S = 1.0, 60.0


class Patience:
    """`until_s`: nothing is offered before; of the clock that the caller's times are of."""

    __slots__ = ("_next_s", "until_s")

    def __init__(self) -> None:
        self._next_s = FIRST_S
        self.until_s = 0.0

    def refused(self, now_s: float) -> bool:
        """telemd didn't take it. Was that the first time?"""
        first = self._next_s == FIRST_S
        self.until_s = now_s + self._next_s
        self._next_s = min(MOST_S, self._next_s * 2)
        return first

    def taken(self) -> None:
        """telemd has one, or never wants it."""
        self._next_s = FIRST_S

    def lose(self) -> None:
        """The next offer is the last: it is made at once."""
        self.until_s = 0.0
