# SPDX-License-Identifier: Apache-2.0
"""Sliding windows: what passes, what waits and for how long, against a count made the slow way."""

from __future__ import annotations

import random

import pytest

from telemd.ratelimit import HORIZON_MIN, SLOTS, Budget, Window

NOW_MIN = 29_500_000  # what the running minute is like in the year 2026


def budget(limit: int = -1, minutes: int = 15, bytes_limit: int = -1, *, spools: bool = True) -> Budget:
    return Budget(Window(limit, minutes), Window(bytes_limit, 20), spools, (Window(-1, 15), Window(-1, 20)))


def admit(at: Budget, minute: int, sizes: list[int]) -> list[tuple[int, int]]:
    return [(grant.count, grant.wait_min) for grant in at.admit(minute, len(sizes), sum(sizes), lambda: sizes)]


def test_within_the_limit_everything_passes_now() -> None:
    assert admit(budget(10), 100, [1] * 10) == [(10, 0)]


def test_sizes_are_asked_for_only_where_not_all_can_pass_now() -> None:
    def sizes() -> list[int]:
        raise AssertionError("asked for the size of each")

    at = budget(10, bytes_limit=1000)
    assert [grant.count for grant in at.admit(NOW_MIN, 10, 1000, sizes)] == [10]
    assert admit(at, NOW_MIN, [1]) == [(1, 20)]
    assert [grant.count for grant in at.admit(NOW_MIN + 20, 9, 999, sizes)] == [9]  # behind what was deferred to now


def test_surplus_is_deferred_until_the_window_has_room() -> None:
    at = budget(10)
    assert admit(at, 100, [1] * 25) == [(10, 0), (10, 15), (5, 30)]
    assert admit(at, 101, [1]) == [(1, 29)]  # not before those that came earlier


def test_surplus_is_refused() -> None:
    at = budget(10, spools=False)
    assert admit(at, 100, [1] * 25) == [(10, 0)]
    assert admit(at, 114, [1]) == []
    assert admit(at, 115, [1]) == [(1, 0)]


def test_bytes_are_counted_as_bytes() -> None:
    at = budget(bytes_limit=100, spools=False)
    assert admit(at, 0, [60, 30, 20, 5]) == [(2, 0)]
    assert admit(at, 19, [10]) == [(1, 0)]
    assert admit(at, 19, [1]) == []
    assert admit(at, 20, [90]) == [(1, 0)]


def test_a_record_over_the_byte_limit_passes_an_empty_window() -> None:
    at = budget(bytes_limit=100)
    assert admit(at, 0, [500]) == [(1, 0)]
    assert admit(at, 0, [500]) == [(1, 20)]
    assert admit(budget(bytes_limit=1), 0, [500]) == [(1, 0)]


def test_off() -> None:
    for at in (budget(-1), budget(5, 0)):
        assert admit(at, 7, [1000] * 5000) == [(5000, 0)]


@pytest.mark.parametrize("spools", [True, False])
def test_a_limit_of_zero_lets_nothing_pass(spools: bool) -> None:
    assert admit(budget(0, spools=spools), 0, [1, 1]) == []


def test_what_would_wait_for_days_is_refused() -> None:
    at = budget(1, 59)
    grants = admit(at, 0, [1] * 1000)
    assert sum(count for count, _ in grants) == HORIZON_MIN // 59 + 1
    assert max(wait for _, wait in grants) <= HORIZON_MIN
    to_the_last = admit(budget(1, 15), NOW_MIN, [1] * 1000)
    assert to_the_last == [(1, wait) for wait in range(0, HORIZON_MIN + 1, 15)]


def test_a_window_is_shorter_than_the_slots_that_are_kept() -> None:
    assert Window(1, SLOTS + 30).minutes == SLOTS - 1


def test_a_window_that_limits_nothing_counts_the_minute() -> None:
    window = Window(-1, 0)
    window.count(7, 3)
    assert (window.used(7), window.used(8)) == (3, 0)


