# SPDX-License-Identifier: Apache-2.0
"""How soon telemd is there again with a million records in its spool: from exec to a ping, and to a durable answer.

Three ways to start: with the spool in the page cache, with it on the disk only, and after SIGKILL. Whether all records
are still there is checked each time; the figures are void if not.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from bench.daemon import StateRoot, Telemd
from bench.figures import Aim, Figure, median, spread
from bench.place import BenchError
from bench.processes import memory
from bench.setup import Setup

ORDER = 4
START = Aim("at most", 1000)
WAYS = ("page cache warm", "spool not in the page cache", "after SIGKILL")


class Start(NamedTuple):
    """Milliseconds from exec."""

    ping_ms: float
    answer_ms: float
    pss_bytes: int


def measure(setup: Setup) -> list[Figure]:
    """Fill the spool once; start several times each way."""
    sizes = setup.sizes
    starts: dict[str, list[Start]] = {way: [] for way in WAYS}
    root = setup.state_root(0)
    try:
        with Telemd(setup.programs.telemd, root):
            setup.generators.run(
                "stream", root.telemd_socket, sizes.spooled_records, sizes.payload, setup.window_max
            ).all_durable()
        expected = sizes.spooled_records
        for way in WAYS:
            for _ in range(sizes.starts):
                if way == "after SIGKILL":
                    expected += _die_at_work(setup, root, expected)
                elif way == "spool not in the page cache":
                    drop_from_page_cache(root)
                starts[way].append(_start(setup, root, expected))
                expected += 1  # the record that was answered
        disk_mb = sum(segment.stat().st_size for segment in root.spool.rglob("*") if segment.is_file()) // 1_000_000
    finally:
        root.remove()

    conditions = setup.conditions("1 client")
    figures = []
    for way in WAYS:
        answers = [start.answer_ms for start in starts[way]]
        detail = (
            f"to the first durable answer; to a ping {median([start.ping_ms for start in starts[way]]):,.0f} ms; "
            f"{spread(answers, 'ms')}; {disk_mb:,} MB of spool; "
            f"PSS {median([start.pss_bytes for start in starts[way]]) / 1e6:.3g} MB"
        )
        work = f"start with {sizes.spooled_records:,} records spooled, {way}"
        figures.append(Figure("started", work, median(answers), "ms", conditions, START, "-", detail))
    return figures


def _start(setup: Setup, root: StateRoot, expected: int) -> Start:
    with (
        setup.generators.running("first", root.telemd_socket, setup.sizes.payload) as knocking,
        Telemd(setup.programs.telemd, root) as telemd,
    ):
        first = setup.generators.finish(knocking).all_durable()
        pending = telemd.accounting().pending
        if pending != expected + 1:
            raise BenchError(f"{pending} records are pending after a start and {expected + 1} should be.")
        ping_ms, answer_ms = 1000 * (telemd.ping_s - telemd.exec_s), 1000 * (first.end_s - telemd.exec_s)
        return Start(ping_ms, answer_ms, memory(telemd.pid).pss)


def _die_at_work(setup: Setup, root: StateRoot, expected: int) -> int:
    """SIGKILL a daemon that has just answered; the number of records it took since it was started."""
    with Telemd(setup.programs.telemd, root) as telemd:
        outcome = setup.generators.run(
            "stream", root.telemd_socket, setup.window_max, setup.sizes.payload, setup.window_max
        ).all_durable()
        pending = telemd.accounting().pending
        if pending != expected + outcome.records:
            raise BenchError(f"{pending} records are pending and {expected + outcome.records} should be.")
        telemd.kill()
    return outcome.records


def drop_from_page_cache(root: StateRoot) -> None:
    """Ask the kernel to forget these files' clean pages; nobody else's, as drop_caches would."""
    os.sync()
    for entry in root.spool.rglob("*"):
        if entry.is_file():
            descriptor = os.open(entry, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
