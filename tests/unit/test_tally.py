# SPDX-License-Identifier: Apache-2.0
"""A sum that is left in front, against one that is made the slow way; and that it stays small."""

from __future__ import annotations

import random

import pytest

from telemd.tally import PLACES_MAX, Tally


def test_what_is_before_the_first_place_is_gone() -> None:
    tally = Tally()
    for place, amount in ((3, 10), (3, 5), (7, 1)):
        tally.add(place, amount)
    assert [tally.used(first) for first in (0, 3, 4, 7, 8)] == [16, 16, 1, 1, 0]
    assert tally.places == {}


def test_nothing_is_no_place() -> None:
    tally = Tally()
    tally.add(3, 0)
    tally.add(4, -5)
    assert (tally.places, tally.total) == ({}, 0)


def test_what_comes_with_a_lower_place_leaves_with_the_one_before() -> None:
    tally = Tally()
    tally.add(9, 1)
    tally.add(2, 1)
    assert tally.places == {9: 2}


def test_places_are_joined_to_the_later_one() -> None:
    even, odd = Tally(), Tally()
    for place in range(PLACES_MAX + 1):
        even.add(place, 1)
        odd.add(place, 1)
    assert len(odd.places) == PLACES_MAX // 2 + 1
    assert list(odd.places.items())[:3] == [(0, 1), (2, 2), (4, 2)]
    assert odd.total == sum(odd.places.values()) == PLACES_MAX + 1
    odd.add(PLACES_MAX + 1, 1)
    assert len(odd.places) == PLACES_MAX // 2 + 2


@pytest.mark.parametrize("seed", range(20))
def test_never_less_than_what_is_there_and_exact_while_places_are_few(seed: int) -> None:
    chance = random.Random(seed)
    tally, there, place, first = Tally(), list[tuple[int, int]](), 0, 0
    few = seed % 2 == 0
    for _ in range(500):
        place += chance.randint(0, 3)
        first = max(first, place - 20 if few else chance.choice([first, place - 300, place - 400]))
        amount = chance.randint(0, 9)
        tally.add(place, amount)
        there.append((place, amount))
        exact = sum(amount for at, amount in there if at >= first)
        used = tally.used(first)
        assert used == exact if few else used >= exact
        assert len(tally.places) <= PLACES_MAX
    assert tally.used(place + 1) == 0
