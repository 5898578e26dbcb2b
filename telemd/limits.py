# SPDX-License-Identifier: Apache-2.0
"""Which windows hold for whom: a budget for each lane and one for each unprivileged user, from the settings.

Pure: minutes come in as a number that never jumps. What was counted is kept over a restart as a small value that
somebody else writes and reads.
"""

from __future__ import annotations

from telemd.ratelimit import Budget, Grant, Sources, Window
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from telemd.config import Settings

METRIC = LANES[-1]


class Limits:
    """The original's keys govern vital and event, each with windows of its own; metrics have theirs."""

    __slots__ = ("_budgets", "_on", "_sources", "_strategy")

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limit_enabled
        self._sources = Sources(settings.source_burst_limit, settings.record_window_length)
        self._strategy = settings.rate_limit_strategy
        spools = self._strategy == "spool"
        self._budgets = {
            name: Budget(
                Window(
                    settings.metric_burst_limit if name == METRIC else settings.record_burst_limit,
                    settings.record_window_length,
                ),
                Window(settings.byte_burst_limit, settings.byte_window_length),
                spools,
            )
            for name in LANES
        }

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
        budget = self._budgets[LANES[lane]]
        if source is not None:
            passed = self._sources.admit(minute, source, count)
            if passed == 0:
                return []
            if passed < count:
                some = sizes()[:passed]
                return budget.admit(minute, passed, sum(some), lambda: some)
        return budget.admit(minute, count, total_bytes, sizes)

    def dump(self, minute: int) -> dict[str, Any]:
        """What load() takes."""
        return {name: budget.dump(minute) for name, budget in self._budgets.items()}

    def load(self, minute: int, kept: dict[str, Any]) -> None:
        """What was counted before the restart; minute is now less what has gone by since."""
        for name, budget in self._budgets.items():
            budget.load(minute, kept.get(name, {}))

    def report(self, minute: int) -> dict[str, object]:
        """Each window with its fill, for telemctl limits."""
        lanes = {
            name: {
                "records": _window(budget.records, minute),
                "bytes": _window(budget.bytes, minute),
                "deferred_min": max(0, budget.tail - minute),
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
