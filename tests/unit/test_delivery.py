# SPDX-License-Identifier: Apache-2.0
"""What is sent next, and what each answer means for the spool."""

from __future__ import annotations

from typing import cast

from telemd.courierframes import DELIVERED, DUPLICATE, REASON_BUSY, REASON_UNDECIDED, REJECTED, RETRY
from telemd.delivery import LEASE_MS, Delivery, InFlight, Standing
from telemd.reader import Waiting

ALL = (True, True, True)
EVENTS = (False, True, False)


class Head:
    """What delivery looks at of a lane's head."""

    def __init__(self, count: int, first_seq: int) -> None:
        self.count = count
        self.first_seq = first_seq


def head(count: int, first_seq: int = 1) -> Waiting:
    return cast("Waiting", Head(count, first_seq))


def sent(delivery: Delivery, lane: int = 1, count: int = 3, now_ms: int = 0) -> InFlight:
    batch = delivery.expected(delivery.send(lane, head(count), now_ms))
    assert batch is not None
    return batch


def answers(*verdicts: int) -> list[tuple[int, int]]:
    return [(verdict, 0) for verdict in verdicts]


def test_lanes_take_turns_and_have_one_batch_each() -> None:
    delivery = Delivery(900)
    order = []
    for _ in range(3):
        lane = delivery.next_lane(0, ALL)
        assert lane is not None
        order.append(lane)
        delivery.send(lane, head(1), 0)
    assert order == [0, 1, 2]
    assert delivery.next_lane(0, ALL) is None


def test_no_two_batches_have_the_same_number() -> None:
    """The answer to a former one would be taken for that of the next."""
    delivery = Delivery(900)
    assert len({delivery.send(lane, head(1), 0) for lane in range(3)}) == 3


def test_no_lane_is_passed_over() -> None:
    delivery = Delivery(900)
    order = []
    for waits in [ALL, ALL, ALL, ALL, (True, False, True), ALL, (True, True, False)]:
        lane = delivery.next_lane(0, waits)
        assert lane is not None
        order.append(lane)
        delivery.answered(sent(delivery, lane, 1), answers(DELIVERED), 0, "", 0, 0.5)
    assert order == [0, 1, 2, 0, 2, 0, 1]


def test_nothing_waits_nothing_is_sent() -> None:
    delivery = Delivery(900)
    assert delivery.next_lane(0, (False, False, False)) is None
    assert delivery.due_ms(0, True) is None and delivery.last_error == ""


def test_all_final() -> None:
    delivery = Delivery(900)
    batch = sent(delivery, count=4)
    verdicts = answers(DELIVERED, REJECTED, DUPLICATE, REJECTED)
    outcome = delivery.answered(batch, verdicts, 0, "two were rejected", 0, 0.5)
    assert (outcome.lane, outcome.delivered, outcome.rejected) == (1, 2, 2) and outcome.waiting is batch.waiting
    assert delivery.failures == 0 and delivery.next_lane(0, EVENTS) == 1
    assert delivery.last_error == "two were rejected"
    delivery.answered(sent(delivery), answers(DELIVERED, DELIVERED, DELIVERED), 0, "fine", 0, 0.5)
    assert delivery.last_error == ""


def test_what_lies_behind_a_retry_is_sent_again() -> None:
    delivery = Delivery(900)
    outcome = delivery.answered(sent(delivery), answers(DELIVERED, RETRY, DELIVERED), 0, "busy", 1000, 0.5)
    assert (outcome.delivered, outcome.rejected) == (1, 0)
    assert delivery.failures == 1 and delivery.not_before_ms > 1000 and delivery.last_error == "busy"


