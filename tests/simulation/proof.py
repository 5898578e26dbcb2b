# SPDX-License-Identifier: Apache-2.0
"""Run the simulation for minutes or hours, or one seed again.

    proof.py --hours 8                           as many seeds as go into 8 hours, on all processors
    proof.py --seed 4711                         that seed, with the log of its steps
    proof.py --minutes 2 --report docs/reliability.md

Ends with 1 at the first seed that breaks a promise, and prints the command that repeats it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # run as a program, it finds what the tests share

import reliability
from oracle import Violation
from simulation import Simulation
from tally import Tally

CHUNK_SEEDS = 50
SAY_S = 30
LOG_LINES_MAX = 400


def run_seeds(first: int, count: int) -> tuple[Tally, str]:
    """The sums of so many seeds, and the story of the first that failed, empty where none did."""
    tally = Tally()
    for seed in range(first, first + count):
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Violation as violation:
            return tally, story(simulation, violation)
        tally.add(simulation)
    return tally, ""


def story(simulation: Simulation, violation: Violation) -> str:
    """What led to it, and how to see it again."""
    steps = [f"  {number:4} {line}" for number, line in enumerate(simulation.log, 1)]
    return "\n".join(
        (
            f"seed {simulation.seed} breaks a promise:",
            *steps[-LOG_LINES_MAX:],
            f"  {simulation.plan}",
            f"{violation}",
            f"again: {sys.executable} {Path(__file__).resolve()} --seed {simulation.seed}",
        )
    )


def prove(first: int, seconds: float, jobs: int) -> tuple[Tally, str]:
    """Chunk after chunk in so many processes, until the time is over or something is found."""
    total, failure = Tally(), ""
    begun = said = time.monotonic()
    next_seed = first
    # Nothing is forked: whoever calls this may have threads.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        running: set[Future[tuple[Tally, str]]] = set()
        while not failure:
            while len(running) < 2 * jobs and time.monotonic() < begun + seconds:
                running.add(pool.submit(run_seeds, next_seed, CHUNK_SEEDS))
                next_seed += CHUNK_SEEDS
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                tally, found = each.result()
                total.merge(tally)
                failure = failure or found
            if time.monotonic() >= said + SAY_S:
                said = time.monotonic()
                print(speed(total, said - begun), flush=True)
        pool.shutdown(cancel_futures=True)
    print(speed(total, time.monotonic() - begun))
    return total, failure


def speed(total: Tally, took_s: float) -> str:
    """One line of progress."""
    return (
        f"{total.seeds:,} seeds, {60 * total.seeds / max(took_s, 0.001):,.0f} a minute; {total.sent:,} records,"
        f" lost {total.lost}, twice {total.twice}"
    )


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, help="run this one and show its steps")
    parser.add_argument("--first", type=int, help="the first seed (default: one that was hardly tried before)")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--hours", type=float, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a processor)")
    parser.add_argument("--report", type=Path, help="write the sums to this file")
    options = parser.parse_args()
    if options.seed is not None:
        simulation = Simulation(options.seed)
        try:
            simulation.run()
        except Violation as violation:
            print(story(simulation, violation))
            return 1
        print("\n".join(simulation.log), f"\nseed {options.seed} keeps every promise")
        return 0
    first = options.first if options.first is not None else 1_000_000 + secrets.randbelow(1 << 40)
    seconds = 60 * options.minutes + 3600 * options.hours or 60
    print(f"seeds from {first} on, for {seconds / 60:.0f} minutes in {options.jobs} processes", flush=True)
    total, failure = prove(first, seconds, options.jobs)
    if failure:
        print(failure)
        return 1
    if options.report is not None:
        options.report.write_text(reliability.render(total))
        print(f"written: {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
