# SPDX-License-Identifier: Apache-2.0
"""What many simulations came to, added up.

Pure but for what it reads off a finished simulation.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation import Simulation

ENDS = ("rejected", "evicted", "expired", "purged", "damaged")


class Tally:
    """Sums. lost and twice are counted here once more, after the oracle: records answered "durable" that ended neither
    at the hub nor under a counter, and records that the hub has with two contents or more than once."""

    def __init__(self) -> None:
        self.seeds = 0
        self.sent = 0
        self.disk_calls = 0
        self.answers: Counter[str] = Counter()
        self.stored = 0
        self.seen_again = 0
        self.ends: Counter[str] = Counter()
        self.lost = 0
        self.twice = 0
        self.injected: Counter[str] = Counter()

    def add(self, done: Simulation) -> None:
        """One that has run to its end."""
        account = done.life.spool.accounting()
        self.seeds += 1
        self.sent += len(done.sent)
        self.disk_calls += done.disk.calls
        self.answers += done.answers
        self.stored += len(done.hub.stored)
        self.seen_again += done.hub.seen_again
        self.ends += Counter({name: account[name] for name in ENDS})
        self.twice += len(done.hub.conflicts)
        self.injected += done.injected
        if done.plan.honest:
            away = len(done.durable - done.hub.stored.keys())
            self.lost += max(0, away - sum(account[name] for name in ENDS if name != "damaged"))

    def merge(self, other: Tally) -> None:
        """The sums of another process."""
        for name in ("seeds", "sent", "disk_calls", "stored", "seen_again", "lost", "twice"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("answers", "ends", "injected"):
            getattr(self, name).update(getattr(other, name))
