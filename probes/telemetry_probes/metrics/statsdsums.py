# SPDX-License-Identifier: Apache-2.0
"""What is remembered of what was sent to statsd: a sum for each name, in bounded memory whatever is sent.

Of times a sample is kept that is as good for all as for the last; of sets the smallest hashes, from which follows how
many there were. Pure: the clock is an argument.
"""

from __future__ import annotations

from _bisect import bisect_left
from array import array

from telemetry_probes.metrics.statsdlines import COUNTS, GAUGES, SETS, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemetry_probes.metrics.statsdlines import Line

KEPT_TIMES: Final = 512
"""Of a timer between two samples; what is more replaces some, each with the same chance."""
KEPT_HASHES: Final = 512
"""Of a set. With more members their number is an estimate, within 5 % most often."""
HASHES: Final = 1 << 61
SHARES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
LARGEST: Final = 1e18
"""A sum that goes beyond begins anew, as a counter does that is reset."""


class Count:
    """Of a counter: all that was ever counted."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0.0

    def take(self, line: Line) -> bool:
        """Whether the line could be used. A counter that counts down isn't one: such a value is left out."""
        found = [number(value) for value in line.values]
        for each in found:
            if each is None or each < 0:
                return False
        self.total += sum(each for each in found if each is not None) / line.rate
        if self.total > LARGEST:
            self.total = 0.0
        return True


class Level:
    """Of a gauge: the last value; one with a sign is added to it."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def take(self, line: Line) -> bool:
        """Whether the line could be used."""
        for text in line.values:
            found = number(text)
            if found is None:
                return False
            self.value = found + self.value if text[:1] in ("+", "-") else found
            if not -LARGEST < self.value < LARGEST:
                self.value = 0.0
        return True


class Times:
    """Of a timer or histogram: how many and their sum ever, and how they spread since the last sample."""

    __slots__ = ("_among", "_kept", "_random", "largest", "smallest", "sum", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self.sum = 0.0
        self._random = 1
        self._begin()

    def _begin(self) -> None:
        self._among = 0
        self._kept = array("d")
        self.smallest: float | None = None
        self.largest: float | None = None

    def take(self, line: Line) -> bool:
        """Whether the line could be used; values below 0 can't."""
        for text in line.values:
            found = number(text)
            if found is None or found < 0:
                return False
            self._take(found, line.rate)
        return True

    def _take(self, found: float, rate: float) -> None:
        self.total += 1 / rate
        self.sum += found / rate
        if self.sum > LARGEST:
            self.sum = 0.0
        self.smallest = found if self.smallest is None or found < self.smallest else self.smallest
        self.largest = found if self.largest is None or found > self.largest else self.largest
        self._among += 1
        if self._among <= KEPT_TIMES:
            self._kept.append(found)
            return
        # Knuth's MMIX: its high bits are good enough for who is replaced
        self._random = (self._random * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        place = (self._random >> 32) % self._among
        if place < KEPT_TIMES:
            self._kept[place] = found

    def spread(self) -> list[float | None]:
        """Smallest, largest and those of SHARES since the last call; None where there was none."""
        ordered = sorted(self._kept)
        found = [self.smallest, self.largest]
        for _, share in SHARES:
            found.append(ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None)
        self._begin()
        return found


class Members:
    """Of a set: how many different ones there were since the last sample."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes: list[int] = []

    def take(self, line: Line) -> bool:
        """Every line can be used."""
        hashes = self._hashes
        for text in line.values:
            found = hash(text) % HASHES
            at = bisect_left(hashes, found)
            if (at < len(hashes) and hashes[at] == found) or at >= KEPT_HASHES:
                continue
            hashes.insert(at, found)
            del hashes[KEPT_HASHES:]
        return True

    def count(self) -> int:
        """Since the last call."""
        hashes, self._hashes = self._hashes, []
        if len(hashes) < KEPT_HASHES:
            return len(hashes)
        return round((KEPT_HASHES - 1) * HASHES / (hashes[-1] or 1))


Sum = Count | Level | Times | Members


def begun(kind: str) -> Sum:
    """That of a kind of line."""
    if kind == COUNTS:
        return Count()
    if kind == GAUGES:
        return Level()
    return Members() if kind == SETS else Times()
