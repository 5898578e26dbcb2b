# SPDX-License-Identifier: Apache-2.0
"""Records as lines of a terminal, at most 80 columns wide. Pure; what a record says never steers the terminal."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo.arrivals import Arrived

COLUMNS = 80
ID_COLUMNS = 8
CLASS_COLUMNS = 29
SEVERITY_COLUMNS = 8
PAYLOAD_COLUMNS = COLUMNS - ID_COLUMNS - CLASS_COLUMNS - SEVERITY_COLUMNS - 3 * 2
STEP_COLUMNS = COLUMNS - 10

SEVERITIES = {1: "low", 2: "medium", 3: "high", 4: "critical"}


class Paint:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def strong(self, text: str) -> str:
        return self._in("1", text)

    def soft(self, text: str) -> str:
        return self._in("2", text)

    def good(self, text: str) -> str:
        return self._in("32;1", text)

    def bad(self, text: str) -> str:
        return self._in("31;1", text)

    def severity(self, severity: int, text: str) -> str:
        """Low is plain, the others yellow to red."""
        code = {2: "33", 3: "31", 4: "31;1"}.get(severity, "")
        return self._in(code, text) if code else text

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text


def step(text: str) -> str:
    """What is being done; how long it took comes behind it."""
    return "  " + padded(text, STEP_COLUMNS - 2)


def table_head(paint: Paint) -> list[str]:
    """The headings of record_lines()."""
    first = "  ".join(
        [
            "id".ljust(ID_COLUMNS),
            "classification".ljust(CLASS_COLUMNS),
            "severity".ljust(SEVERITY_COLUMNS),
            "payload".ljust(PAYLOAD_COLUMNS),
        ]
    )
    return [paint.soft(first.rstrip()), paint.soft(" " * (ID_COLUMNS + 2) + "sent → arrived (UTC)")]


def record_lines(record: Arrived, paint: Paint) -> list[str]:
    """Two: what it is, and its way."""
    took = _took(record.received_us - record.created_us)
    way = f"{_clock(record.created_us)} → {_clock(record.received_us)}  {took}"
    return [record_line(record, paint), " " * (ID_COLUMNS + 2) + paint.soft(way)]


def record_line(record: Arrived, paint: Paint) -> str:
    """One: the end of its id, where the random part is, classification, severity, first words of the payload."""
    severity = padded(SEVERITIES.get(record.severity, "?"), SEVERITY_COLUMNS)
    return "  ".join(
        [
            paint.soft(record.record_id[-ID_COLUMNS:]),
            padded(record.classification, CLASS_COLUMNS),
            paint.severity(record.severity, severity),
            padded(record.text, PAYLOAD_COLUMNS).rstrip(),
        ]
    ).rstrip()


def padded(text: str, columns: int) -> str:
    """On one line and exactly that wide, cut with an ellipsis. What has no width, or is a control character, goes."""
    cut, width = "", 0
    for char in " ".join(text[: 16 * columns].split()):
        if not char.isprintable() or unicodedata.combining(char):
            continue
        more = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if width + more > columns:
            while width + 1 > columns:
                width -= 2 if unicodedata.east_asian_width(cut[-1]) in "WF" else 1
                cut = cut[:-1]
            cut, width = cut + "…", width + 1
            break
        cut, width = cut + char, width + more
    return cut + " " * (columns - width)


def _clock(us: int) -> str:
    try:
        when = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)
    except OverflowError:
        return "?"
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}"


def _took(us: int) -> str:
    """Below 0 only where the clock was set meanwhile."""
    return f"{us / 1000:,.0f} ms" if us < 10_000_000 else f"{us / 1_000_000:,.1f} s"
