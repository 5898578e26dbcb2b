# SPDX-License-Identifier: Apache-2.0
"""What package managers have done, by their logs: dpkg's (dpkg(1), /var/log/dpkg.log) and pacman's
(/var/log/pacman.log). Of rpm's database that is `crash.rpmdb`'s.

Lines are anybody's: what doesn't look like a package is left out. Pure: text in, values out; what a local time means
in seconds is an argument.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    LocalTime: TypeAlias = tuple[int, int, int, int, int, int]
    """Year, month, day, hour, minute, second."""

INSTALLED, CHANGED, REMOVED = "installed", "changed", "removed"
CHANGES_MAX = 200
"""That are told: the newest."""
NAME_CHARS_MAX = 96
VERSION_CHARS_MAX = 96
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._~:^")
_DPKG = {"install": INSTALLED, "upgrade": CHANGED, "remove": REMOVED}
_PACMAN = {
    "installed": INSTALLED, "upgraded": CHANGED, "downgraded": CHANGED, "reinstalled": CHANGED, "removed": REMOVED
}  # fmt: skip


class Change:
    """`what`: INSTALLED (rpm: or changed), CHANGED or REMOVED; `before` and `after` are versions, or empty."""

    __slots__ = ("after", "at_s", "before", "manager", "name", "what")

    def __init__(self, at_s: int, manager: str, what: str, name: str, before: str, after: str) -> None:
        self.at_s = at_s
        self.manager = manager
        self.what = what
        self.name = name
        self.before = before
        self.after = after


def of_dpkg(text: str, to_s: Callable[[LocalTime], int]) -> list[Change]:
    """Lines such as `2026-11-21 17:39:33 upgrade bash:amd64 5.2-1 5.2-2`."""
    found: list[Change] = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) != 6 or words[2] not in _DPKG:
            continue
        when = _local(words[0], words[1])
        if when is not None:
            before, after = ("" if version == "<none>" else version for version in words[4:])
            _add(found, to_s(when), "dpkg", _DPKG[words[2]], words[3].partition(":")[0], before, after)
    return found


def of_pacman(text: str, to_s: Callable[[LocalTime], int]) -> list[Change]:
    """Lines such as `[2026-11-21T17:39:33+0000] [ALPM] upgraded bash (5.2-1 -> 5.2-2)`; older ones have neither
    seconds nor zone."""
    found: list[Change] = []
    for line in text.splitlines():
        stamp, _, rest = line.partition("] [ALPM] ")
        words = rest.split(" ", 2)
        if len(words) != 3 or words[0] not in _PACMAN or not (words[2].startswith("(") and words[2].endswith(")")):
            continue
        at_s = _zoned(stamp[1:], to_s)
        before, arrow, after = words[2][1:-1].partition(" -> ")
        what = _PACMAN[words[0]]
        if not arrow:
            before, after = (before, "") if what == REMOVED else (before if what == CHANGED else "", before)
        if at_s is not None:
            _add(found, at_s, "pacman", what, words[1], before, after)
    return found


def since(found: Iterable[Change], since_s: int, now_s: int) -> tuple[list[Change], int]:
    """Those of that time, in order, the newest CHANGES_MAX; and how many more there were."""
    fitting = sorted([each for each in found if since_s < each.at_s <= now_s], key=lambda each: each.at_s)
    return fitting[-CHANGES_MAX:], max(0, len(fitting) - CHANGES_MAX)


def is_name(text: str, most: int = NAME_CHARS_MAX) -> bool:
    """Does it look like a package's name or version?"""
    return 0 < len(text) <= most and not set(text) - _ALLOWED


def _add(found: list[Change], at_s: int, manager: str, what: str, name: str, before: str, after: str) -> None:
    if is_name(name) and all(not version or is_name(version, VERSION_CHARS_MAX) for version in (before, after)):
        found.append(Change(at_s, manager, what, name, before, after))


def _local(day: str, clock: str) -> LocalTime | None:
    """`2026-11-21` and `17:39:33` or `17:39`."""
    numbers = (day.split("-") + clock.split(":") + ["0"])[:6]
    if len(numbers) != 6 or not all(text.isascii() and text.isdigit() and len(text) <= 4 for text in numbers):
        return None
    year, month, date, hour, minute, second = map(int, numbers)
    fits = 1970 <= year <= 9999 and 1 <= month <= 12 and 1 <= date <= 31 and hour < 24 and minute < 60 and second < 61
    return (year, month, date, hour, minute, second) if fits else None


def _zoned(stamp: str, to_s: Callable[[LocalTime], int]) -> int | None:
    day, letter, clock = stamp.partition("T")
    if not letter:
        day, _, clock = stamp.partition(" ")
    zone = clock[8:]
    when = _local(day, clock[:8])
    if when is None:
        return None
    if not zone:
        return to_s(when)
    if len(zone) != 5 or zone[0] not in "+-" or not (zone[1:].isascii() and zone[1:].isdigit()):
        return None
    east_s = int(zone[1:3]) * 3600 + int(zone[3:]) * 60
    return _utc(when) - (east_s if zone[0] == "+" else -east_s)


def _utc(when: LocalTime) -> int:
    """Seconds since 1970 (days of the civil calendar, counted from March)."""
    year, month, day, hour, minute, second = when
    year -= month <= 2
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    era = year // 400
    of_era = year % 400 * 365 + year % 400 // 4 - year % 400 // 100 + of_year
    return (era * 146_097 + of_era - 719_468) * 86_400 + hour * 3600 + minute * 60 + second
