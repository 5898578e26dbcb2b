# SPDX-License-Identifier: Apache-2.0
"""Hostile users against the default limits: what they can't take from root and from each other, in records, in bytes,
and in the spool. Each attack is one that worked before there were shares (docs/decisions/0010-shares-of-users.md).
"""

from __future__ import annotations

from telemd.config import Settings
from telemd.limits import Limits
from telemd.ratelimit import Window
from telemd.sources import BLOCK, SOURCES_MAX
from telemd.usershares import FRAME_BYTES, UserShares

EVENT, METRIC = 1, 2
NOW_MIN = 29_500_000
LARGE = 64 * 1024
CAP = Settings().spool_max_size * 1024
LIMIT = Settings().record_burst_limit
SUBUID = 2 * BLOCK


def waiting(limits: Limits, minute: int = NOW_MIN) -> int:
    used = limits.report(minute)["lanes"]["event"]["users"]["waiting"]["used"]  # type: ignore[index]
    assert isinstance(used, int)
    return used


class Sender:
    """Sends through the limits into a spool of which nothing is delivered, unless it is said."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.limits = Limits(settings or Settings())
        self.cursor = 1
        self.next = 1

    def send(
        self, uid: int | None, count: int, size: int = 1000, minute: int = NOW_MIN, lane: int = EVENT
    ) -> list[tuple[int, int]]:
        self.limits.stand(lane, self.cursor, self.next)
        grants = self.limits.admit(lane, uid, minute, count, size * count, lambda: [size] * count)
        self.next += sum(grant.count for grant in grants)
        return [(grant.count, grant.wait_min) for grant in grants]

    def many(self, uid: int, count: int, size: int = 1000, minute: int = NOW_MIN) -> int:
        return sum(passed for passed, _ in self.send(uid, count, size, minute))

    def waiting(self, minute: int = NOW_MIN) -> int:
        return waiting(self.limits, minute)


# -- bytes in the spool --


def test_one_user_cannot_fill_the_spool_however_long_it_tries() -> None:
    sender = Sender()
    taken = sum(sender.many(1000, 500, LARGE, NOW_MIN + 15 * i) for i in range(100)) * LARGE
    assert CAP // 10 < taken < CAP // 4
    assert sender.many(1001, 2, 2000, NOW_MIN + 15 * 100) == 2
    assert sender.send(None, 50, LARGE, NOW_MIN + 15 * 100) == [(50, 0)]


def test_a_few_users_together_leave_half_of_the_spool() -> None:
    sender = Sender()
    taken = sum(sender.many(uid, 500, 4000, NOW_MIN + 15 * i) for i in range(20) for uid in range(1000, 1020))
    assert CAP // 4 < taken * 4000 < CAP // 2
    assert sender.many(2000, 2, 4000, NOW_MIN + 15 * 100) == 2


def test_small_records_are_counted_as_they_are_on_disk() -> None:
    sender = Sender(Settings(record_burst_limit=-1, source_burst_limit=-1))
    passed = sender.many(1000, 100_000, 100)
    assert passed * (100 + FRAME_BYTES) == sender.waiting() <= CAP // 4


def test_what_was_delivered_is_given_back() -> None:
    settings = Settings(record_burst_limit=-1, source_burst_limit=-1)
    sender = Sender(settings)
    before = sender.many(1000, 500, LARGE)
    assert sender.many(1000, 500, LARGE) == 0
    sender.cursor = 1 + before // 2  # in the midst of what was taken in at once: it is given back as a whole
    assert sender.many(1000, 500, LARGE) == 0
    sender.cursor = sender.next
    assert sender.many(1000, 500, LARGE) == before
    sender.cursor += before
    assert sender.many(1000, 500, LARGE) == before


def test_what_waits_is_given_back_bit_by_bit() -> None:
    sender = Sender(Settings(record_burst_limit=-1, source_burst_limit=-1))
    first, second = (sender.many(1000, 5, LARGE) for _ in range(2))
    assert (first, second) == (5, 5)
    both = sender.waiting()
    sender.cursor += first
    sender.send(1001, 0)
    assert sender.waiting() == both // 2


def test_a_round_of_many_runs_is_one_after_the_other() -> None:
    """The spool's numbers are looked at once a round; what is let pass in it stands behind."""
    limits = Limits(Settings())
    limits.stand(EVENT, 1, 1)
    for _ in range(3):
        assert [g.count for g in limits.admit(EVENT, 1000, NOW_MIN, 10, 10_000, lambda: [1000] * 10)] == [10]
    limits.stand(EVENT, 11, 31)
    assert waiting(limits) == 20 * (1000 + FRAME_BYTES)