def test_a_slow_server_that_takes_what_it_can_is_not_left_alone() -> None:
    delivery = Delivery(900)
    for first, reason, failures in [
        (DELIVERED, REASON_UNDECIDED, 0),
        (DELIVERED, REASON_BUSY, 1),
        (RETRY, REASON_UNDECIDED, 2),
        (DELIVERED, REASON_UNDECIDED, 0),
    ]:
        verdicts = [(first, reason if first == RETRY else 0), (RETRY, reason), (RETRY, reason)]
        outcome = delivery.answered(sent(delivery), verdicts, 0, "25 s are over", 0, 0.5)
        assert outcome.delivered == (first == DELIVERED)
        assert delivery.failures == failures
        assert (delivery.last_error == "") == (failures == 0)


def test_retry_after_is_kept_to() -> None:
    delivery = Delivery(900)
    delivery.answered(sent(delivery), answers(RETRY, RETRY, RETRY), 120, "", 5000, 0.0)
    assert delivery.next_lane(5000 + 119_999, EVENTS) is None
    assert delivery.next_lane(delivery.not_before_ms, EVENTS) == 1


def test_after_a_failure_one_batch_tries_the_way() -> None:
    delivery = Delivery(900)
    delivery.answered(sent(delivery), answers(RETRY, RETRY, RETRY), 0, "", 0, 0.5)
    now_ms = delivery.not_before_ms
    first = delivery.next_lane(now_ms, ALL)
    assert first is not None
    batch = sent(delivery, first, 3, now_ms)
    assert delivery.next_lane(now_ms, ALL) is None
    delivery.answered(batch, answers(DELIVERED, DELIVERED, DELIVERED), 0, "", now_ms, 0.5)
    assert delivery.failures == 0 and delivery.next_lane(now_ms, ALL) is not None


def test_waits_grow_and_are_capped() -> None:
    delivery = Delivery(60)
    waits = []
    for _ in range(12):
        delivery.answered(sent(delivery), answers(RETRY, RETRY, RETRY), 0, "", 0, 0.999)
        waits.append(delivery.not_before_ms)
    assert waits == sorted(waits) and waits[0] < waits[5] and waits[-1] <= 60_000


def test_what_is_not_to_be_had_is_waited_for() -> None:
    delivery = Delivery(900)
    delivery.postpone("no courier", 5000, 0.5)
    assert (delivery.failures, delivery.last_error, delivery.not_before_ms) == (1, "no courier", 6000)
    assert delivery.due_ms(5000, True) == 6000 and delivery.due_ms(5000, False) is None
    assert delivery.due_ms(6000, True) is None  # it can be had now
    delivery.postpone("no courier", 6000, 0.0)
    assert delivery.not_before_ms == 6250


def test_while_a_batch_is_under_way_its_lease_is_looked_at() -> None:
    delivery = Delivery(900)
    sent(delivery, 0)
    delivery.answered(sent(delivery, 1), answers(RETRY, RETRY, RETRY), 10, "", 0, 0.5)
    assert delivery.due_ms(0, True) == LEASE_MS


def test_a_restart_goes_on_where_it_was() -> None:
    delivery = Delivery(900)
    delivery.resume(3, 7000)
    assert delivery.next_lane(6999, EVENTS) is None and delivery.next_lane(7000, EVENTS) == 1
    delivery.postpone("", 7000, 0.5)
    assert (delivery.failures, delivery.not_before_ms) == (4, 7000 + 8000)


def test_a_lost_courier_settles_nothing() -> None:
    delivery = Delivery(900)
    batch = sent(delivery)
    delivery.lost("gone", 0, 0.5)
    assert delivery.expected(batch.batch_id) is None
    assert delivery.failures == 0 and delivery.next_lane(0, EVENTS) == 1  # it may have been about to leave
    sent(delivery)
    delivery.lost("gone", 0, 0.5)
    assert delivery.failures == 1 and delivery.last_error == "gone"
    assert delivery.next_lane(0, EVENTS) is None and delivery.next_lane(delivery.not_before_ms, EVENTS) == 1


def test_a_courier_that_answered_may_be_lost_again() -> None:
    delivery = Delivery(900)
    for _ in range(3):
        sent(delivery)
        delivery.lost("gone", 0, 0.5)
        assert delivery.failures == 0
        delivery.answered(sent(delivery), answers(DELIVERED, DELIVERED, DELIVERED), 0, "", 0, 0.5)


