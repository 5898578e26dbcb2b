# SPDX-License-Identifier: Apache-2.0
"""How long an answer takes at 1,000 records a second, beside what telemd's own fdatasync took in the same time.

A daemon of its own, so that its sync times are of this load alone. No rate is measured here: the pace is given.
"""

from __future__ import annotations

from bench.daemon import Telemd
from bench.figures import Aim, Figure
from bench.setup import Setup

ORDER = 3
P50 = Aim("at most", 1000)
P99_SYNCS = Aim("at most", 3)


def measure(setup: Setup) -> list[Figure]:
    """One paced run on one kept connection."""
    sizes = setup.sizes
    root = setup.state_root(sizes.paced_records)
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            outcome = setup.generators.run(
                "paced", root.telemd_socket, sizes.paced_records, sizes.payload, sizes.paced_rate
            ).all_durable()
            count, sync_p50_us, sync_p99_us = telemd.sync_us()
    finally:
        root.remove()

    conditions = setup.conditions(f"1 client, {sizes.paced_rate} /s, {sizes.paced_records} records")
    more = outcome.more
    own = f"generator late by {more['late_us_max']:,.0f} us at most"
    syncs = f"{count:,} fdatasyncs in telemd: p50 {sync_p50_us:,.0f} us, p99 {sync_p99_us:,.0f} us"
    pace = f"answer at {sizes.paced_rate:,} records/s"
    ratio = more["p99_us"] / sync_p99_us if sync_p99_us > 0 else float("inf")
    return [
        Figure("answered", f"{pace}: p50", more["p50_us"], "us", conditions, P50, "none", own),
        Figure("answered", f"{pace}: p99", more["p99_us"], "us", conditions, None, "none", syncs),
        Figure("answered", f"{pace}: p99 in fdatasync p99s", ratio, "x", conditions, P99_SYNCS, "none", syncs),
        Figure("answered", f"{pace}: longest", more["max_us"], "us", conditions, None, "none", own),
    ]