def test_a_spool_without_a_cap_has_no_shares() -> None:
    sender = Sender(Settings(spool_max_size=-1, record_burst_limit=-1, source_burst_limit=-1))
    assert sender.many(1000, 1000, LARGE) == 1000
    assert "waiting" not in sender.limits.report(NOW_MIN)["lanes"]["event"]["users"]  # type: ignore[index]


def test_the_lanes_have_parts_of_their_own_and_half_of_the_spool_together() -> None:
    sender = Sender(Settings(record_burst_limit=-1, metric_burst_limit=-1, source_burst_limit=-1))
    event = sum(sender.many(uid, 5000, 4000) for uid in range(1000, 1200))
    metric = sum(count for uid in range(1000, 1200) for count, _ in sender.send(uid, 5000, 4000, lane=METRIC))
    assert 2 < event / metric < 4
    assert CAP * 4 // 10 < (event + metric) * 4000 < CAP // 2
    assert sender.send(1000, 1, lane=0) == []


def test_what_root_sends_in_the_same_round_stands_between() -> None:
    limits = Limits(Settings())
    limits.stand(EVENT, 1, 1)
    for uid in (None, 1000):
        limits.admit(EVENT, uid, NOW_MIN, 10, 10_000, lambda: [1000] * 10)
    limits.stand(EVENT, 20, 21)
    assert waiting(limits) == 10 * (1000 + FRAME_BYTES)
    limits.stand(EVENT, 21, 22)
    assert waiting(limits) == 0


def test_no_limits_no_shares() -> None:
    sender = Sender(Settings(rate_limit_enabled=False))
    assert sender.many(1000, 5000, LARGE) == 5000


# -- records --