def test_a_courier_that_is_lost_is_waited_for_as_after_any_failure() -> None:
    delivery = Delivery(900)
    for _ in range(2):
        sent(delivery)
        delivery.lost("gone", 0, 0.0)
    assert delivery.not_before_ms == 250


def test_a_courier_that_leaves_with_nothing_under_way_is_no_failure() -> None:
    delivery = Delivery(900)
    for _ in range(3):
        delivery.lost("gone", 0, 0.5)
    assert delivery.failures == 0 and delivery.next_lane(0, EVENTS) == 1


def test_the_lease() -> None:
    delivery = Delivery(900)
    sent(delivery, now_ms=100)
    assert not delivery.overdue(100 + LEASE_MS - 1) and delivery.overdue(100 + LEASE_MS)
    assert delivery.due_ms(100, True) == 100 + LEASE_MS


def test_an_answer_to_something_else_is_not_expected() -> None:
    delivery = Delivery(900)
    batch = sent(delivery)
    assert delivery.expected(batch.batch_id + 1) is None


def test_another_server_is_asked_at_once() -> None:
    delivery = Delivery(900)
    delivery.answered(sent(delivery), answers(RETRY, RETRY, RETRY), 3600, "busy", 0, 0.5)
    assert delivery.next_lane(10, EVENTS) is None
    delivery.begin_anew()
    assert delivery.next_lane(10, EVENTS) == 1
    assert delivery.last_error == ""


def test_what_the_former_server_still_says_does_not_hold_for_the_next() -> None:
    delivery = Delivery(900)
    batch = sent(delivery)
    delivery.begin_anew()
    outcome = delivery.answered(batch, answers(DELIVERED, RETRY, RETRY), 3600, "busy", 0, 0.5)
    assert (outcome.delivered, delivery.failures) == (1, 0)
    assert delivery.next_lane(10, EVENTS) == 1
    delivery.answered(sent(delivery), answers(RETRY, RETRY, RETRY), 3600, "busy", 20, 0.5)
    assert delivery.next_lane(30, EVENTS) is None


def test_a_record_that_ends_the_courier_is_handed_back_in_the_end() -> None:
    delivery = Delivery(900)
    now_ms, handed_back = 0, None
    for _ in range(20):
        size = delivery.size_for(1, 4)
        delivery.send(1, head(size), now_ms)
        handed_back = delivery.lost("gone", now_ms, 0.5)
        now_ms = max(now_ms, delivery.not_before_ms)
        if handed_back is not None:
            break
    assert handed_back is not None and handed_back.waiting.count == 1
    assert now_ms < 120_000  # the server has done nothing: no long waits


def test_of_several_batches_the_first_is_suspected() -> None:
    delivery = Delivery(900)
    for _ in range(2):
        delivery.send(2, head(8), 0)
        delivery.send(0, head(8), 0)
        delivery.lost("gone", 0, 0.5)
    assert (delivery.size_for(2, 8), delivery.size_for(0, 8)) == (4, 8)


def test_different_records_that_end_the_courier_are_all_kept() -> None:
    delivery = Delivery(900)
    for first_seq in range(1, 10):
        delivery.send(1, head(1, first_seq), 0)
        assert delivery.lost("gone", 0, 0.5) is None


def test_a_suspicion_ends_when_a_full_batch_would_be_answered() -> None:
    delivery = Delivery(900)
    for _ in range(4):  # twice with eight, twice with four
        delivery.send(1, head(delivery.size_for(1, 8)), 0)
        delivery.lost("gone", 0, 0.5)
    assert delivery.size_for(1, 8) == 2
    delivery.answered(sent(delivery, 1, 2), answers(DELIVERED, DELIVERED), 0, "", 0, 0.5)
    now_ms = delivery.not_before_ms
    assert delivery.failures == 0 and delivery.size_for(1, 8) == 4
    batch = sent(delivery, 1, 4, now_ms)
    assert delivery.next_lane(now_ms, ALL) is None  # one at a time while there is a suspicion
    delivery.answered(batch, answers(*[DELIVERED] * 4), 0, "", now_ms, 0.5)
    assert delivery.size_for(1, 8) == 8
    sent(delivery, 1, 8, now_ms)
    assert delivery.next_lane(now_ms, ALL) is not None