def test_the_minute_is_not_taken_for_the_count() -> None:
    window = Window(100, 15)
    window.count(3, 40)
    assert window.used(40) == 0


@pytest.mark.parametrize("seed", range(30))
def test_no_window_ever_holds_more_than_its_limit(seed: int) -> None:
    chance = random.Random(seed)
    limit, minutes = chance.randint(1, 30), chance.randint(1, 59)
    bytes_limit = chance.choice([-1, chance.randint(50, 2000)])
    users = (Window(-1, minutes), Window(-1, minutes))
    at = Budget(Window(limit, minutes), Window(bytes_limit, minutes), chance.random() < 0.7, users)
    passed: list[tuple[int, int]] = []
    minute, newest = 1000, 0
    for _ in range(60):
        minute += chance.choice([0, 0, 1, 3, chance.randint(0, 70)])
        sizes = [chance.randint(1, 50) for _ in range(chance.randint(1, 12))]
        before = 0
        for count, wait in admit(at, minute, sizes):
            assert minute + wait >= newest  # nothing overtakes
            newest = minute + wait
            passed += [(minute + wait, size) for size in sizes[before : before + count]]
            before += count
        if not at.spools:
            assert newest <= minute
    for end in {when for when, _ in passed}:
        inside = [size for when, size in passed if end - minutes < when <= end]
        assert len(inside) <= limit
        assert bytes_limit < 0 or sum(inside) <= max(bytes_limit, max(inside))


def test_memory_is_bounded() -> None:
    at = budget(10, spools=False)
    for minute in range(5000):
        admit(at, minute, [1])
    assert len(at.records.counts) <= SLOTS and len(at.bytes.counts) <= SLOTS


def test_what_is_kept_of_a_window() -> None:
    window = Window(10, 15)
    window.count(NOW_MIN, 4)
    window.count(NOW_MIN + 15, 2)
    assert window.dump(NOW_MIN + SLOTS - 1) == [[1 - SLOTS, 4], [16 - SLOTS, 2]]
    assert window.dump(NOW_MIN + SLOTS) == [[15 - SLOTS, 2]]


def test_what_is_taken_of_a_kept_window() -> None:
    window = Window(10, SLOTS - 1)
    window.count(NOW_MIN - 5, 5)
    assert window.used(NOW_MIN) == 5
    edges = [[-SLOTS, 1], [1 - SLOTS, 2], [HORIZON_MIN, 7], [HORIZON_MIN + 1, 8]]
    window.load(NOW_MIN, [*edges, [-1, 0], [-2, -3], [-5, 1]])
    assert len(window.counts) == 3
    assert window.dump(NOW_MIN) == [[1 - SLOTS, 2], [-5, 6], [HORIZON_MIN, 7]]
    assert (window.used(NOW_MIN), window.used(NOW_MIN - 1)) == (6, 8)


def test_what_is_kept_of_a_budget() -> None:
    at = budget(10)
    admit(at, NOW_MIN, [3] * 12)
    kept = at.dump(NOW_MIN)
    assert kept == {
        "records": [[0, 10], [15, 2]],
        "bytes": [[0, 30], [15, 6]],
        "users_records": [],
        "users_bytes": [],
    }
    for windows in (kept, {"records": kept["records"]}, {"bytes": kept["bytes"]}):
        later = budget(10)
        later.load(NOW_MIN, windows)
        assert later.tail == NOW_MIN + 15
        assert later.records.used(NOW_MIN) == (10 if "records" in windows else 0)
        assert later.bytes.used(NOW_MIN) == (30 if "bytes" in windows else 0)
    empty = budget(10)
    empty.load(0, {})
    assert empty.tail == 0


def test_a_restart_remembers() -> None:
    at = budget(10)
    admit(at, 1000, [1] * 15)
    later = budget(10)
    later.load(500, at.dump(1000))
    assert admit(later, 503, [1]) == [(1, 12)]
    fresh = budget(10)
    fresh.load(500, at.dump(1000))
    assert admit(fresh, 530, [1] * 10) == [(10, 0)]


