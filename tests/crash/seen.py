# SPDX-License-Identifier: Apache-2.0
"""What an unwinder says of a dead process, in the same form for each of them. Only values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A function at a line: `kind` is native, python, or what else the unwinder knows."""

    function: str
    file: str = ""
    line: int = 0
    kind: str = "native"


@dataclass(frozen=True)
class Seen:
    """A frame with its places, innermost first (the last is the function that has the frame), or a gap.

    `gap` counts frames that were left out here; -1: it isn't known how many.
    """

    pc: int
    places: tuple[Place, ...] = ()
    gap: int = 0

    @property
    def function(self) -> str:
        return next((place.function for place in reversed(self.places) if place.kind != "python"), "")


Threads = list[tuple[int, tuple[Seen, ...]]]
"""(thread's id, its frames), the one that died first."""
