# SPDX-License-Identifier: Apache-2.0
"""Reads what programs send to statsd: lines `name:value|type|@rate|#tag:value`, several in a datagram.

Types are c, g, ms, s as etsy's statsd has them, h and d (read as timers without a unit) as Datadog's. Pure: bytes in,
values out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

COUNTS, GAUGES, TIMES, SIZES, SETS = "counter", "gauge", "timer", "histogram", "set"
_TYPES: Final = {"c": COUNTS, "g": GAUGES, "ms": TIMES, "h": SIZES, "d": SIZES, "s": SETS}

LINES_MAX: Final = 4096
"""Of one datagram."""
LINE_CHARS_MAX: Final = 2048
NAME_CHARS_MAX: Final = 100
TAG_CHARS_MAX: Final = 64
"""Of its name and of its value, each."""
TAGS_MAX: Final = 8
VALUES_MAX: Final = 256
"""Of one line."""
RATE_MIN: Final = 1e-6
LARGEST: Final = 1e15

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Line:
    """values: of a set they are what is in it, of the others numbers. rate: the share of what was that was sent."""

    __slots__ = ("kind", "name", "rate", "tags", "values")

    def __init__(self, kind: str, name: str, tags: tuple[tuple[str, str], ...], values: list[str], rate: float) -> None:
        self.kind = kind
        self.name = name
        self.tags = tags
        self.values = values
        self.rate = rate


def lines(datagram: bytes) -> Iterator[Line | None]:
    """Those of a datagram, at most LINES_MAX; None for one that can't be read."""
    texts = datagram.decode("utf-8", "replace").split("\n", LINES_MAX)
    for text in texts[:LINES_MAX]:
        if text.strip():
            yield line(text.strip())


def line(text: str) -> Line | None:
    """What it says; None where it says nothing of the kind, or is too long."""
    if len(text) > LINE_CHARS_MAX:
        return None
    name, colon, rest = text.partition(":")
    value, *parts = rest.split("|")
    kind = _TYPES.get(parts[0]) if parts else None
    if not colon or not 0 < len(name) <= NAME_CHARS_MAX or kind is None or not value:
        return None
    rate = 1.0
    tags: tuple[tuple[str, str], ...] = ()
    for part in parts[1:]:
        if part.startswith("@"):
            found = number(part[1:])
            if found is None or not RATE_MIN <= found <= 1:
                return None
            rate = found
        elif part.startswith("#"):
            tags = _tags(part[1:])
        # others are for Datadog's own servers
    values = [value] if kind == SETS else value.split(":", VALUES_MAX)[:VALUES_MAX]
    return Line(kind, plain(name), tags, values, rate)


def number(text: str) -> float | None:
    """None where it is no number, or a larger one than anybody means."""
    try:
        found = float(text) if "_" not in text else None
    except ValueError:
        return None
    return found if found is not None and -LARGEST <= found <= LARGEST else None


def plain(name: str) -> str:
    """A name with letters, digits, `_`, `.` and `-` alone, as statsd has it."""
    return "".join(letter if letter in _NAME else "_" for letter in name)


def _tags(text: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for tag in text.split(",", TAGS_MAX)[:TAGS_MAX]:
        name, _, value = tag.strip().partition(":")
        if name:
            found.setdefault(
                plain(name[:TAG_CHARS_MAX]),
                "".join(letter if letter.isprintable() else "?" for letter in value[:TAG_CHARS_MAX]),
            )
    return tuple(sorted(found.items()))
