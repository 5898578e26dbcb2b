# SPDX-License-Identifier: Apache-2.0
"""A fleet of 10,000 machines whose server comes back after an hour: it is not hit by all of them at once."""

from __future__ import annotations

import heapq
import random

import pytest

from telemd import backoff

MACHINES = 10_000
OUTAGE_S = 3600.0


def arrivals(retry_after_s: float, seed: int = 7) -> list[float]:
    """When each machine's first try after the outage comes, in seconds after its end. All began to fail together."""
    chance = random.Random(seed)
    tries = [(0.0, 0, machine) for machine in range(MACHINES)]
    heapq.heapify(tries)
    found = []
    while tries:
        at_s, failures, machine = heapq.heappop(tries)
        if at_s >= OUTAGE_S:
            found.append(at_s - OUTAGE_S)
            continue
        wait_s = backoff.wait_s(failures + 1, chance.random(), retry_after_s)
        heapq.heappush(tries, (at_s + wait_s, failures + 1, machine))
    return found


@pytest.mark.parametrize("retry_after_s", [0.0, 600.0])
def test_they_come_back_spread_out_and_soon(retry_after_s: float) -> None:
    found = arrivals(retry_after_s)
    assert len(found) == MACHINES
    assert max(found) <= backoff.CAP_S * 1.1
    seconds: dict[int, int] = {}
    for at_s in found:
        seconds[int(at_s)] = seconds.get(int(at_s), 0) + 1
    assert max(seconds.values()) <= MACHINES / 20  # in no second more than a twentieth of them


def test_during_the_outage_the_server_is_left_alone() -> None:
    chance = random.Random(3)
    for _ in range(50):
        at_s, failures = 0.0, 0
        while at_s < OUTAGE_S:
            failures += 1
            at_s += backoff.wait_s(failures, chance.random())
        assert failures <= 60
