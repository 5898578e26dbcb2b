# SPDX-License-Identifier: Apache-2.0
"""Which windows hold for whom: a budget for each lane, shares of it for unprivileged users, from the settings.

Pure: minutes come in as a number that never jumps. What was counted is kept over a restart as a small value that
somebody else writes and reads. How shares are cut is fairshare.py's affair.
"""

from __future__ import annotations

from telemd.ratelimit import Budget, Grant, Window
from telemd.segment import LANES
from telemd.sourcelimit import SourceLimit
from telemd.usershares import UserShares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from telemd.config import Settings

METRIC: Final = LANES[-1]
WAITING_PERCENT: Final = {"event": 75, "metric": 25}
"""Of what users may have of the spool. The vital lane isn't open to them."""

SHARES: Final = "shares."
SOURCES: Final = "sources"


class Limits:
    """The original's keys govern vital and event, each with windows of its own; metrics have theirs."""

    __slots__ = ("_budgets", "_on", "_shares", "_sources", "_strategy")

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limit_enabled
        self._sources = SourceLimit(settings.source_burst_limit, settings.record_window_length)
        self._strategy = settings.rate_limit_strategy
        self._budgets: dict[str, Budget] = {}
        self._shares: dict[str, UserShares] = {}
        cap_bytes = settings.spool_max_bytes
        spool = -1 if cap_bytes is None else _part(cap_bytes, settings.users_share)
        for name in LANES:
            limit = settings.metric_burst_limit if name == METRIC else settings.record_burst_limit
            records = Window(limit, settings.record_window_length)
            bytes_ = Window(settings.byte_burst_limit, settings.byte_window_length)
            users = (_part_of(records, settings.users_share), _part_of(bytes_, settings.users_share))
            self._budgets[name] = Budget(records, bytes_, self._strategy == "spool", users)
            self._shares[name] = UserShares(*users, spool * WAITING_PERCENT.get(name, 0) // 100)

    def stand(self, lane: int, cursor: int, next_seq: int) -> None:
        """Of that lane the records from cursor to before next_seq wait in the spool; before each round of admit()."""
        if self._on:
            self._shares[LANES[lane]].stand(cursor, next_seq)

    def admit(
        self,
        lane: int,
        source: int | None,
        minute: int,
        count: int,
        total_bytes: int,
        sizes: Callable[[], Sequence[int]],
    ) -> list[Grant]:
        """Grants for the first of count records; what none covers is refused. source: an unprivileged user's uid."""
        if not self._on:
            return [Grant(count, 0)]
        if source is not None:
            return self._admit_user(LANES[lane], source, minute, count, total_bytes, sizes)
        self._shares[LANES[lane]].go_by(count)
        return self._budgets[LANES[lane]].admit(minute, count, total_bytes, sizes)

    def _admit_user(
        self, lane: str, uid: int, minute: int, count: int, total_bytes: int, sizes: Callable[[], Sequence[int]]
    ) -> list[Grant]:
        shares = self._shares[lane]
        allowed = self._sources.passed(minute, uid, count)
        if allowed < count:
            total_bytes = sum(sizes()[:allowed])
        passed = shares.passed(minute, uid, allowed, total_bytes, lambda: sizes()[:allowed])
        if passed == 0:
            return []
        if passed < allowed:
            total_bytes = sum(sizes()[:passed])
        grants = self._budgets[lane].admit_user(minute, passed, total_bytes, lambda: sizes()[:passed])
        for grant in grants:
            if grant.count < passed:
                total_bytes = sum(sizes()[: grant.count])
            self._sources.take(minute, uid, grant.count)
            shares.take(minute, uid, grant.count, total_bytes)
        return grants

    def dump(self, minute: int) -> dict[str, Any]:
        """What load() takes."""
        shares = {SHARES + name: share.dump(minute) for name, share in self._shares.items()}
        sources = {SOURCES: {SOURCES: self._sources.dump(minute)}}
        return {**{name: budget.dump(minute) for name, budget in self._budgets.items()}, **shares, **sources}

    def load(self, minute: int, kept: dict[str, Any]) -> None:
        """What was counted before the restart; minute is now less what has gone by since."""
        for name in LANES:
            self._budgets[name].load(minute, kept.get(name, {}))
            self._shares[name].load(minute, kept.get(SHARES + name, {}))
        self._sources.load(minute, kept.get(SOURCES, {}).get(SOURCES, []))

    def report(self, minute: int) -> dict[str, object]:
        """Each window with its fill, for telemctl limits."""
        lanes = {
            name: {
                "records": _window(budget.records, minute),
                "bytes": _window(budget.bytes, minute),
                "deferred_min": max(0, budget.tail - minute),
                "users": self._shares[name].report(minute) if name in WAITING_PERCENT else {},
            }
            for name, budget in self._budgets.items()
        }
        return {
            "enabled": self._on,
            "strategy": self._strategy,
            "lanes": lanes,
            "sources": self._sources.report(minute),
        }


def _window(window: Window, minute: int) -> dict[str, int]:
    return {"used": window.used(minute), "limit": window.limit if window.on else -1, "minutes": window.minutes}


def _part(limit: int, percent: int) -> int:
    """Of a limit; below 0 it is none, and so is its part. A part of something is never nothing."""
    return min(limit, max(1, limit * percent // 100))


def _part_of(window: Window, percent: int) -> Window:
    return Window(_part(window.limit, percent), window.minutes)
