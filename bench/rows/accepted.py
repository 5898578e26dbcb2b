# SPDX-License-Identifier: Apache-2.0
"""A connection per record, saturated: the rate, telemd's processor time, and both beside a bare accept loop.

telemd and the bare server take turns in one run, so that a slow minute of the machine slows both. No disk figure.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.daemon import StateRoot, Telemd
from bench.figures import Aim, Figure, median, spread
from bench.processes import cpu_s
from bench.setup import Setup

ORDER = 1
RATE = Aim("at least", 50_000)
CPU = Aim("at most", 10)
SHARE = Aim("at least", 30)
WARM_UP_RECORDS = 1000


class Load(NamedTuple):
    """What telemd did under one load."""

    rate: float  # records a second
    cpu_us: float  # a record


class Turn(NamedTuple):
    """All four loads once."""

    answered: Load
    bare_answered: float  # records a second
    silent: Load
    bare_silent: float


def measure(setup: Setup) -> list[Figure]:
    """Turns of: format 5 answered, the bare server answering, format 4 in silence, the bare server in silence."""
    turns = [_turn(setup) for _ in range(setup.sizes.turns)]
    answered, silent = [turn.answered for turn in turns], [turn.silent for turn in turns]
    bare_answered, bare_silent = [turn.bare_answered for turn in turns], [turn.bare_silent for turn in turns]
    many = setup.conditions(f"{setup.sizes.clients} clients")
    one = setup.conditions("1 client, connections in sequence")
    quick, slow = median(bare_silent), median(bare_answered)
    yardstick = "no spool, " + many.partition(", ")[2]
    return [
        _rate("accepted and durable, a connection each (format 5)", answered, many),
        _cpu("telemd's CPU a record, a connection each (format 5)", answered, many),
        _share("share of a bare C accept-read-close loop (format 5)", answered, quick, many),
        _share("share of a bare C accept-read-answer-close loop (format 5)", answered, slow, many),
        _rate("admitted to the disk, a connection each (format 4)", silent, one),
        _cpu("telemd's CPU a record, a connection each (format 4)", silent, one),
        _share("share of a bare C accept-read-close loop (format 4)", silent, quick, one),
        Figure("accepted", "bare C accept-read-close loop", quick, "/s", yardstick, detail=spread(bare_silent, "/s")),
        Figure(
            "accepted",
            "bare C accept-read-answer-close loop",
            slow,
            "/s",
            yardstick,
            detail=spread(bare_answered, "/s"),
        ),
    ]


def _turn(setup: Setup) -> Turn:
    sizes = setup.sizes
    root = setup.state_root(2 * sizes.turn_records)
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            warm_up = min(WARM_UP_RECORDS, sizes.turn_records)
            setup.generators.run("connections", "answered", root.telemd_socket, warm_up, sizes.clients, sizes.payload)
            answered = _answered(setup, telemd)
            bare_answered = _bare(setup, root, "answered")
            silent = _silent(setup, telemd)
            bare_silent = _bare(setup, root, "silent")
            return Turn(answered, bare_answered, silent, bare_silent)
    finally:
        root.remove()


def _answered(setup: Setup, telemd: Telemd) -> Load:
    sizes = setup.sizes
    before_s = cpu_s(telemd.pid)
    outcome = setup.generators.run(
        "connections", "answered", telemd.root.telemd_socket, sizes.turn_records, sizes.clients, sizes.payload
    ).all_durable()
    return Load(outcome.rate, 1e6 * (cpu_s(telemd.pid) - before_s) / outcome.records)


def _silent(setup: Setup, telemd: Telemd) -> Load:
    sizes = setup.sizes
    admitted = telemd.accounting().admitted
    before_s = cpu_s(telemd.pid)
    outcome = setup.generators.run(
        "connections", "silent", telemd.root.format4_socket, sizes.turn_records, 1, sizes.payload
    )
    end_s = telemd.wait_admitted(admitted + outcome.records)
    return Load(outcome.records / (end_s - outcome.start_s), 1e6 * (cpu_s(telemd.pid) - before_s) / outcome.records)


def _bare(setup: Setup, root: StateRoot, mode: str) -> float:
    sizes = setup.sizes
    return setup.generators.bare(mode, root.directory / mode, sizes.turn_records, sizes.clients, sizes.payload).rate


def _rate(work: str, loads: list[Load], conditions: str) -> Figure:
    rates = [load.rate for load in loads]
    return Figure(
        "accepted", work, median(rates), "/s", conditions, RATE, "22,500 /s, not durable", spread(rates, "/s")
    )


def _cpu(work: str, loads: list[Load], conditions: str) -> Figure:
    times = [load.cpu_us for load in loads]
    return Figure("accepted", work, median(times), "us", conditions, CPU, "43 us", spread(times, "us"))


def _share(work: str, loads: list[Load], yardstick: float, conditions: str) -> Figure:
    share = 100 * median([load.rate for load in loads]) / yardstick
    return Figure("accepted", work, share, "%", conditions, SHARE, detail="medians of turns that took turns")