def test_users_cannot_make_root_wait() -> None:
    sender = Sender()
    for minute in range(0, 24 * 60, 5):
        for uid in range(1000, 1050):
            sender.many(uid, 500, 200, NOW_MIN + minute)
        if minute % 15 == 0:
            assert sender.send(None, LIMIT // 2, minute=NOW_MIN + minute) == [(LIMIT // 2, 0)]
        sender.cursor = sender.next  # all is delivered


def test_users_cannot_have_root_refused() -> None:
    sender = Sender(Settings(rate_limit_strategy="drop"))
    for uid in range(1000, 1300):
        sender.many(uid, 500, 200)
    assert sender.send(None, LIMIT // 2) == [(LIMIT // 2, 0)]


def test_a_wait_that_root_caused_goes_by_whatever_users_do() -> None:
    sender = Sender()
    assert sender.send(None, 2 * LIMIT) == [(LIMIT, 0), (LIMIT, 15)]
    for minute in range(1, 60):
        for uid in range(1000, 1020):
            sender.many(uid, 20, 200, NOW_MIN + minute)
        if minute > 30:
            assert sender.send(None, LIMIT // 50, minute=NOW_MIN + minute) == [(LIMIT // 50, 0)]
        sender.cursor = sender.next


def test_many_users_leave_something_to_one_that_sends_little() -> None:
    sender = Sender()
    for minute in range(0, 120, 5):
        for uid in range(1000, 1020):
            sender.many(uid, 500, 200, NOW_MIN + minute)
        if minute % 15 == 0:
            assert sender.many(2000, 5, 200, NOW_MIN + minute) == 5
        sender.cursor = sender.next


def test_bytes_of_the_window_are_shared_like_records() -> None:
    limit = 1_000_000
    sender = Sender(Settings(byte_burst_limit=limit))
    taken = sum(sender.many(uid, 500, 1000) for uid in range(1000, 1010)) * 1000
    assert limit // 4 < taken <= limit // 2
    assert sender.send(None, 400) == [(400, 0)]


def test_users_may_be_given_all() -> None:
    sender = Sender(Settings(users_share=100, source_burst_limit=-1))
    assert sum(sender.many(uid, LIMIT, 200) for uid in range(1000, 1200)) == LIMIT


# -- going through user ids --


def test_subordinate_users_are_one_source() -> None:
    sender = Sender(Settings(record_burst_limit=-1, spool_max_size=-1))
    assert sum(sender.many(SUBUID + i, 500, 200) for i in range(2 * SOURCES_MAX)) == 4 * 500
    assert sender.many(SUBUID, 1) == 0


def test_subordinate_users_leave_something_to_the_others() -> None:
    sender = Sender()
    for i in range(2 * SOURCES_MAX):
        sender.many(SUBUID + i, 500, 2000)
    assert sender.many(1000, 5, 2000) == 5
    assert sender.send(None, LIMIT // 2) == [(LIMIT // 2, 0)]


# -- over a restart --


def test_a_restart_opens_no_share() -> None:
    before = Sender()
    passed = before.many(1000, 500)
    assert passed > 100
    after = Sender()
    after.limits.load(100, before.limits.dump(NOW_MIN))
    after.next = before.next
    assert after.many(1000, 500, minute=101) == 0
    assert after.waiting(101) == before.waiting()
    assert 0 < after.many(1001, 500, minute=101) < passed
    late = Sender()
    late.limits.load(100, before.limits.dump(NOW_MIN))
    late.next = before.next
    late.cursor = late.next
    assert late.many(1000, 500, minute=115) == passed


def test_a_spool_that_began_anew_holds_nobody_to_what_was_in_the_old_one() -> None:
    before = Sender(Settings(record_burst_limit=-1, source_burst_limit=-1))
    before.next = 10_000
    passed = before.many(1000, 500, LARGE)
    after = Sender(Settings(record_burst_limit=-1, source_burst_limit=-1))
    after.limits.load(NOW_MIN, before.limits.dump(NOW_MIN))
    assert after.many(1000, 500, LARGE) == passed


def test_shares_that_limit_nothing_keep_nothing() -> None:
    shares = UserShares(Window(-1, 15), Window(5, 0), -1)
    assert shares.passed(0, 1, 7, 7000, lambda: [1000] * 7) == 7
    shares.take(0, 1, 7, 7000)
    assert (shares.dump(0), shares.report(0)) == ({}, {})


def test_the_first_to_come_gets_one_record_that_is_too_large_and_no_more() -> None:
    sender = Sender(Settings(spool_max_size=512))
    assert sender.many(1000, 20, 128 * 1024) == 1
    tiny = Sender(Settings(byte_burst_limit=10))
    assert tiny.many(1000, 20, 1000) == 1
    assert tiny.many(1001, 1, 1000) == 0


def test_users_fill_no_window_that_is_still_to_come() -> None:
    """Of the one to which root's surplus was deferred they get their part, however often they send until then."""
    sender = Sender(Settings(spool_max_size=-1))
    assert sender.send(None, 3 * LIMIT + 1)[-1] == (1, 45)
    passed = [sum(sender.many(uid, 500, 200, NOW_MIN + minute) for uid in range(1000, 1100)) for minute in (0, 15, 30)]
    assert passed == [LIMIT // 2, 0, 0]
    assert sender.send(None, LIMIT // 2 - 1, minute=NOW_MIN + 30) == [(LIMIT // 2 - 1, 15)]


def test_what_root_left_of_the_window_is_all_that_is_counted() -> None:
    sender = Sender()
    assert sender.send(None, LIMIT - 2) == [(LIMIT - 2, 0)]
    assert sender.many(1000, 5) == 2
    assert sender.waiting() == 2 * (1000 + FRAME_BYTES)
    report = sender.limits.report(NOW_MIN)
    assert report["sources"]["used"] == {"1000": 2}  # type: ignore[index]


def test_the_last_record_of_a_user_passes() -> None:
    sender = Sender(Settings(source_burst_limit=5))
    assert [sender.many(1000, count) for count in (4, 5, 1)] == [4, 1, 0]


def test_a_part_is_never_nothing() -> None:
    sender = Sender(Settings(record_burst_limit=1))
    assert [sender.many(1000, 1), sender.many(1001, 1)] == [1, 0]
    for limit in (0, 3):
        assert Sender(Settings(record_burst_limit=limit)).many(1000, 3) == limit // 3


def test_a_share_of_a_window_is_free_again_with_the_window() -> None:
    sender = Sender()
    passed = sender.many(1000, 500)
    assert sender.many(1000, 1, minute=NOW_MIN + 14) == 0
    assert sender.many(1000, 500, minute=NOW_MIN + 15) == passed


def test_a_share_of_bytes_is_in_bytes() -> None:
    sender = Sender(Settings(byte_burst_limit=200_000, record_burst_limit=-1))
    assert sender.many(1000, 200, 385) == 100
    assert 100 * 385 == 1000 + (75_000 // 2)


def test_what_waits_is_kept_by_its_numbers() -> None:
    shares = UserShares(Window(-1, 15), Window(-1, 20), 10**6)
    shares.take(NOW_MIN, 1000, 1, 100)
    kept = shares.dump(NOW_MIN)
    assert kept == {"waiting": [[-2, 1, 100 + FRAME_BYTES, 0], [1000, 1, 100 + FRAME_BYTES, 0]]}
    later = UserShares(Window(-1, 15), Window(-1, 20), 10**6)
    later.load(5, kept)
    later.stand(1, 2)
    assert later.dump(5) == kept
    later.stand(2, 3)
    assert later.dump(5) == {"waiting": []}
