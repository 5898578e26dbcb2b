# SPDX-License-Identifier: Apache-2.0
"""Files of the kernel with a line for each thing, of which some are wanted: which lines these are is remembered.

A line is found again by its number and its name, so that hundreds of others cost next to nothing. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

LOOK_AGAIN_S: Final = 60.0
"""A thing that came as another went, so that the lines are as many as before, is seen after this."""
THINGS_MAX: Final = 1024
"""That are followed, of one file."""


class Wanted:
    """head: how a line begins that is about a thing, to where its name ends; b"" where the line is about none.
    name: the name in a head. wants: whether the thing of that name is wanted."""

    __slots__ = ("_count", "_head", "_heads", "_looked_s", "_name", "_places", "_wants", "names")

    def __init__(
        self, head: Callable[[bytes], bytes], name: Callable[[bytes], bytes], wants: Callable[[bytes], bool]
    ) -> None:
        self._head = head
        self._name = name
        self._wants = wants
        self._count = -1
        self._looked_s = 0.0
        self._heads: list[bytes] = []
        self._places: list[int] = []
        self.names: list[bytes] = []
        """Of the things whose lines are given, in their order."""

    def chosen(self, text: bytes, now_s: float) -> list[bytes]:
        """What the lines of the wanted things say after their heads, in the order of `names`, which is another list
        where they are others. A last line without its end is none."""
        lines = text.split(b"\n")
        if len(lines) != self._count or not 0 <= now_s - self._looked_s < LOOK_AGAIN_S:
            self._look(lines, now_s)
        found = self._found(lines)
        if found is None:
            self._look(lines, now_s)
            found = self._found(lines)
        return found or []

    def _found(self, lines: Sequence[bytes]) -> list[bytes] | None:
        """None where a line isn't where it was."""
        found = []
        for place, head in zip(self._places, self._heads, strict=True):
            line = lines[place]
            if not line.startswith(head):
                return None
            found.append(line[len(head) :])
        return found

    def _look(self, lines: Sequence[bytes], now_s: float) -> None:
        self._count = len(lines)
        self._looked_s = now_s
        self._heads = []
        self._places = []
        names: list[bytes] = []
        for place, line in enumerate(lines[:-1]):
            head = self._head(line)
            name = self._name(head) if head else b""
            if name and name not in names and self._wants(name):
                names.append(name)
                self._heads.append(head)
                self._places.append(place)
                if len(names) == THINGS_MAX:
                    break
        if names != self.names:
            self.names = names
