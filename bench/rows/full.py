# SPDX-License-Identifier: Apache-2.0
"""A spool that lets go of what it can't keep: what comes in while as much must go, and what one record's going costs.

The same load goes to a telemd whose cap is far away and to one that is at it all the time, in turn. Expiry is measured
in the spool alone (load/expiring.py): nobody waits for records to get old.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple, cast

from bench.daemon import Telemd
from bench.figures import Aim, Figure, median, quantity, spread
from bench.place import BenchError
from bench.processes import cpu_s
from bench.setup import Setup

ORDER = 8
SHARE = Aim("at least", 50)
EVICTION = Aim("at most", 10)
EXPIRY = Aim("at most", 1)
CAPS_KB = (5120, 65_536)
EXPIRING = Path(__file__).parents[1] / "load/expiring.py"
EXPIRING_TIMEOUT_S = 120.0
WAYS = {"segments": "by segments", "records": "where delivery meets them"}


class Burst(NamedTuple):
    """One load on one connection."""

    rate: float  # records a second
    cpu_us: float  # telemd's, a record
    evicted: int


class Expired(NamedTuple):
    """Microseconds a record."""

    cpu_us: float
    took_us: float


class Turn(NamedTuple):
    """All of it once."""

    free: Burst
    capped: dict[int, Burst]
    expired: dict[str, Expired]


def measure(setup: Setup) -> list[Figure]:
    """As many turns as wanted."""
    turns = [_turn(setup) for _ in range(setup.sizes.turns)]
    free = [turn.free.rate for turn in turns]
    figures = [
        Figure(
            "full", "streamed, the cap far away", median(free), "/s",
            setup.conditions(f"1 client, window {setup.window_max}"), detail=spread(free, "/s"),
        )
    ]  # fmt: skip
    for cap_kb in CAPS_KB:
        figures += _at_the_cap(setup, cap_kb, turns)
    for way, words in WAYS.items():
        found = [turn.expired[way] for turn in turns]
        took = quantity(median([each.took_us for each in found]), "us")
        figures.append(
            Figure(
                "full", f"expiry, CPU a record, {words}", median([each.cpu_us for each in found]), "us",
                setup.conditions("0 clients"), EXPIRY, detail=f"{took} with the disk's part",
            )
        )  # fmt: skip
    return figures


def _at_the_cap(setup: Setup, cap_kb: int, turns: list[Turn]) -> list[Figure]:
    records = setup.sizes.stream_records
    capped = [turn.capped[cap_kb] for turn in turns]
    rates = [burst.rate for burst in capped]
    share = 100 * median(rates) / median([turn.free.rate for turn in turns])
    evicted = 100 * sum(burst.evicted for burst in capped) / (len(capped) * records)
    costs = [
        max(0.0, burst.cpu_us - turn.free.cpu_us) * records / burst.evicted
        for turn, burst in zip(turns, capped, strict=True)
    ]
    where = f"cap of {cap_kb // 1024} MiB"
    conditions = setup._replace(cap_kb=cap_kb).conditions(f"1 client, window {setup.window_max}")
    detail = f"{quantity(median(rates), '/s')}; {spread(rates, '/s')}; {evicted:.0f} % as many evicted"
    return [
        Figure(
            "full", f"streamed at the {where}, share of the rate without", share, "%", conditions, SHARE, detail=detail
        ),
        Figure(
            "full", f"eviction, telemd's CPU a record that goes, {where}", median(costs), "us", conditions, EVICTION,
            detail=spread(costs, "us"),
        ),
    ]  # fmt: skip


def _turn(setup: Setup) -> Turn:
    free, expired = _free(setup)
    return Turn(free, {cap_kb: _capped(setup, cap_kb) for cap_kb in CAPS_KB}, expired)


def _free(setup: Setup) -> tuple[Burst, dict[str, Expired]]:
    """And what it has spooled expires, once each way."""
    bursts, expired = [], {}
    for way in WAYS:
        root = setup.state_root(setup.sizes.stream_records)
        try:
            with Telemd(setup.programs.telemd, root) as telemd:
                bursts.append(_burst(setup, telemd, 0))
            expired[way] = _expire(setup, root.spool, way)
        finally:
            root.remove()
    return Burst(median([each.rate for each in bursts]), median([each.cpu_us for each in bursts]), 0), expired


def _capped(setup: Setup, cap_kb: int) -> Burst:
    """After as much as fills it."""
    fill = cap_kb * 1024 // setup.sizes.payload
    root = setup._replace(cap_kb=cap_kb).state_root(fill)
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            return _burst(setup, telemd, fill)
    finally:
        root.remove()


def _burst(setup: Setup, telemd: Telemd, fill: int) -> Burst:
    sizes, where = setup.sizes, telemd.root.telemd_socket
    if fill:
        setup.generators.run("stream", where, fill, sizes.payload, setup.window_max).all_durable()
    before, before_s = _evicted(telemd), cpu_s(telemd.pid)
    outcome = setup.generators.run("stream", where, sizes.stream_records, sizes.payload, setup.window_max).all_durable()
    used_s, evicted = cpu_s(telemd.pid) - before_s, _evicted(telemd) - before
    if bool(evicted) != bool(fill):
        raise BenchError(f"{evicted} records were evicted of {sizes.stream_records}: the cap isn't where it should be.")
    return Burst(outcome.rate, 1e6 * used_s / outcome.records, evicted)


def _evicted(telemd: Telemd) -> int:
    return cast("dict[str, int]", telemd.status()["accounting"])["evicted"]


def _expire(setup: Setup, spool: Path, way: str) -> Expired:
    command = [setup.programs.interpreter, "-IS", str(EXPIRING), str(setup.programs.telemd), str(spool), way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=EXPIRING_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise BenchError(f"the spool could not be opened to see what expires:\n{done.stderr.strip()}")
    told = json.loads(done.stdout)
    if told["expired"] != told["pending"] or told["expired"] != setup.sizes.stream_records:
        raise BenchError(f"{told['expired']} of {told['pending']} records expired, and all of them should have.")
    return Expired(1e6 * told["cpu_s"] / told["expired"], 1e6 * told["took_s"] / told["expired"])
