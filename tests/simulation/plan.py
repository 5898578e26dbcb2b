# SPDX-License-Identifier: Apache-2.0
"""What kind of machine, disk, hub and bad luck a seed stands for: drawn once, before the first step.

Values only; nothing happens in here.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from telemd.config import Settings

KIB = 1024
HOUR_US = 3600 * 1_000_000


class Plan(NamedTuple):
    """One seed's story in outline. Chances are per disk call where it says so, else per step."""

    steps: int
    weights: dict[str, int]  # how often each step is chosen
    cap_bytes: int
    capacity: int  # of the file system
    ordered: bool  # a journalling file system
    settings: Settings
    privileged: bool  # the senders may use the vital lane
    sizes: tuple[int, ...]  # of payloads
    records_a_send: int
    records_a_batch: int
    poison_every: int
    eio: float  # a disk call, while the disk is bad
    enospc: float
    sync_eio: float
    rots: bool  # bits turn, pages become unreadable
    lies: bool  # syncs that succeed and do nothing
    hub_trouble: float
    steps_us: tuple[int, ...]  # how far the clock goes

    @property
    def honest(self) -> bool:
        """The disk keeps what it said it has: then nothing may be lost but what is counted as evicted, expired or
        rejected."""
        return not (self.rots or self.lies)


def draw(rng: random.Random) -> Plan:
    """The plan of a seed's generator."""
    cap_bytes = rng.choice((640, 768, 1024, 1024, 1024, 2048, 5120, 5120)) * KIB if rng.random() < 0.95 else -1
    enough = 16 * 1024 * KIB if cap_bytes < 0 else 2 * cap_bytes
    bad_disk = rng.random() < 0.6
    limited = rng.random() < 0.25
    steps = rng.randint(20, 70)
    return Plan(
        steps=steps,
        weights={
            "send": 30,
            "send_again": rng.choice((0, 3)),
            "pump": 20,
            "courier": 25,
            "tick": 10,
            "wait": 8,
            "power_loss": rng.choice((0, 1, 4)),
            "kill": rng.choice((0, 1, 4)),
            "loss_soon": rng.choice((0, 1, 5)),
            "restart": rng.choice((0, 1)),
            "disk": 6 if bad_disk else 0,
            "cache": 2 if bad_disk else 0,
            "hub": 5,
            "host": rng.choice((0, 1)),
            "clock": rng.choice((0, 0, 1)),
            "opt": rng.choice((0, 0, 0, 1)),
            "redirect": rng.choice((0, 0, 1)),
            "purge": rng.choice((0, 0, 0, 1)),
        },
        cap_bytes=cap_bytes,
        capacity=rng.choice((enough, enough, max(400 * KIB, cap_bytes - 200 * KIB))),
        ordered=rng.random() < 0.5,
        settings=Settings(
            rate_limit_enabled=limited,
            record_burst_limit=rng.choice((20, 60)),
            record_window_length=rng.choice((1, 15)),
            rate_limit_strategy=rng.choice(("spool", "drop")),
        ),
        privileged=rng.random() < 0.8,
        sizes=rng.choice(((0, 60, 200), (100,), (60, 300, 4000), (50, 30_000, 60_000), (60_000,))),
        records_a_send=rng.choice((1, 3, 8)),
        records_a_batch=rng.choice((1, 5, 100, 1000)),
        poison_every=rng.choice((0, 0, 7, 31)),
        eio=rng.choice((0, 0.01, 0.1)) if bad_disk else 0,
        enospc=rng.choice((0, 0.01, 0.2)) if bad_disk else 0,
        sync_eio=rng.choice((0, 0.05, 0.3)) if bad_disk else 0,
        rots=rng.random() < 0.15,
        lies=rng.random() < 0.04,
        hub_trouble=rng.choice((0, 0.05, 0.3)),
        steps_us=rng.choice(((1000, 50_000, 2_000_000), (10_000, 31_000_000), (60_000_000, HOUR_US), (7 * HOUR_US,))),
    )
