# SPDX-License-Identifier: Apache-2.0
"""How much of one limited thing (records or bytes of a window, bytes that wait) a user may have, so that no few of them
leave nothing for the others (docs/decisions/0010-shares-of-users.md).

Three quarters are for bursts: a source may take half of what is left of them, so that something always is. A quarter
is set aside for small amounts: everybody is sure of a hundredth of the whole. Pure: what is before `first` is over,
and what the places mean is the caller's affair.
"""

from __future__ import annotations

from telemd.sources import BLOCK_USERS, NEWCOMERS, Part, Table, is_one_user, source_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

SURE_PART: Final = 100
ASIDE_PART: Final = 4
KEPT_SOURCES: Final = 16
"""Of how many it is kept over a restart who they were. What all have used is kept as it is."""

_ALL: Final = -2


class Room:
    """What a user may have now."""

    __slots__ = ("beyond", "nobody", "sure")

    def __init__(self, sure: int, beyond: int, nobody: bool) -> None:
        self.sure = sure
        self.beyond = beyond
        self.nobody = nobody  # has anything: what is too large by itself could never pass, otherwise

    def holds(self, amount: int) -> bool:
        """So much of any number of records."""
        return amount <= self.sure + self.beyond

    def fits(self, amount: int, before: int) -> bool:
        """So much of one record, behind so much that was just let pass."""
        return self.holds(before + amount) or (self.nobody and before == 0)


class FairShare:
    """total: what all have together. 0: nobody anything."""

    __slots__ = ("_aside", "_everybody", "_members", "_sources", "sure", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.sure = min(total, max(1, total // SURE_PART))
        self._aside = max(self.sure, total // ASIDE_PART)
        self._everybody = Part()
        self._sources = Table()
        self._members = Table()  # of blocks, and of the newcomers' place

    def room(self, first: int, uid: int) -> Room:
        """For that user."""
        everybody = self._everybody
        nobody = self.total > 0 and everybody.used(first) == 0
        source = self._sources.key(source_of(uid), first)
        part = self._sources.find(source)
        sure = self._aside - everybody.sure.used(first)
        beyond = _half(self.total - self._aside - everybody.beyond.used(first), part.beyond.used(first))
        if is_one_user(source):
            sure = min(sure, self.sure - part.sure.used(first))
        else:
            member = self._members.find(self._members.key(uid, first))
            sure = min(sure, BLOCK_USERS * self.sure - part.sure.used(first), self.sure - member.sure.used(first))
            beyond = _half(beyond, member.beyond.used(first))
        return Room(max(0, sure), beyond, nobody)

    @property
    def alone(self) -> int:
        """What one may have while nobody else has anything."""
        return self.sure + _half(self.total - self._aside, 0)

    def take(self, first: int, place: int, uid: int, amount: int) -> None:
        """What was let pass, until `first` is past that place."""
        sure = min(amount, self.room(first, uid).sure)
        self._everybody.sure.add(place, sure)
        self._everybody.beyond.add(place, amount - sure)
        self._add(first, place, uid, sure, amount - sure)

    def _add(self, first: int, place: int, uid: int, sure: int, beyond: int) -> None:
        source = self._sources.key(source_of(uid), first)
        parts = [self._sources.enter(source)]
        if not is_one_user(source):
            parts.append(self._members.enter(self._members.key(uid, first)))
        for part in parts:
            part.sure.add(place, sure)
            part.beyond.add(place, beyond)

    def used(self, first: int) -> int:
        """What all have."""
        return self._everybody.used(first)

    def fullest(self, first: int, count: int) -> list[tuple[int, int]]:
        """Users with what they have, most first. NEWCOMERS: those who found no place of their own."""
        return [(uid, part.used(first)) for uid, part in self._fullest(first, count)]

    def _fullest(self, first: int, count: int) -> list[tuple[int, Part]]:
        users = [(key, part) for key, part in self._sources.parts.items() if is_one_user(key)]
        found = [each for each in [*users, *self._members.parts.items()] if each[1].used(first)]
        return sorted(found, key=lambda each: -each[1].used(first))[:count]

    def dump(self, first: int, origin: int) -> list[list[int]]:
        """Rows of [who, place less origin, sure, beyond], to be kept over a restart."""
        rows = _rows(_ALL, self._everybody, first)
        for uid, part in self._fullest(first, KEPT_SOURCES):
            rows += _rows(uid, part, first)
        rows.sort(key=lambda row: row[1])
        return [[uid, place - origin, sure, beyond] for uid, place, sure, beyond in rows]

    def load(self, first: int, origin: int, rows: Iterable[Sequence[int]]) -> None:
        """The opposite. Rows of places that are over are left out."""
        for uid, offset, sure, beyond in rows:
            place = origin + offset
            if place < first:
                continue
            if uid == _ALL:
                self._everybody.sure.add(place, sure)
                self._everybody.beyond.add(place, beyond)
            elif uid != NEWCOMERS:
                self._add(first, place, uid, sure, beyond)


def _half(left: int, own: int) -> int:
    """How much more a source may take of what is left, if what it has is never to be more than what it leaves."""
    return max(0, (left - own + 1) // 2)


def _rows(uid: int, part: Part, first: int) -> list[list[int]]:
    part.used(first)
    places = sorted({*part.sure.places, *part.beyond.places})
    return [[uid, each, part.sure.places.get(each, 0), part.beyond.places.get(each, 0)] for each in places]
