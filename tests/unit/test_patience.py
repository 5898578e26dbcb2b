# SPDX-License-Identifier: Apache-2.0
"""When what telemd did not take is offered again."""

from __future__ import annotations

from telemetry_probes.patience import FIRST_S, MOST_S, Patience


def test_it_waits_twice_as_long_each_time_up_to_a_limit() -> None:
    patience = Patience()
    assert patience.until_s == 0.0
    waits = []
    for turn in range(9):
        assert patience.refused(100.0) == (turn == 0)
        waits.append(patience.until_s - 100.0)
    assert waits[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert waits[-1] == MOST_S
    assert waits == sorted(waits)


def test_what_was_taken_begins_it_anew() -> None:
    patience = Patience()
    patience.refused(1.0)
    patience.refused(2.0)
    patience.taken()
    assert patience.refused(5.0)
    assert patience.until_s == 5.0 + FIRST_S


def test_the_last_offer_is_made_at_once() -> None:
    patience = Patience()
    patience.refused(1.0)
    patience.lose()
    assert patience.until_s == 0.0
