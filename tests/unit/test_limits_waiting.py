# SPDX-License-Identifier: Apache-2.0
"""How long a record waits with the default limits, minute by minute of a made-up clock: not at all for a load within
them, and never longer than its window for as much again.
"""

from __future__ import annotations

import random

import pytest

from telemd.config import Settings
from telemd.limits import Limits

EVENT = 1
LIMIT = Settings().record_burst_limit
WINDOW_MIN = Settings().record_window_length
SIZES = [1000] * 10_000
DAY_MIN = 24 * 60


def waits(limits: Limits, minute: int, count: int) -> list[int]:
    """The minutes that each of these records waits; all are admitted."""
    grants = limits.admit(EVENT, None, minute, count, 1000 * count, lambda: SIZES[:count])
    found = [grant.wait_min for grant in grants for _ in range(grant.count)]
    assert len(found) == count
    return found


def parts(chance: random.Random, total: int) -> list[int]:
    """A window's minutes, and how many records come in each."""
    minutes = [0] * WINDOW_MIN
    for _ in range(20):
        minutes[chance.randrange(WINDOW_MIN)] += total // 20
    return minutes


def test_the_defaults_are_what_this_is_about() -> None:
    assert (LIMIT, WINDOW_MIN, Settings().rate_limit_strategy) == (1000, 15, "spool")


@pytest.mark.parametrize("seed", range(20))
def test_a_load_within_the_limits_never_waits(seed: int) -> None:
    chance = random.Random(seed)
    limits = Limits(Settings())
    came: dict[int, int] = {}
    for minute in range(DAY_MIN):
        used = sum(count for at, count in came.items() if minute - WINDOW_MIN < at)
        count = chance.choice([0, 0, 1, 50, LIMIT - used])
        came[minute] = min(count, LIMIT - used)
        assert set(waits(limits, minute, came[minute])) <= {0}


@pytest.mark.parametrize("seed", range(20))
def test_a_burst_of_twice_the_limit_waits_for_one_window_at_most(seed: int) -> None:
    """With a window of nothing behind it, in which the surplus goes."""
    chance = random.Random(seed)
    limits = Limits(Settings())
    minute = 0
    for _ in range(20):
        found: list[int] = []
        for at, count in enumerate(parts(chance, 2 * LIMIT)):
            found += waits(limits, minute + at, count)
        assert max(found) <= WINDOW_MIN
        assert sum(wait == 0 for wait in found) >= LIMIT
        minute += 3 * WINDOW_MIN


def test_each_further_limit_waits_for_a_window_more() -> None:
    limits = Limits(Settings())
    found = waits(limits, 0, 5 * LIMIT)
    assert found == [WINDOW_MIN * (at // LIMIT) for at in range(5 * LIMIT)]


def test_a_steady_surplus_is_sent_at_the_rate_of_the_limits() -> None:
    """A tenth too much for hours: the wait grows by a tenth of the time, and no faster."""
    limits = Limits(Settings())
    a_minute = LIMIT // WINDOW_MIN * 11 // 10
    longest = 0
    for minute in range(6 * 60):
        longest = max(longest, *waits(limits, minute, a_minute))
        assert longest <= WINDOW_MIN + minute // 8
    assert longest > 0
