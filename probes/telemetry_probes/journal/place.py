# SPDX-License-Identifier: Apache-2.0
"""How far the journal has been dealt with, as it is kept between two runs.

A cursor alone doesn't say it: while a unit fails on and on, others fail and are told, behind the entry from which on
the first is still being collected. So what was told behind the cursor is listed beside it. Pure: values in, text out.
"""

from __future__ import annotations

UNITS_MAX = 256
"""That are listed; of more those that were dealt with longest ago are left out."""
CURSOR_CHARS_MAX = 512
UNIT_CHARS_MAX = 256
"""systemd's own limit is 255."""
_FIRST = "journalprobe 1"


class Place:
    """`cursor`: an entry, empty for none. `again`: that entry itself is needed, not only those after it. `told`: for a
    unit, boot and time (microseconds since that) up to which what was said of it is dealt with."""

    __slots__ = ("again", "cursor", "told")

    def __init__(self, cursor: str = "", again: bool = False, told: dict[str, tuple[str, int]] | None = None) -> None:
        self.cursor = cursor
        self.again = again
        self.told = told or {}

    def text(self) -> bytes:
        """As it is kept."""
        lines = [_FIRST, f"{'from' if self.again else 'after'} {self.cursor}"]
        for unit, (boot, until_us) in list(self.told.items())[-UNITS_MAX:]:
            lines.append(f"told {boot} {until_us} {unit}")
        return "\n".join([*lines, "end", ""]).encode("utf-8", "surrogateescape")


def read(content: bytes) -> Place:
    """What was kept. Damaged in any way it counts as not there."""
    first, *lines = content.decode("utf-8", "surrogateescape").split("\n")
    if first != _FIRST or len(lines) < 3 or lines[-2:] != ["end", ""]:
        return Place()
    which, _, cursor = lines[0].partition(" ")
    if which not in ("from", "after") or not is_cursor(cursor):
        return Place()
    told: dict[str, tuple[str, int]] = {}
    for line in lines[1:-2]:
        words = line.split(" ", 3)
        if len(words) != 4 or words[0] != "told" or not words[2].isdigit() or len(words[2]) > 19:
            return Place()
        told[words[3]] = (words[1], int(words[2]))
    return Place(cursor, which == "from", told)


def is_cursor(text: str) -> bool:
    """Does it look like one? What sd-journal makes of it is another matter."""
    return text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= CURSOR_CHARS_MAX


def passed_over(earlier: str, later: str) -> int | None:
    """How many entries of the whole journal lie between two cursors; None where they were counted by different
    writers (systemd.journal-fields(7): `s` names the counting, `i` is the number)."""
    one, other = _parts(earlier), _parts(later)
    if "s" not in one or one.get("s") != other.get("s"):
        return None
    try:
        return max(0, int(other["i"], 16) - int(one["i"], 16) - 1)
    except (KeyError, ValueError):
        return None


def realtime_us(cursor: str) -> int | None:
    """When the entry was written, as its cursor says."""
    try:
        return int(_parts(cursor)["t"], 16)
    except (KeyError, ValueError):
        return None


def _parts(cursor: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in cursor[:CURSOR_CHARS_MAX].split(";"))
