# SPDX-License-Identifier: Apache-2.0
"""What the collectors cost and where they failed: counted here, told by the collector `probe`. Pure: counts only."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

REASONS_MAX: Final = 8
"""Of a collector; the failures for any other are counted together."""
REASON_CHARS_MAX: Final = 120
OTHER: Final = "other"


class Account:
    """Since the start. keys changes when there is a collector, or a reason, that wasn't there before."""

    __slots__ = ("failures", "keys", "spent_s")

    def __init__(self) -> None:
        self.failures: dict[tuple[str, str], int] = {}
        """By collector and reason."""
        self.spent_s: dict[str, float] = {}
        """In samples, by collector."""
        self.keys = 0

    def sampled(self, name: str, seconds: float) -> None:
        """A sample took so long, whatever came of it."""
        if name not in self.spent_s:
            self.keys += 1
        self.spent_s[name] = self.spent_s.get(name, 0.0) + max(0.0, seconds)

    def failed(self, name: str, reason: str) -> bool:
        """A collector gave no row. Whether this is the first time for that reason."""
        key = (name, reason[:REASON_CHARS_MAX])
        if key not in self.failures and sum(known == name for known, _ in self.failures) >= REASONS_MAX:
            key = (name, OTHER)
        is_first = key not in self.failures
        self.keys += is_first
        self.failures[key] = self.failures.get(key, 0) + 1
        return is_first
