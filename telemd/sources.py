# SPDX-License-Identifier: Apache-2.0
"""Which senders count as one, and what is remembered of each: a bounded table that nobody can make forget.

A user id below BLOCK is a user. Above, one user may have 65,536 of them (subuid(5), a container), and so may as many
people (a directory service): there a block of BLOCK ids is one source, whose members are told apart inside it. Pure.
"""

from __future__ import annotations

from telemd.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

BLOCK: Final = 1 << 16
BLOCK_USERS: Final = 4
"""A block may have as much as so many users: more than one for a directory service's, few for the owner of a range."""

SOURCES_MAX: Final = 1024
NEWCOMERS: Final = -1
"""Who comes while the table is full of others shares one place with all who do."""

_BLOCKS: Final = 1 << 32  # beyond every user id


def source_of(uid: int) -> int:
    """The user, or its block."""
    return uid if uid < BLOCK else _BLOCKS + uid // BLOCK


def is_one_user(source: int) -> bool:
    """Neither a block nor the newcomers' place."""
    return 0 <= source < BLOCK


class Part:
    """What one source, or all, have used: of what everybody is sure of, and beyond it."""

    __slots__ = ("beyond", "sure")

    def __init__(self) -> None:
        self.sure = Tally()
        self.beyond = Tally()

    def used(self, first: int) -> int:
        """Both."""
        return self.sure.used(first) + self.beyond.used(first)


class Table:
    """A Part for each of at most SOURCES_MAX, and one for the newcomers. Only who has nothing left is forgotten."""

    __slots__ = ("_swept", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, Part] = {}
        self._swept = -1

    def key(self, source: int, first: int) -> int:
        """Under which that source stands, or would."""
        if source in self.parts or len(self.parts) < SOURCES_MAX:
            return source
        if first > self._swept:  # nobody's part has become empty since, otherwise
            self._swept = first
            self.parts = {each: part for each, part in self.parts.items() if part.used(first)}
        return source if len(self.parts) < SOURCES_MAX else NEWCOMERS

    def find(self, key: int) -> Part:
        """Its part; an empty one that isn't kept where it has none."""
        return self.parts.get(key) or Part()

    def enter(self, key: int) -> Part:
        """Its part, from now on in the table."""
        return self.parts.setdefault(key, Part())
