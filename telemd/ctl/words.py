# SPDX-License-Identifier: Apache-2.0
"""Figures in words: sizes, times, counts, and text that came from elsewhere. Pure; never looks at a clock."""

from __future__ import annotations

import datetime


def size(count: int) -> str:
    """Bytes: 812 B, 12.4 KB, 5.0 MB (1 KB is 1,024 bytes, as in the settings)."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KB", "MB", "GB"):
        amount /= 1024
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} TB"


def duration(seconds: float) -> str:
    """The two largest units: 45 s, 3 min 20 s, 2 h 5 min, 4 d 3 h. Below 0 counts as 0."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, left = divmod(left, length)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def milliseconds(microseconds: int) -> str:
    """0.25 ms, 12 ms."""
    amount = microseconds / 1000
    return f"{amount:.2f} ms" if amount < 10 else f"{amount:,.0f} ms"


def count(number: int) -> str:
    """1,234,567."""
    return f"{number:,}"


def some(number: int, thing: str) -> str:
    """1 record, 2 records."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def bar(share: float, width: int) -> str:
    """How full something is: ####...... of so many characters; any filling shows at least one."""
    full = min(width, max(0, round(share * width)))
    if share > 0:
        full = max(1, full)
    return "#" * full + "." * (width - full)


def utc(seconds: float) -> str:
    """Tue 2018-05-08 17:03:24 UTC; "?" for a time no calendar has."""
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return "?"
    return moment.strftime("%a %Y-%m-%d %H:%M:%S UTC")


def clock(seconds: float) -> str:
    """17:03:24.123, in UTC; "?" for a time no calendar has."""
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return "?"
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def plain(text: str, limit: int = 300) -> str:
    """On one line, without anything a terminal would act on."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else "?" for char in cut)


def plain_lines(text: str) -> str:
    """As plain(), but newlines and tabs stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)


class Paint:
    """Colours, or none."""

    __slots__ = ("_on",)

    def __init__(self, on: bool) -> None:
        self._on = on

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text

    def good(self, text: str) -> str:
        """Green."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """Red."""
        return self._in("31", text)

    def odd(self, text: str) -> str:
        """Yellow."""
        return self._in("33", text)

    def faint(self, text: str) -> str:
        """For what is seldom read."""
        return self._in("2", text)

    def bold(self, text: str) -> str:
        """For what is to be read first."""
        return self._in("1", text)
