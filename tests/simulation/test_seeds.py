# SPDX-License-Identifier: Apache-2.0
"""telemd keeps its promises through every seed that goes into the time there is: 5 minutes in CI, seconds elsewhere."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import proof
import reliability
from plan import draw
from simulation import Simulation
from tally import Tally

JOBS = min(2, os.cpu_count() or 1)
SECONDS = 300 if os.environ.get("CI") else 15
"""Of one processor; where there are two it takes half of that."""

SEEDS_A_MINUTE_MIN = 1000
DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"


def test_every_promise_is_kept() -> None:
    before_s = processor_s()
    total, failure = proof.prove(1, SECONDS / JOBS, JOBS)
    assert not failure, "\n" + failure
    assert (total.lost, total.twice) == (0, 0)
    assert total.seeds >= SEEDS_A_MINUTE_MIN * (processor_s() - before_s) / 60
    assert_was_busy(total)


def processor_s() -> float:
    """What the processes have used that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def assert_was_busy(total: Tally) -> None:
    """A run in which nothing goes wrong proves nothing."""
    for kind in (
        "power cuts",
        "ends of the process",
        "answers lost",
        "short writes",
        "ENOSPC at write",
        "EIO at write",
        "EIO at fdatasync, its data dropped",
        "EIO at fsync of the directory",
        "EROFS at write",
        "bits turned",
        "pages unreadable",
        "syncs that lied",
    ):
        assert total.injected[kind] > 0, kind
    assert all(total.ends[name] > 0 for name in ("rejected", "evicted", "expired", "damaged"))
    assert total.answers["duplicate"] > 0 and total.seen_again > 0 and total.answers["refused"] > 0


def test_a_seed_is_one_story() -> None:
    """The same seed does the same again: else a failure could not be looked at."""
    for seed in (7, 11, 12):
        first, second = Simulation(seed), Simulation(seed)
        first.run()
        second.run()
        assert first.log == second.log and first.disk.calls == second.disk.calls
        assert first.hub.stored == second.hub.stored


def test_the_page_is_what_a_run_writes() -> None:
    """All but the figures, and they promise what they should."""
    text = DOCUMENT.read_text()
    without_figures = re.compile(r"^\| .*\n", re.MULTILINE)
    assert without_figures.sub("", text) == without_figures.sub("", reliability.render(Tally()))
    assert "| **lost** | 0 |" in text and "| **stored twice** | 0 |" in text


def test_plans_differ() -> None:
    import random

    plans = [draw(random.Random(seed)) for seed in range(200)]
    assert {plan.honest for plan in plans} == {True, False}
    assert any(plan.cap_bytes < 0 for plan in plans) and any(plan.eio and plan.sync_eio for plan in plans)
