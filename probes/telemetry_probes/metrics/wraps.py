# SPDX-License-Identifier: Apache-2.0
"""Counters of the kernel that have 32 bits go on where they wrap, and one that begins anew is told as such.

The kernel counts a disk's milliseconds in 32 bits everywhere (Documentation/admin-guide/iostats.rst), which wrap after
50 days of work, and on a 32-bit machine, or with an old network driver, everything. Pure: numbers in, numbers out.
"""

from __future__ import annotations

from _operator import lt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

WRAP: Final = 1 << 32
WRAPS_BY_MIN: Final = 1 << 31
"""What shrank by less has not wrapped."""


class Going:
    """The counters of one thing, such as a disk. events: the places of those that count what happened: if one of them
    shrank, that is another disk, or all began anew, and what they say now is what counts. What else shrank has wrapped,
    or, where it shrank by little, is taken to have stayed."""

    __slots__ = ("_events", "_last", "_offsets")

    def __init__(self, events: Sequence[int]) -> None:
        self._events = events
        self._last: Sequence[int] = ()
        self._offsets: list[int] | None = None

    def on(self, now: list[int]) -> list[int]:
        """What the counters come to, given what the kernel says; always as many."""
        last, self._last = self._last, now
        if any(map(lt, now, last)):
            self._shrank(now, last)
        offsets = self._offsets
        return now if offsets is None else [value + offset for value, offset in zip(now, offsets, strict=True)]

    def _shrank(self, now: list[int], last: Sequence[int]) -> None:
        if any(now[place] < last[place] for place in self._events):
            self._offsets = None
            return
        offsets = self._offsets or [0] * len(now)
        for place, (value, before) in enumerate(zip(now, last, strict=True)):
            if value >= before:
                continue
            if before >= WRAP:
                self._offsets = None  # it has more than 32 bits: that was no wrap
                return
            if before - value >= WRAPS_BY_MIN:
                offsets[place] += WRAP
            else:
                now[place] = before
        self._offsets = offsets
