# SPDX-License-Identifier: Apache-2.0
"""What one user may have of what all have: few leave something to the others, many leave everybody what is sure."""

from __future__ import annotations

import random

import pytest

from telemd.fairshare import KEPT_SOURCES, FairShare
from telemd.sources import BLOCK, BLOCK_USERS, NEWCOMERS, SOURCES_MAX

NOW = 1_000_000
SUBUID = 5 * BLOCK


def take(share: FairShare, uid: int, wanted: int, place: int = NOW, first: int = NOW) -> int:
    room = share.room(first, uid)
    amount = min(wanted, room.sure + room.beyond)
    share.take(first, place, uid, amount)
    return amount


def test_one_user_gets_half_of_what_is_for_bursts_and_what_is_sure() -> None:
    share = FairShare(1000)
    assert take(share, 1000, 10**6) == 375 + 10
    assert take(share, 1000, 1) == 0
    assert share.used(NOW) == 385


@pytest.mark.parametrize("total", [0, 1, 3, 10, 100, 500, 1000, 1_966_080])
def test_what_one_alone_may_have_is_what_one_gets(total: int) -> None:
    assert FairShare(total).alone == take(FairShare(total), 1000, 10**7)


def test_a_little_at_a_time_is_no_more() -> None:
    share = FairShare(1000)
    assert sum(take(share, 1000, 1) for _ in range(1000)) == 375 + 10


def test_what_is_left_is_halved_again() -> None:
    share = FairShare(1000)
    assert [take(share, uid, 10**6) - 10 for uid in (1, 2, 3)] == [375, 188, 94]


@pytest.mark.parametrize("hogs", [1, 5, 12, 24])
def test_a_user_who_sends_little_is_never_shut_out_by_a_few(hogs: int) -> None:
    share = FairShare(1000)
    for uid in range(hogs):
        take(share, uid, 10**6)
    assert take(share, 5000, 10) == 10


def test_all_together_have_no_more_than_there_is() -> None:
    share = FairShare(1000)
    assert sum(take(share, uid, 10**6) for uid in range(500)) == 1000
    assert share.used(NOW) == 1000


def test_what_is_over_comes_back() -> None:
    share = FairShare(1000)
    assert take(share, 1, 10**6, place=NOW) == 385
    assert take(share, 1, 1, first=NOW) == 0
    assert take(share, 1, 10**6, place=NOW + 1, first=NOW + 1) == 385


def test_a_block_has_what_a_few_users_have() -> None:
    share = FairShare(10_000)
    sure = sum(min(100, take(share, SUBUID + i, 100)) for i in range(SOURCES_MAX * 2))
    assert sure == BLOCK_USERS * 100 + 3750
    assert take(share, 1000, 100) == 100


def test_a_block_is_halved_among_its_members() -> None:
    share = FairShare(1000)
    assert take(share, SUBUID, 10**6) == 10 + 188
    assert take(share, SUBUID + 1, 10**6) == 10 + 94
    assert take(share, SUBUID + 2, 10) == 10
    other = FairShare(1000)
    assert sum(take(other, SUBUID, 1) for _ in range(2000)) == 10 + 188


def test_newcomers_to_a_full_table() -> None:
    share = FairShare(100_000_000)
    for uid in range(SOURCES_MAX):
        take(share, uid, 1)
    assert take(share, 5000, 10) == 10
    assert take(share, 5001, 10) == 10
    assert (NEWCOMERS, 20) not in share.fullest(NOW, 5)
    assert share.fullest(NOW, 2) == [(5000, 10), (5001, 10)]
    assert take(share, 0, 10**9) < 50_000_000


@pytest.mark.parametrize("total", [0, 1, 2, 3, 5, 10, 99, 100, 101])
def test_small_totals(total: int) -> None:
    share = FairShare(total)
    assert share.sure == min(1, total)
    assert (take(share, 1, 1) == 1) == (total > 0)
    assert sum(take(share, uid, 10**6) for uid in range(2000)) <= total
    assert share.used(NOW) <= total


def test_what_is_too_large_passes_where_nobody_has_anything() -> None:
    share = FairShare(1000)
    assert share.room(NOW, 1).fits(5000, 0)
    assert not share.room(NOW, 1).holds(5000)
    assert not share.room(NOW, 1).fits(5000, 1)
    share.take(NOW, NOW, 1, 5000)
    assert not share.room(NOW, 2).fits(5000, 0)
    assert share.used(NOW) == 5000
    assert not FairShare(0).room(NOW, 1).fits(1, 0)


