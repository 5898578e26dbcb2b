# SPDX-License-Identifier: Apache-2.0
"""What one unprivileged user may send in a window, over all lanes, whatever the others do.

Pure. Surplus is always refused: deferred, it would block everybody's lane. Shares of what all may have are
fairshare.py's affair.
"""

from __future__ import annotations

from telemd.sources import BLOCK_USERS, NEWCOMERS, Part, Table, is_one_user, source_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SOURCES_SHOWN: Final = 20


class SourceLimit:
    """limit below 0, or minutes 0: none."""

    __slots__ = ("_limit", "_members", "_minutes", "_sources")

    def __init__(self, limit: int, minutes: int) -> None:
        self._limit = limit if minutes > 0 else -1
        self._minutes = minutes
        self._sources = Table()
        self._members = Table()

    def passed(self, minute: int, uid: int, count: int) -> int:
        """How many of count records of that user may pass. Nothing is counted yet."""
        if self._limit < 0:
            return count
        first = self._first(minute)
        source = self._sources.key(source_of(uid), first)
        limit = self._limit if is_one_user(source) else BLOCK_USERS * self._limit
        left = limit - self._sources.find(source).used(first)
        if not is_one_user(source):
            left = min(left, self._limit - self._members.find(self._members.key(uid, first)).used(first))
        return min(count, max(0, left))

    def take(self, minute: int, uid: int, count: int) -> None:
        """So many did pass."""
        if self._limit >= 0:
            self._add(self._first(minute), minute, uid, count)

    def _add(self, first: int, place: int, uid: int, count: int) -> None:
        source = self._sources.key(source_of(uid), first)
        self._sources.enter(source).sure.add(place, count)
        if not is_one_user(source):
            self._members.enter(self._members.key(uid, first)).sure.add(place, count)

    def _first(self, minute: int) -> int:
        return minute - self._minutes + 1

    def _fullest(self, minute: int) -> list[tuple[int, Part]]:
        first = self._first(minute)
        users = [(key, part) for key, part in self._sources.parts.items() if is_one_user(key)]
        found = [each for each in [*users, *self._members.parts.items()] if each[1].used(first)]
        return sorted(found, key=lambda each: -each[1].used(first))[:SOURCES_SHOWN]

    def dump(self, minute: int) -> list[list[int]]:
        """Rows of [user, minutes from now, amount] of the fullest, to be kept over a restart."""
        rows = [[uid, at, count] for uid, part in self._fullest(minute) for at, count in part.sure.places.items()]
        rows.sort(key=lambda row: row[1])
        return [[uid, at - minute, count] for uid, at, count in rows if uid != NEWCOMERS]

    def load(self, minute: int, rows: list[list[int]]) -> None:
        """The opposite; minute is now less what has gone by since."""
        for uid, ago, count in rows:
            if uid != NEWCOMERS and self._limit >= 0 and 1 - self._minutes <= ago <= 0:
                self._add(self._first(minute), minute + ago, uid, count)

    def report(self, minute: int) -> dict[str, object]:
        """What the fullest windows hold now, and what each may hold. -1: who found no place of their own."""
        first = self._first(minute)
        used = {str(uid): part.used(first) for uid, part in self._fullest(minute)}
        return {"limit": self._limit, "minutes": self._minutes, "used": used}
