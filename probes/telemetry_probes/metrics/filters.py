# SPDX-License-Identifier: Apache-2.0
"""Which names are taken: the filter that people write as `eth*,wg0` or `-docker*`.

A leading `-` makes it a list of what is left out, else it is a list of what is taken; `*` stands for any characters.
An empty list of what is taken takes none, an empty list of what is left out takes all. Pure: text in, answers out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = "-"
"""The filter that leaves nothing out: the default of each."""
PATTERNS_MAX = 256
"""Of a filter; what comes after those is not looked at."""


class Filter:
    """text: the patterns, with commas between. skipped: what is left out besides, unless the filter is a list of what
    is taken: then that list alone counts."""

    __slots__ = ("_patterns", "_skipped", "takes_listed")

    def __init__(self, text: str, skipped: Sequence[str] = ()) -> None:
        text = text.strip()
        self.takes_listed = not text.startswith("-")
        """Whether the list is of what is taken."""
        listed = (text if self.takes_listed else text[1:]).split(",", PATTERNS_MAX)[:PATTERNS_MAX]
        self._patterns = tuple(pattern.strip() for pattern in listed if pattern.strip())
        self._skipped = () if self.takes_listed else tuple(skipped)

    def takes(self, name: str) -> bool:
        """Whether it takes that one."""
        if any(matches(pattern, name) for pattern in self._patterns):
            return self.takes_listed
        return not self.takes_listed and not any(matches(pattern, name) for pattern in self._skipped)


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name is as the pattern says, in which `*` alone means something. Never slower than the product
    of their lengths."""
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    last = others.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in others:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
