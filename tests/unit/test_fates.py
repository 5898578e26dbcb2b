# SPDX-License-Identifier: Apache-2.0
"""The ring of fates: the newest fate of a record, for as long as it isn't pushed out."""

from __future__ import annotations

import random

import pytest

from telemd.fates import DELIVERED, EVICTED, FATES_MAX, ID_LEN, NAMES, REFUSED, REJECTED, Fates


def ids(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(ID_LEN, "big") for number in numbers)


def seen(fates: Fates, number: int) -> tuple[int, int, int] | None:
    found = fates.find(ids(number))
    return None if found is None else (found.end, found.reason, found.when_us)


def test_what_was_added_is_found() -> None:
    fates = Fates()
    assert seen(fates, 1) is None
    fates.add(ids(1, 2), DELIVERED, 100)
    fates.add(ids(3), REJECTED, 200, 7)
    assert seen(fates, 1) == seen(fates, 2) == (DELIVERED, 0, 100)
    assert seen(fates, 3) == (REJECTED, 7, 200)
    assert seen(fates, 4) is None
    assert len(fates) == 3


def test_nothing_may_be_added() -> None:
    fates = Fates(2)
    fates.add(b"", DELIVERED, 1)
    assert len(fates) == 0


def test_newest_fate_of_a_record_counts() -> None:
    fates = Fates(4)
    fates.add(ids(1, 2, 3), REFUSED, 1, 17)
    fates.add(ids(1), DELIVERED, 2)
    assert seen(fates, 1) == (DELIVERED, 0, 2)
    fates.add(ids(1), EVICTED, 3)  # in the first place of the ring, before the older one
    assert seen(fates, 1) == (EVICTED, 0, 3)
    assert seen(fates, 2) == (REFUSED, 17, 1)


@pytest.mark.parametrize("step", [1, 3, 7, 10, 25])
def test_the_last_ones_are_remembered_and_no_others(step: int) -> None:
    fates = Fates(10)
    for first in range(0, 100, step):
        fates.add(ids(*range(first, first + step)), DELIVERED, first)
        behind = first + step
        assert [number for number in range(behind) if seen(fates, number)] == list(range(max(0, behind - 10), behind))
        assert seen(fates, behind - 1) == (DELIVERED, 0, first)


def test_an_id_that_two_others_make_up_together_is_not_found() -> None:
    fates = Fates()
    fates.add(b"a" * 8 + b"b" * 8 + b"c" * 8 + b"d" * 8, DELIVERED, 1)
    assert fates.find(b"b" * 8 + b"c" * 8) is None
    fates.add(b"b" * 8 + b"c" * 8, EVICTED, 2)
    fates.add(b"a" * 8 + b"b" * 8 + b"c" * 8 + b"d" * 8, DELIVERED, 3)
    found = fates.find(b"b" * 8 + b"c" * 8)
    assert found is not None and found.when_us == 2


def test_against_a_list() -> None:
    chance = random.Random(5)
    fates = Fates(50)
    told: list[tuple[int, int]] = []
    for when in range(300):
        batch = [chance.randrange(80) for _ in range(chance.choice((1, 2, 9, 70)))]
        fates.add(ids(*batch), DELIVERED, when)
        told = (told + [(number, when) for number in batch])[-50:]
        for number in range(80):
            newest = next((at for one, at in reversed(told) if one == number), None)
            assert seen(fates, number) == (None if newest is None else (DELIVERED, 0, newest))


def test_ring_has_a_limit() -> None:
    fates = Fates()
    fates.add(ids(*range(3 * FATES_MAX)), DELIVERED, 1)
    assert len(fates) == FATES_MAX
    assert len(NAMES) == REFUSED + 1
