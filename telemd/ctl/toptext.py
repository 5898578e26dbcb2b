# SPDX-License-Identifier: Apache-2.0
"""What `telemctl top` shows: two looks at telemd's sums, made into rates and a page. Pure.

Everything telemd answers is looked at for its type first: it may be of another version.
"""

from __future__ import annotations

from telemd.ctl.statustext import number, table, text
from telemd.ctl.words import Paint, count, duration, plain, size, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

CLASS_COLUMNS_MIN: Final = 16
_OTHER_COLUMNS: Final = 51
_HEAD_LINES: Final = 4


class Snapshot:
    """One look: telemd's answers to top and status."""

    __slots__ = ("now_us", "passed", "pending", "since_us", "state", "sums")

    def __init__(self, top: Mapping[str, object], status: Mapping[str, object]) -> None:
        self.now_us = number(top, "now_us")
        self.since_us = number(top, "since_us")
        self.passed = number(top, "passed")
        self.pending = number(table(status, "accounting"), "pending")
        self.state = text(table(status, "delivery"), "state")
        found = top.get("sums")
        rows = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        self.sums = {(text(each, "classification"), number(each, "uid")): each for each in rows}


class Rate:
    """One class of one user: records_s and bytes_s since the look before, the others since the watch began."""

    __slots__ = ("bytes", "bytes_s", "classification", "last_us", "records", "records_s", "refused", "uid")

    def __init__(self, key: tuple[str, int], now: Mapping[str, object], before: Mapping[str, object], s: float) -> None:
        self.classification, self.uid = key
        self.records = number(now, "records")
        self.bytes = number(now, "bytes")
        self.refused = number(now, "refused")
        self.last_us = number(now, "last_us")
        self.records_s = (self.records - number(before, "records")) / s
        self.bytes_s = (self.bytes - number(before, "bytes")) / s

    def as_object(self) -> dict[str, object]:
        """For --json."""
        return {
            "classification": self.classification,
            "uid": self.uid,
            "records": self.records,
            "records_s": round(self.records_s, 3),
            "bytes": self.bytes,
            "bytes_s": round(self.bytes_s, 3),
            "refused": self.refused,
            "last_us": self.last_us,
        }


def rates(before: Snapshot, now: Snapshot) -> list[Rate]:
    """The busiest first; then those that sent most."""
    s = _seconds(before, now)
    old = before.sums if before.since_us == now.since_us else {}
    found = [Rate(key, each, old.get(key, {}), s) for key, each in now.sums.items()]
    return sorted(found, key=lambda each: (-each.records_s, -each.records, each.classification, each.uid))


def _seconds(before: Snapshot, now: Snapshot) -> float:
    begin_us = before.now_us if before.since_us == now.since_us else now.since_us
    return max(now.now_us - begin_us, 1000) / 1e6


def rendered(
    before: Snapshot, now: Snapshot, columns: int, lines: int | None, paint: Paint, user: Callable[[int], str]
) -> str:
    """A page of at most so many columns and lines (None: as many as there are), without a newline at its end."""
    rows = rates(before, now)
    passed = now.passed - (before.passed if before.since_us == now.since_us else 0)
    watched = duration((now.now_us - now.since_us) / 1e6)
    head = (
        f"{passed / _seconds(before, now):,.1f} records/s; {count(now.passed)} in {watched}; "
        f"{some(now.pending, 'record')} waiting, delivery {now.state or 'unknown'}"
    )
    width = max(CLASS_COLUMNS_MIN, columns - _OTHER_COLUMNS)
    titles = f"{'CLASS':<{width}} {'USER':<8} {'REC/S':>7} {'RECORDS':>8} {'BYTES/S':>9} {'REFUSED':>7} {'LAST':>6}"
    shown = rows if lines is None else rows[: max(1, lines - _HEAD_LINES)]
    body = [_row(each, now.now_us, width, paint, user) for each in shown]
    if not body:
        body = ["nothing has come yet"]
    if len(shown) < len(rows):
        body.append(paint.faint(f"and {count(len(rows) - len(shown))} more: enlarge the window, or --json"))
    return "\n".join([plain(head, columns), "", paint.bold(titles), *body])


def _row(row: Rate, now_us: int, width: int, paint: Paint, user: Callable[[int], str]) -> str:
    name = plain(row.classification)
    if len(name) > width:
        name = f"~{name[len(name) - width + 1 :]}"
    refused = f"{_short(row.refused):>7}"
    last_s = max(0, (now_us - row.last_us) // 1_000_000)
    last = f"{last_s} s" if last_s < 1000 else f"{last_s // 60} min"
    return (
        f"{name:<{width}} {user(row.uid)[:8]:<8} {_short(row.records_s):>7} {_short(row.records):>8} "
        f"{size(int(row.bytes_s)):>9} {paint.bad(refused) if row.refused else refused} {last:>6}"
    )


def _short(amount: float) -> str:
    """0.5, 12, 1,234, 123.4k, 4.5M: at most 7 columns below a billion."""
    if amount < 10 and amount != int(amount):
        return f"{amount:.1f}"
    if amount < 100_000:
        return f"{amount:,.0f}"
    if amount < 1_000_000:
        return f"{amount / 1000:.1f}k"
    return f"{amount / 1e6:,.1f}M"
