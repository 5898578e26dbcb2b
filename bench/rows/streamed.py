# SPDX-License-Identifier: Apache-2.0
"""Many records on one connection, every one answered when durable: raw, through libtelemetry, and by window.

Beside them a loop that only writes and syncs as many bytes at a time as a window holds: what this disk allows. Each
turn has a daemon and an empty spool of its own, and goes through all of it, so that a slow minute slows all alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench.daemon import Telemd
from bench.figures import Aim, Figure, median, spread
from bench.processes import cpu_s
from bench.setup import Setup

ORDER = 2
RATE = Aim("at least", 150_000)
WINDOWS = (64, 128, 256, 512, 1024)
FRAME_BYTES = 144  # a record's header, classification and frame in the spool, to the nearest 8


class Burst(NamedTuple):
    """One load on one connection."""

    rate: float  # records a second
    cpu_us: float  # telemd's, a record
    records_a_sync: float


class Turn(NamedTuple):
    """All of it once."""

    raw: Burst
    library: Burst
    sending_rate: float  # of the library, without creating the records
    disk_rate: float
    swept: dict[int, Burst]


def measure(setup: Setup) -> list[Figure]:
    """As many turns as wanted."""
    turns = [_turn(setup) for _ in range(setup.sizes.turns)]
    one = setup.conditions(f"1 client, window {setup.window_max}")
    disk = [turn.disk_rate for turn in turns]
    sending = median([turn.sending_rate for turn in turns])
    raw = _figure("streamed on one connection, durable (raw)", [turn.raw for turn in turns], one)
    library = _figure("streamed on one connection, durable (libtelemetry)", [turn.library for turn in turns], one)
    library_detail = f"{library.detail}; without creating the records {sending:,.0f} /s"
    return [
        raw._replace(aim=RATE, original="impossible"),
        library._replace(aim=RATE, original="impossible", detail=library_detail),
        Figure(
            "streamed", f"bare write and fdatasync of {setup.window_max} records at a time", median(disk), "/s",
            setup.conditions("no socket, no telemd"), detail=spread(disk, "/s"),
        ),
        *(
            _figure(
                f"streamed, {window} records without an answer (raw)",
                [turn.swept[window] for turn in turns],
                setup.conditions(f"1 client, window {window}, TM_WINDOW_MAX {setup.window_max}"),
            )
            for window in WINDOWS
        ),
    ]  # fmt: skip


def _turn(setup: Setup) -> Turn:
    sizes = setup.sizes
    root = setup.state_root(3 * sizes.stream_records + len(WINDOWS) * sizes.sweep_records)
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            raw, _ = _burst(setup, telemd, "stream", root.telemd_socket, sizes.stream_records, setup.window_max)
            library, send_s = _burst(setup, telemd, "library", root.config, sizes.stream_records, sizes.library_batch)
            disk = setup.generators.run(
                "disk", root.directory, sizes.stream_records, sizes.payload + FRAME_BYTES, setup.window_max
            )
            swept = {
                window: _burst(setup, telemd, "stream", root.telemd_socket, sizes.sweep_records, window)[0]
                for window in WINDOWS
            }
            return Turn(raw, library, sizes.stream_records / send_s, disk.rate, swept)
    finally:
        root.remove()


def _burst(setup: Setup, telemd: Telemd, program: str, where: Path, records: int, last: int) -> tuple[Burst, float]:
    """And the seconds the library spent on sending; for the raw generator, all of them."""
    syncs, cpu_before_s = telemd.sync_us()[0], cpu_s(telemd.pid)
    outcome = setup.generators.run(program, where, records, setup.sizes.payload, last).all_durable()
    used_s, syncs = cpu_s(telemd.pid) - cpu_before_s, telemd.sync_us()[0] - syncs
    burst = Burst(outcome.rate, 1e6 * used_s / records, records / max(syncs, 1))
    return burst, outcome.more.get("send_s", outcome.end_s - outcome.start_s)


def _figure(work: str, bursts: list[Burst], conditions: str) -> Figure:
    rates = [burst.rate for burst in bursts]
    cpu_us = median([burst.cpu_us for burst in bursts])
    together = median([burst.records_a_sync for burst in bursts])
    detail = f"{spread(rates, '/s')}; telemd {cpu_us:.3g} us CPU a record, {together:.0f} records a sync"
    return Figure("streamed", work, median(rates), "/s", conditions, detail=detail)
