# SPDX-License-Identifier: Apache-2.0
"""Who may come in, and into which lane."""

from __future__ import annotations

import pytest

from telemd.admission import (
    EVENT,
    METRIC,
    REASON_ANONYMOUS,
    REASON_NOT_OPTED_IN,
    VITAL,
    Accept,
    Policy,
    Refuse,
    judge,
)


@pytest.mark.parametrize(
    ("classification", "kind", "uid", "lane"),
    [
        (b"org.clearlinux/hello/world", 0, 1000, EVENT),
        (b"org.clearlinux/crash/clr", 0, 0, VITAL),
        (b"org.clearlinux/crash/clr", 0, 990, VITAL),
        (b"org.clearlinux/kernel/panic", 1, 0, VITAL),
        (b"org.clearlinux/bert/debug", 0, 0, VITAL),
        (b"org.clearlinux/crash/clr", 0, 1000, EVENT),  # anybody may say so, not everybody is believed
        (b"crash/kernel/bert", 0, 0, VITAL),
        (b"crash/other/crash", 0, 0, EVENT),
        (b"org.clearlinux/metrics/host", 2, 1000, METRIC),
        (b"org.clearlinux/crash/clr", 2, 0, METRIC),
    ],
)
def test_lanes(classification: bytes, kind: int, uid: int, lane: int) -> None:
    answer = judge(classification, kind, uid, Policy(True, frozenset((0, 990)), named=True))
    assert isinstance(answer, Accept) and answer.lane == lane


@pytest.mark.parametrize("uid", [0, 990, 1000])
def test_an_anonymous_machine_sends_events_alone(uid: int) -> None:
    policy = Policy(True, frozenset((0, 990)))
    answer = judge(b"org.clearlinux/metric/minute", 2, uid, policy)
    assert isinstance(answer, Refuse) and answer.reason == REASON_ANONYMOUS
    assert isinstance(judge(b"org.clearlinux/metric/minute", 1, uid, policy), Accept)


@pytest.mark.parametrize("uid", [0, 990, 1000])
def test_nothing_without_opt_in(uid: int) -> None:
    answer = judge(b"org.clearlinux/crash/clr", 0, uid, Policy(False, frozenset((0,))))
    assert isinstance(answer, Refuse) and answer.reason == REASON_NOT_OPTED_IN
