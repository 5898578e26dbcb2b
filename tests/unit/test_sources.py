# SPDX-License-Identifier: Apache-2.0
"""Who counts as one sender, and that nobody is forgotten while something is left of what he sent."""

from __future__ import annotations

import pytest

from telemd.sourcelimit import SOURCES_SHOWN, SourceLimit
from telemd.sources import BLOCK, BLOCK_USERS, NEWCOMERS, SOURCES_MAX, Table, is_one_user, source_of

NOW_MIN = 29_500_000
SUBUID = 3 * BLOCK  # the first of a block


def send(at: SourceLimit, minute: int, uid: int, count: int) -> int:
    passed = at.passed(minute, uid, count)
    at.take(minute, uid, passed)
    return passed


def used(at: SourceLimit, minute: int = NOW_MIN) -> dict[str, int]:
    found = at.report(minute)["used"]
    assert isinstance(found, dict)
    return found


def test_users_and_blocks() -> None:
    assert [source_of(uid) for uid in (0, 1000, BLOCK - 1)] == [0, 1000, BLOCK - 1]
    assert source_of(BLOCK) == source_of(2 * BLOCK - 1) != source_of(2 * BLOCK)
    assert all(is_one_user(source_of(uid)) for uid in (0, BLOCK - 1))
    assert not any(is_one_user(source_of(uid)) for uid in (BLOCK, (1 << 32) - 1))
    assert not is_one_user(NEWCOMERS)


def test_a_table_forgets_only_who_has_nothing_left() -> None:
    table = Table()
    for uid in range(SOURCES_MAX):
        table.enter(table.key(uid, 0)).sure.add(uid % 2, 1)
    assert table.key(5000, 0) == NEWCOMERS
    assert table.key(7, 0) == 7
    assert table.key(5000, 1) == 5000  # half of them are over
    assert table.key(7, 1) == 7
    assert len(table.parts) == SOURCES_MAX // 2
    table.enter(NEWCOMERS).beyond.add(3, 5)
    assert table.find(NEWCOMERS).used(1) == 5
    assert table.find(99_999).used(1) == 0 and 99_999 not in table.parts


def test_each_user_has_a_window() -> None:
    limit = SourceLimit(100, 15)
    assert [send(limit, 0, 1000, 70), send(limit, 1, 1000, 70), send(limit, 1, 1001, 70)] == [70, 30, 70]
    assert send(limit, 14, 1000, 5) == 0
    assert send(limit, 15, 1000, 75) == 70
    assert limit.report(15) == {"limit": 100, "minutes": 15, "used": {"1000": 100, "1001": 70}}


def test_asking_counts_nothing() -> None:
    limit = SourceLimit(10, 15)
    assert limit.passed(0, 1, 10) == limit.passed(0, 1, 10) == 10
    assert used(limit, 0) == {}


def test_going_through_user_ids_opens_no_window() -> None:
    """The owner of a range of subordinate ids has 65,536 of them."""
    limit = SourceLimit(10, 15)
    assert sum(send(limit, NOW_MIN, SUBUID + i, 10) for i in range(3 * SOURCES_MAX)) == BLOCK_USERS * 10
    assert send(limit, NOW_MIN, SUBUID, 10) == 0
    assert send(limit, NOW_MIN, SUBUID - 1, 10) == 10  # of another block


def test_members_of_a_block_have_a_window_each() -> None:
    limit = SourceLimit(10, 15)
    assert [send(limit, NOW_MIN, SUBUID + i, 15) for i in (0, 1)] == [10, 10]
    assert send(limit, NOW_MIN, SUBUID, 1) == 0
    assert used(limit) == {str(SUBUID): 10, str(SUBUID + 1): 10}


def test_newcomers_to_a_full_table_share_one_place() -> None:
    limit = SourceLimit(10, 15)
    for uid in range(SOURCES_MAX):
        assert send(limit, NOW_MIN, uid, 10) == 10
    late = [send(limit, NOW_MIN, 2000 + i, 10) for i in range(20)]
    assert late == [10] * BLOCK_USERS + [0] * (20 - BLOCK_USERS)
    assert send(limit, NOW_MIN, 0, 1) == 0  # nobody was forgotten
    assert [send(limit, NOW_MIN + 15, uid, 10) for uid in (0, 3000)] == [10, 10]


def test_the_fullest_are_shown() -> None:
    limit = SourceLimit(100, 15)
    for uid in range(SOURCES_SHOWN + 5):
        send(limit, NOW_MIN, uid, uid)
    assert list(used(limit).items()) == [(str(uid), uid) for uid in range(SOURCES_SHOWN + 4, 4, -1)]


@pytest.mark.parametrize(("limit", "minutes"), [(-1, 15), (5, 0)])
def test_no_limit(limit: int, minutes: int) -> None:
    none = SourceLimit(limit, minutes)
    assert send(none, 0, 1, 10**6) == 10**6
    assert none.report(0) == {"limit": -1, "minutes": minutes, "used": {}}
    none.load(0, [[1, 0, 5]])
    assert used(none, 0) == {}


def test_narrow_limits() -> None:
    assert send(SourceLimit(0, 15), 0, 1, 5) == 0
    one = SourceLimit(5, 1)
    assert [send(one, NOW_MIN, 1, 4), send(one, NOW_MIN, 1, 4), send(one, NOW_MIN + 1, 1, 4)] == [4, 1, 4]


def test_a_restart_remembers() -> None:
    before = SourceLimit(10, 15)
    for minute, uid, count in ((NOW_MIN - 15, 1, 3), (NOW_MIN - 14, 2, 7), (NOW_MIN - 3, 1, 7), (NOW_MIN, SUBUID, 7)):
        assert send(before, minute, uid, count) == count
    rows = before.dump(NOW_MIN)
    assert rows == [[2, -14, 7], [1, -3, 7], [SUBUID, 0, 7]]
    after = SourceLimit(10, 15)
    after.load(100, rows)
    assert [after.passed(100, uid, 10) for uid in (1, 2, SUBUID)] == [3, 3, 3]
    later = SourceLimit(10, 15)
    later.load(100, [[1, -15, 5], [2, 1, 5], [NEWCOMERS, 0, 5], [3, 0, 5], [4, -14, 5]])
    assert used(later, 100) == {"3": 5, "4": 5}
    assert used(later, 101) == {"3": 5}
    none = SourceLimit(0, 15)
    none.load(100, [[3, 0, 5]])
    assert used(none, 100) == {"3": 5}


def test_more_users_than_there_are_places_for_can_be_loaded() -> None:
    limit = SourceLimit(10, 15)
    limit.load(NOW_MIN, [[uid, 0, 1] for uid in range(SOURCES_MAX + 5)])
    assert limit.passed(NOW_MIN, SOURCES_MAX + 4, 10) == 9
    assert limit.passed(NOW_MIN, 0, 10) == 9
