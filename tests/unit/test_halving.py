# SPDX-License-Identifier: Apache-2.0
"""telemd.transport._halving: whole courses against a server that is a function. No network."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from telemd.answers import Halve, Outcome, failed
from telemd.courierframes import DELIVERED, REASON_INVALID, REASON_UNDECIDED, REJECTED, RETRY
from telemd.transport._halving import LONE_REFUSALS_MAX, POSTS_MAX, Halving

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = (DELIVERED, 0)
BAD = (REJECTED, REASON_INVALID)


def run(count: int, answer: Callable[[range], Outcome | Halve]) -> tuple[Outcome, list[range]]:
    course = Halving(count, "http://hub")
    sent = []
    while (part := course.part()) is not None:
        sent.append(range(*part))
        course.settle(answer(sent[-1]))
    outcome = course.outcome()
    assert len(outcome.verdicts) == count
    return outcome, sent


def refusing(bad: set[int]) -> Callable[[range], Outcome | Halve]:
    def answer(part: range) -> Outcome | Halve:
        if not bad & set(part):
            return Outcome([GOOD] * len(part))
        return Halve("invalid") if len(part) > 1 else Outcome([BAD], 0, "invalid")

    return answer


def test_a_batch_that_is_taken_goes_once() -> None:
    outcome, sent = run(1000, refusing(set()))
    assert sent == [range(1000)]
    assert outcome.verdicts == [GOOD] * 1000


@pytest.mark.parametrize("bad", [{0}, {999}, {500}, {3, 4, 700}])
def test_the_bad_records_alone_are_given_up(bad: set[int]) -> None:
    outcome, sent = run(1000, refusing(bad))
    assert {index for index, verdict in enumerate(outcome.verdicts) if verdict == BAD} == bad
    assert outcome.verdicts.count(GOOD) == 1000 - len(bad)
    assert len(sent) <= len(bad) * 2 * 10 + 1


def test_any_batch_and_any_bad_records() -> None:
    chance = random.Random(2)
    for _ in range(200):
        count = chance.randint(1, 40)
        bad = {index for index in range(count) if chance.random() < 0.1}
        outcome, _ = run(count, refusing(bad))
        refused = {index for index, verdict in enumerate(outcome.verdicts) if verdict == BAD}
        kept = {index for index, verdict in enumerate(outcome.verdicts) if verdict[0] == RETRY}
        assert refused <= bad
        assert refused | kept >= bad
        assert not kept or len(bad) >= LONE_REFUSALS_MAX


def test_a_single_record_is_given_up_at_once() -> None:
    outcome, sent = run(1, refusing({0}))
    assert (outcome.verdicts, len(sent), outcome.text) == ([BAD], 1, "invalid")


def test_a_server_that_takes_nothing_is_not_believed() -> None:
    outcome, sent = run(1000, refusing(set(range(1000))))
    assert outcome.verdicts == [BAD] * LONE_REFUSALS_MAX + [(RETRY, REASON_INVALID)] * (1000 - LONE_REFUSALS_MAX)
    assert outcome.retry_after_s == 300
    assert "is `server` right" in outcome.text
    assert len(sent) <= 30


def test_a_server_that_takes_something_is_believed() -> None:
    bad = set(range(1, 64))
    outcome, _ = run(64, refusing(bad))
    assert outcome.verdicts == [GOOD] + [BAD] * 63


def test_the_number_of_requests_has_a_limit() -> None:
    outcome, sent = run(1000, refusing(set(range(1, 1000, 2))))
    assert len(sent) == POSTS_MAX
    assert outcome.verdicts[0] == GOOD
    assert outcome.verdicts[-1] == (RETRY, REASON_UNDECIDED)


def test_busy_in_the_middle_keeps_what_was_decided_and_leaves_the_rest() -> None:
    inner = refusing({0})

    def answer(part: range) -> Outcome | Halve:
        if part.start >= 50:
            return Outcome([(RETRY, 6)] * len(part), 30, "busy")
        return inner(part)

    outcome, sent = run(100, answer)
    assert outcome.verdicts == [BAD] + [GOOD] * 49 + [(RETRY, 6)] * 50
    assert (outcome.retry_after_s, outcome.text) == (30, "busy")
    assert sent[-1] == range(50, 100)


def test_stopping_leaves_every_undecided_record_for_later() -> None:
    course = Halving(10, "http://hub")
    course.settle(Halve("too large"))
    course.settle(Outcome([GOOD] * 5))
    course.stop(failed("undecided", 1, "http://hub", "25 s"))
    assert course.part() is None
    assert course.outcome().verdicts == [GOOD] * 5 + [(RETRY, REASON_UNDECIDED)] * 5
    assert "25 s" in course.outcome().text