def test_send_now() -> None:
    delivery = Delivery(900)
    delivery.answered(sent(delivery), answers(RETRY, RETRY, RETRY), 600, "", 0, 0.5)
    assert delivery.next_lane(1000, EVENTS) is None
    delivery.send_now()
    assert delivery.next_lane(0, EVENTS) == 1


def sent_to(delivery: Delivery, standing: Standing, lane: int, now_ms: int = 0) -> InFlight:
    batch = delivery.expected(delivery.send(lane, head(1), now_ms, standing))
    assert batch is not None
    return batch


def test_each_server_has_its_own_failures() -> None:
    delivery, other = Delivery(900), Standing()
    delivery.answered(sent_to(delivery, other, 1), answers(RETRY), 60, "away", 0, 0.5)
    assert (other.failures, other.last_error, delivery.failures, delivery.last_error) == (1, "away", 0, "")
    toward = (other, other, delivery.standing)
    assert delivery.next_lane(0, ALL, toward) == 2
    assert delivery.next_lane(0, EVENTS, toward) is None
    assert delivery.next_lane(other.not_before_ms, EVENTS, toward) == 1
    assert delivery.next_lane(0, EVENTS, (None, None, None)) == 1  # for whom it is isn't known yet: somebody must look
    delivery.answered(sent_to(delivery, other, 1), answers(DELIVERED), 0, "", other.not_before_ms, 0.5)
    assert (other.failures, other.last_error) == (0, "")


def test_after_a_failure_one_batch_tries_the_way_to_that_server_only() -> None:
    delivery, other = Delivery(900), Standing()
    delivery.answered(sent_to(delivery, other, 1), answers(RETRY), 0, "away", 0, 0.5)
    now_ms = other.not_before_ms
    sent_to(delivery, other, 1, now_ms)
    assert not delivery.may_send(other, now_ms) and delivery.may_send(delivery.standing, now_ms)
    assert delivery.next_lane(now_ms, (True, True, False), (other, other, None)) is None
    sent_to(delivery, delivery.standing, 2, now_ms)
    assert delivery.may_send(delivery.standing, now_ms)


def test_when_to_look_again_at_each_server() -> None:
    delivery, other = Delivery(900), Standing()
    other.failures, other.not_before_ms = 1, 700
    assert delivery.due_ms(0, True, [other, None]) == 700 and delivery.due_ms(0, True) is None
    delivery.resume(1, 500)
    assert delivery.due_ms(0, True, [other]) == 500 and delivery.due_ms(0, False, [other]) == 700
    assert delivery.due_ms(600, True, [other]) == 700 and delivery.due_ms(700, True, [other]) is None
    sent_to(delivery, other, 0)
    assert delivery.due_ms(0, True, [other]) == 500 and delivery.due_ms(600, True, [other]) == LEASE_MS


def test_a_lost_courier_is_laid_to_the_server_of_the_first_batch() -> None:
    delivery, other = Delivery(900), Standing()
    for _ in range(2):
        sent_to(delivery, other, 1)
        sent_to(delivery, delivery.standing, 2)
        delivery.lost("gone", 0, 0.5)
    assert (other.failures, delivery.failures) == (1, 0)


def test_a_courier_that_never_began_is_no_records_fault() -> None:
    delivery = Delivery(900)
    for tries in range(30):
        delivery.send(1, head(1), 0)
        assert delivery.lost("no such program", 0, 0.5, began=False) is None
        assert delivery.size_for(1, 1000) == 1000 and delivery.failures == tries
    assert delivery.not_before_ms > 60_000  # and the longer it lasts the more seldom it is tried