def test_fits_counts_what_was_let_pass_before() -> None:
    share = FairShare(1000)
    take(share, 2, 1)
    room = share.room(NOW, 1)
    assert room.sure == 10 and room.beyond == 375
    assert room.fits(85, 300) and not room.fits(86, 300)


@pytest.mark.parametrize("seed", range(20))
def test_many_users_that_come_and_go(seed: int) -> None:
    chance = random.Random(seed)
    share = FairShare(2000)
    there: list[tuple[int, int, int]] = []
    for place in range(1, 400):
        first = place - 20
        uid = chance.choice([1, 2, 3, chance.randint(4, 60), SUBUID + chance.randint(0, 50)])
        there = [each for each in there if each[0] >= first]
        before = sum(amount for _, whose, amount in there if whose == uid)
        amount = take(share, uid, chance.choice([1, 5, 10**6]), place, first)
        there.append((place, uid, amount))
        assert share.used(first) == sum(amount for *_, amount in there) <= 2000
        assert before + amount <= 750 + 20
        assert dict(share.fullest(first, 100)).get(uid, 0) == before + amount


def test_a_restart_remembers() -> None:
    before = FairShare(1000)
    take(before, 1, 200, place=NOW - 2, first=NOW - 5)
    take(before, SUBUID, 60, place=NOW - 1, first=NOW - 5)
    take(before, 1, 30, place=NOW, first=NOW - 5)
    rows = before.dump(NOW - 5, NOW)
    assert sorted({row[1] for row in rows}) == [-2, -1, 0]
    after = FairShare(1000)
    after.load(495, 500, rows)
    for uid in (1, 2, SUBUID, SUBUID + 1):
        one, other = before.room(NOW - 5, uid), after.room(495, uid)
        assert (one.sure, one.beyond) == (other.sure, other.beyond)
    assert after.used(495) == before.used(NOW - 5) == 290
    assert after.used(499) == 90
    late = FairShare(1000)
    late.load(499, 500, rows)
    assert late.used(499) == 90 and late.fullest(499, 9) == [(SUBUID, 60), (1, 30)]


def test_of_many_users_only_the_fullest_are_kept_but_all_that_they_had() -> None:
    before = FairShare(100_000)
    for uid in range(100):
        take(before, uid, 100 + uid)
    rows = before.dump(NOW, NOW)
    after = FairShare(100_000)
    after.load(NOW, NOW, rows)
    assert after.used(NOW) == before.used(NOW)
    assert after.fullest(NOW, 100) == before.fullest(NOW, KEPT_SOURCES)
    assert len(rows) == 1 + KEPT_SOURCES


def test_what_is_set_aside_is_a_whole_number() -> None:
    share = FairShare(1003)
    for uid in range(25):
        assert take(share, uid, 10) == 10
    assert share.room(NOW, 100).sure == 0


def test_the_whole_may_be_one() -> None:
    assert FairShare(1).room(NOW, 1).fits(5, 0)


def test_members_of_a_block_are_sure_of_no_more_than_is_set_aside() -> None:
    share = FairShare(1000)
    for uid in range(25):
        take(share, uid, 10)
    assert share.room(NOW, SUBUID).sure == 0
    assert share.room(NOW, SUBUID).beyond > 0


def test_a_restart_keeps_the_order_of_places() -> None:
    before, after = FairShare(1000), FairShare(1000)
    take(before, SUBUID + 1, 10, place=NOW - 2, first=NOW - 9)
    take(before, SUBUID, 10, place=NOW, first=NOW - 9)
    after.load(NOW - 9, NOW, before.dump(NOW - 9, NOW))
    for uid in (SUBUID + 2, SUBUID + 3, SUBUID + 4):
        assert after.room(NOW - 1, uid).sure == 10
        assert take(after, uid, 10, place=NOW, first=NOW - 1) == 10
    assert after.room(NOW - 1, SUBUID + 5).sure == 0
    assert after.used(NOW - 1) == 40


def test_more_users_than_there_are_places_for_can_be_loaded() -> None:
    share = FairShare(10**6)
    share.load(NOW, NOW, [[uid, 0, 1, 0] for uid in range(SOURCES_MAX + 10)])
    assert len(share.fullest(NOW, 10**6)) == SOURCES_MAX + 10
    share.load(NOW, NOW, [[NEWCOMERS, 0, 1, 0]])
    assert len(share.fullest(NOW, 10**6)) == SOURCES_MAX + 10
