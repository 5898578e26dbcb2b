# SPDX-License-Identifier: Apache-2.0
"""telemd.backoff: the bounds of every wait. No clock and no waiting."""

from __future__ import annotations

import random

import pytest

from telemd.backoff import CAP_S, FIRST_S, FLOOR_S, RETRY_AFTER_CAP_S, wait_s

ALMOST_ONE = 1 - 2**-53


def test_the_longest_wait_doubles_up_to_the_cap() -> None:
    longest = [wait_s(failures, ALMOST_ONE) for failures in range(1, 12)]
    assert longest == pytest.approx([2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900])


def test_no_number_of_failures_passes_the_cap() -> None:
    assert wait_s(10**9, ALMOST_ONE) <= CAP_S
    assert wait_s(10**9, ALMOST_ONE, cap_s=5) <= 5


def test_chance_is_spread_over_all_of_the_wait() -> None:
    chance = random.Random(3)
    waits = [wait_s(8, chance.random()) for _ in range(4000)]
    ceiling_s = FIRST_S * 2**7
    assert sum(waits) / len(waits) == pytest.approx(ceiling_s / 2, rel=0.05)
    assert min(waits) < ceiling_s * 0.02
    assert max(waits) > ceiling_s * 0.98


def test_no_chance_makes_it_spin() -> None:
    assert wait_s(1, 0.0) == FLOOR_S
    assert wait_s(0, 0.0) == FLOOR_S
    assert wait_s(-5, ALMOST_ONE) == pytest.approx(FIRST_S)


@pytest.mark.parametrize("chance", [0.0, 0.5, ALMOST_ONE])
@pytest.mark.parametrize("asked_s", [1, 120, 3600])
def test_what_the_server_asks_for_is_kept_to(asked_s: int, chance: float) -> None:
    assert asked_s <= wait_s(1, chance, asked_s) <= max(asked_s * 1.1, FIRST_S)


def test_what_the_server_asks_for_is_spread_by_a_tenth() -> None:
    assert [wait_s(1, chance, 600) for chance in (0.0, 0.5)] == [600, 630]


def test_a_fleet_sent_away_together_does_not_come_back_together() -> None:
    chance = random.Random(4)
    waits = {round(wait_s(1, chance.random(), 600)) for _ in range(500)}
    assert len(waits) > 50


def test_a_server_cannot_silence_a_machine_for_longer_than_an_hour() -> None:
    assert wait_s(1, 0.0, 10**9) == RETRY_AFTER_CAP_S
    assert wait_s(1, ALMOST_ONE, 10**9) <= RETRY_AFTER_CAP_S * 1.1


def test_the_longer_wait_wins() -> None:
    assert wait_s(12, 0.9, 1) == pytest.approx(0.9 * CAP_S)


@pytest.mark.parametrize("asked_s", [0, -1, -(10**9)])
def test_nothing_asked_for_is_nothing(asked_s: int) -> None:
    assert wait_s(3, 0.5, asked_s) == wait_s(3, 0.5)
