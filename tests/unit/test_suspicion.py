# SPDX-License-Identifier: Apache-2.0
"""The record that ends the courier is found by halving, whichever it is, and nothing else is given up."""

from __future__ import annotations

import math

import pytest

from telemd.suspicion import DEATHS_OF_A_BATCH, DEATHS_OF_ONE, Suspicion


def hunt(total: int, poison: set[int], full: int) -> tuple[list[int], list[int], int]:
    """Deliver records 1 .. total in batches; those of poison end the courier. What was delivered, condemned, deaths."""
    suspicion = Suspicion()
    delivered: list[int] = []
    condemned: list[int] = []
    deaths, cursor = 0, 1
    while cursor <= total:
        count = min(suspicion.size_for(1, full), total - cursor + 1)
        assert count >= 1
        batch = range(cursor, cursor + count)
        if poison.isdisjoint(batch):
            suspicion.survived(1, count, full)
            delivered += batch
            cursor += count
            continue
        deaths += 1
        assert deaths < 1000
        if suspicion.died(1, cursor, count):
            condemned.append(cursor)
            cursor += 1
    return delivered, condemned, deaths


@pytest.mark.parametrize("poison", [{1}, {1000}, {500}, {1, 2, 3}, {17, 900}, set()])
def test_only_the_poison_is_given_up(poison: set[int]) -> None:
    delivered, condemned, deaths = hunt(1000, poison, 1000)
    assert condemned == sorted(poison)
    assert delivered == [number for number in range(1, 1001) if number not in poison]
    assert deaths <= len(poison) * (2 * DEATHS_OF_A_BATCH * (math.ceil(math.log2(1000)) + 1) + DEATHS_OF_ONE)


def test_a_single_death_changes_nothing_for_long() -> None:
    suspicion = Suspicion()
    assert suspicion.lane is None
    assert not suspicion.died(0, 1, 1000)
    assert suspicion.size_for(0, 1000) == 1000
    suspicion.survived(0, 1000, 1000)
    assert suspicion.lane is None


def test_a_batch_is_halved_only_at_its_second_death() -> None:
    suspicion = Suspicion()
    sizes = []
    for _ in range(5):
        suspicion.died(1, 7, suspicion.size_for(1, 1000))
        sizes.append(suspicion.size_for(1, 1000))
    assert sizes == [1000, 500, 500, 250, 250]


def test_a_single_record_is_condemned_at_its_third_death() -> None:
    suspicion = Suspicion()
    assert [suspicion.died(1, 7, 1) for _ in range(DEATHS_OF_ONE)] == [False] * (DEATHS_OF_ONE - 1) + [True]
    assert suspicion.lane is None


def test_what_was_answered_doubles_until_nothing_is_suspected() -> None:
    suspicion = Suspicion()
    suspicion.died(1, 7, 100)
    suspicion.survived(1, 100, 400)
    assert (suspicion.lane, suspicion.size_for(1, 400)) == (1, 200)
    suspicion.survived(1, 200, 400)
    assert suspicion.lane is None


def test_an_answer_forgets_the_deaths_before_it() -> None:
    suspicion = Suspicion()
    for _ in range(DEATHS_OF_ONE - 1):
        suspicion.died(1, 7, 1)
    suspicion.survived(1, 1, 1000)  # it was answered, but must be tried again: it stays the first
    suspicion.died(1, 7, 2)
    assert suspicion.size_for(1, 1000) == 2


def test_other_lanes_keep_their_size() -> None:
    suspicion = Suspicion()
    for _ in range(DEATHS_OF_A_BATCH):
        suspicion.died(1, 5, 100)
    assert suspicion.size_for(1, 1000) == 50 and suspicion.size_for(0, 1000) == 1000


def test_deaths_of_different_single_records_are_not_added_up() -> None:
    suspicion = Suspicion()
    for first_seq in range(1, 10):
        assert not suspicion.died(1, first_seq, 1)