def with_users(limit: int, users: int, *, bytes_limit: int = -1, users_bytes: int = -1, spools: bool = True) -> Budget:
    shares = (Window(users, 15), Window(users_bytes, 20))
    return Budget(Window(limit, 15), Window(bytes_limit, 20), spools, shares)


def admit_user(at: Budget, minute: int, sizes: list[int]) -> list[tuple[int, int]]:
    return [(grant.count, grant.wait_min) for grant in at.admit_user(minute, len(sizes), sum(sizes), lambda: sizes)]


@pytest.mark.parametrize("spools", [True, False])
def test_users_leave_the_rest_to_the_privileged(spools: bool) -> None:
    at = with_users(10, 5, spools=spools)
    assert admit_user(at, NOW_MIN, [1] * 8) == [(5, 0)]
    assert admit_user(at, NOW_MIN + 14, [1]) == []
    assert admit(at, NOW_MIN + 14, [1] * 5) == [(5, 0)]
    assert admit_user(at, NOW_MIN + 15, [1] * 5) == [(5, 0)]


def test_the_privileged_may_have_all_that_users_leave() -> None:
    at = with_users(10, 5)
    assert admit_user(at, NOW_MIN, [1] * 2) == [(2, 0)]
    assert admit(at, NOW_MIN, [1] * 9) == [(8, 0), (1, 15)]


def test_users_never_make_anybody_wait() -> None:
    at = with_users(10, 5)
    assert admit(at, NOW_MIN, [1] * 8) == [(8, 0)]
    assert admit_user(at, NOW_MIN, [1] * 5) == [(2, 0)]
    assert admit_user(at, NOW_MIN, [1]) == []
    assert at.tail <= NOW_MIN


def test_users_stand_behind_what_was_deferred() -> None:
    at = with_users(10, 5)
    assert admit(at, NOW_MIN, [1] * 13) == [(10, 0), (3, 15)]
    assert admit_user(at, NOW_MIN + 1, [1] * 3) == [(3, 14)]
    assert admit_user(at, NOW_MIN + 1, [1] * 3) == [(2, 14)]
    assert admit(at, NOW_MIN + 1, [1] * 2) == [(2, 14)]
    assert at.tail == NOW_MIN + 15


def test_bytes_of_users() -> None:
    at = with_users(-1, -1, bytes_limit=100, users_bytes=50)
    assert admit_user(at, NOW_MIN, [20, 20, 20, 5]) == [(2, 0)]
    assert admit_user(at, NOW_MIN, [11]) == []
    assert admit_user(at, NOW_MIN, [10]) == [(1, 0)]
    assert admit(at, NOW_MIN, [50]) == [(1, 0)]
    assert admit_user(at, NOW_MIN + 20, [50]) == [(1, 0)]


def test_users_sizes_are_asked_for_only_where_not_all_fit() -> None:
    def sizes() -> list[int]:
        raise AssertionError("asked for the size of each")

    at = with_users(10, 5, bytes_limit=100, users_bytes=50)
    assert [grant.count for grant in at.admit_user(NOW_MIN, 5, 50, sizes)] == [5]


def test_what_users_had_is_kept() -> None:
    at = with_users(10, 5)
    admit_user(at, NOW_MIN, [3] * 4)
    kept = at.dump(NOW_MIN)
    assert kept["users_records"] == [[0, 4]] and kept["users_bytes"] == [[0, 12]]
    later = with_users(10, 5)
    later.load(NOW_MIN, kept)
    assert admit_user(later, NOW_MIN, [1] * 4) == [(1, 0)]


def test_memory_of_users_is_bounded() -> None:
    at = with_users(10, 5)
    for minute in range(3000):
        admit_user(at, minute, [1])
    assert max(len(window.counts) for window in at.windows().values()) <= SLOTS
