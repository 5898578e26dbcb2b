# SPDX-License-Identifier: Apache-2.0
"""How many records and bytes may pass in a sliding window, and when the surplus may.

Pure: time comes in as a running number of minutes that never jumps; where it comes from is the caller's affair. A
window is a sum over the last so many of 60 one-minute slots, as in telemetrics-client; bytes are counted as bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

SLOTS: Final = 60
HORIZON_MIN: Final = 24 * 60
"""Surplus that would have to wait longer than this is refused: a day's worth of it is nothing anybody waits for."""


class Window:
    """At most limit within any minutes minutes. limit below 0 or minutes 0: no limit, but still counted."""

    __slots__ = ("_cached", "counts", "limit", "minutes")

    def __init__(self, limit: int, minutes: int) -> None:
        self.limit = limit
        self.minutes = min(minutes, SLOTS - 1)
        self.counts: dict[int, int] = {}
        self._cached: dict[int, int] = {}  # the minute last asked for: what used() says

    @property
    def on(self) -> bool:
        """It limits anything."""
        return self.limit >= 0 and self.minutes > 0

    def used(self, minute: int) -> int:
        """What passed, or may pass, in the window that ends with this minute."""
        if minute not in self._cached:
            first = minute - max(self.minutes, 1)
            self._cached = {minute: sum(n for at, n in self.counts.items() if first < at <= minute)}
        return self._cached[minute]

    def fits(self, minute: int, amount: int) -> bool:
        """Amount more may pass in that minute. What is over the limit all by itself passes an empty window, or it never
        could."""
        if not self.on:
            return True
        used = self.used(minute)
        return used + amount <= self.limit or (used == 0 and self.limit > 0)

    def count(self, minute: int, amount: int) -> None:
        """It passes in that minute."""
        used = self.used(minute)
        self.counts[minute] = self.counts.get(minute, 0) + amount
        self._cached = {minute: used + amount}

    def forget(self, minute: int) -> None:
        """Drop slots that no window ending now or later can see."""
        for old in [at for at in self.counts if at <= minute - SLOTS]:
            del self.counts[old]

    def dump(self, minute: int) -> list[list[int]]:
        """[minutes from now (below 0: ago), amount] of each slot, to be kept over a restart."""
        self.forget(minute)
        return [[at - minute, amount] for at, amount in sorted(self.counts.items())]

    def load(self, minute: int, slots: Iterable[Sequence[int]]) -> None:
        """The opposite; minute is now less the minutes that have gone by since. Slots out of range are left out."""
        for ago, amount in slots:
            if ago <= HORIZON_MIN and amount > 0:
                self.counts[minute + ago] = self.counts.get(minute + ago, 0) + amount
        self.forget(minute)
        self._cached = {}


class Grant:
    """The next count records may pass: wait_min 0 is now."""

    __slots__ = ("count", "wait_min")

    def __init__(self, count: int, wait_min: int) -> None:
        self.count = count
        self.wait_min = wait_min


class Budget:
    """The windows of one class of records. spools: surplus is deferred, not refused. users: of both windows, what all
    unprivileged users may have together."""

    __slots__ = ("_swept", "bytes", "records", "spools", "tail", "users_bytes", "users_records")

    def __init__(self, records: Window, bytes_: Window, spools: bool, users: tuple[Window, Window]) -> None:
        self.records = records
        self.bytes = bytes_
        self.users_records, self.users_bytes = users
        self.spools = spools
        self._swept = 0
        self.tail = 0  # the last minute that something was deferred to: what comes later can't pass it

    def admit(self, minute: int, count: int, total_bytes: int, sizes: Callable[[], Sequence[int]]) -> list[Grant]:
        """Grants for the first of count records that together have total_bytes; what no grant covers is refused. sizes
        is asked for the bytes of each only where not all of them can pass now."""
        records, bytes_ = (self.records,), (self.bytes,)
        self._forget(minute)
        if self.tail <= minute and _all_fit(records, bytes_, minute, count, total_bytes):
            return [Grant(count, 0)]
        grants: list[Grant] = []
        for size in sizes():
            at = self._earliest(minute, size)
            if at is None:
                break
            _count(records, bytes_, at, 1, size)
            self.tail = max(self.tail, at)
            if grants and grants[-1].wait_min == at - minute:
                grants[-1].count += 1
            else:
                grants.append(Grant(1, at - minute))
        return grants

    def admit_user(self, minute: int, count: int, total_bytes: int, sizes: Callable[[], Sequence[int]]) -> list[Grant]:
        """The same for an unprivileged user, who never makes anybody wait: what doesn't fit where the queue ends is
        refused."""
        records, bytes_ = (self.records, self.users_records), (self.bytes, self.users_bytes)
        at = max(minute, self.tail)
        self._forget(minute)
        if _all_fit(records, bytes_, at, count, total_bytes):
            return [Grant(count, at - minute)]
        passed = 0
        for size in sizes():
            if not (all(each.fits(at, 1) for each in records) and all(each.fits(at, size) for each in bytes_)):
                break
            _count(records, bytes_, at, 1, size)
            passed += 1
        return [Grant(passed, at - minute)] if passed else []

    def windows(self) -> dict[str, Window]:
        """All four, by the names under which they are kept over a restart."""
        return {
            "records": self.records,
            "bytes": self.bytes,
            "users_records": self.users_records,
            "users_bytes": self.users_bytes,
        }

    def dump(self, minute: int) -> dict[str, list[list[int]]]:
        """All windows, to be kept over a restart."""
        return {name: window.dump(minute) for name, window in self.windows().items()}

    def load(self, minute: int, kept: dict[str, list[list[int]]]) -> None:
        """The opposite of dump()."""
        for name, window in self.windows().items():
            window.load(minute, kept.get(name, []))
        self.tail = max((*self.records.counts, *self.bytes.counts, self.tail))

    def _forget(self, minute: int) -> None:
        if minute > self._swept:
            self._swept = minute
            for window in (self.records, self.bytes, self.users_records, self.users_bytes):
                window.forget(minute)

    def _earliest(self, minute: int, size: int) -> int | None:
        at = max(minute, self.tail)
        while not (self.records.fits(at, 1) and self.bytes.fits(at, size)):
            at += 1
            if not self.spools or at - minute > HORIZON_MIN or 0 in (self.records.limit, self.bytes.limit):
                return None
        return at


def _all_fit(records: Iterable[Window], bytes_: Iterable[Window], at: int, count: int, total_bytes: int) -> bool:
    """And are counted then."""
    for windows, amount in ((records, count), (bytes_, total_bytes)):
        for window in windows:
            if window.on and window.used(at) + amount > window.limit:
                return False
    _count(records, bytes_, at, count, total_bytes)
    return True


def _count(records: Iterable[Window], bytes_: Iterable[Window], at: int, count: int, total_bytes: int) -> None:
    for windows, amount in ((records, count), (bytes_, total_bytes)):
        for window in windows:
            window.count(at, amount)
