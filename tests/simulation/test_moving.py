# SPDX-License-Identifier: Apache-2.0
"""Records that are moved behind others, while disks fail, power goes and the courier dies: none is lost, none counted
twice, and each is delivered. The rules are the simulation's own.
"""

from __future__ import annotations

import os
import time

from oracle import Violation
from simulation import Simulation

from telemd.courierframes import RECORDS_BYTES_MAX

SECONDS = 20 if os.environ.get("CI") else 5
FIRST_SEED = 500_000
MOVES_MIN = 100


class Moving(Simulation):
    """The machine of the other seeds, on which the head of a lane is moved to its end now and then."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._names.append("move")
        self._weights.append(max(self._weights) // 2 + 1)
        self.moved = 0

    def do_move(self) -> None:
        lane, count = self.rng.randrange(3), self.rng.choice((1, 1, 3, 20, 1000))
        if self.life.spool.lanes[lane].in_flight_to:
            return
        try:
            moved = self.life.spool.move_behind(lane, count, RECORDS_BYTES_MAX, self.wall_us)
        except OSError as error:
            self._say(f"not moved: {error}")
        else:
            self.moved += moved
            self._say(f"{moved} moved")


def test_every_promise_is_kept() -> None:
    end_s = time.monotonic() + SECONDS
    seed, moved = FIRST_SEED, 0
    while time.monotonic() < end_s or moved < MOVES_MIN:
        story = Moving(seed)
        try:
            story.run()
        except Violation as error:
            raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(story.log[-40:])) from error
        moved += story.moved
        seed += 1
    assert seed > FIRST_SEED + 20
