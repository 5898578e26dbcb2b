# SPDX-License-Identifier: Apache-2.0
"""What telemd costs when it has nothing to do: its memory after many records, and its absence when socket-activated."""

from __future__ import annotations

import time

from bench.activation import Activator
from bench.daemon import Telemd
from bench.figures import Aim, Figure
from bench.place import BenchError
from bench.processes import Memory, alive_with, cpu_s, descendants, memory
from bench.setup import Setup

ORDER = 5
PSS = Aim("at most", 18)
NOBODY = Aim("at most", 0)
IDLE_EXIT_S = 1
LEAVE_TIMEOUT_S = 30.0
KNOCK_TIMEOUT_S = 10.0
QUIET_CPU_S = 0.05
QUIET_TIMEOUT_S = 60.0


def measure(setup: Setup) -> list[Figure]:
    """Two daemons: one that stays, one that systemd's stand-in starts twice."""
    return [*_memory(setup), _presence(setup)]


def _wait_quiet(pid: int, quiet_s: float) -> None:
    """Until the process has used next to no processor time for a while; then its memory is what it keeps."""
    deadline_s = time.monotonic() + QUIET_TIMEOUT_S
    used_s = -1.0
    while time.monotonic() < deadline_s:
        before_s, used_s = used_s, cpu_s(pid)
        if before_s >= 0 and used_s - before_s < QUIET_CPU_S:
            return
        time.sleep(quiet_s)
    raise BenchError(f"telemd was never idle in {QUIET_TIMEOUT_S:.0f} s: it still works at something.")


def _memory(setup: Setup) -> list[Figure]:
    sizes = setup.sizes
    root = setup.state_root(sizes.idle_records)
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            fresh = memory(telemd.pid)
            setup.generators.run(
                "connections", "answered", root.telemd_socket, sizes.idle_records, sizes.clients, sizes.payload
            ).all_durable()
            _wait_quiet(telemd.pid, sizes.quiet_s)
            family = [telemd.pid, *descendants(telemd.pid)]
            parts = [memory(pid) for pid in family]
    finally:
        root.remove()
    full = Memory(sum(part.pss for part in parts), sum(part.rss for part in parts), sum(part.private for part in parts))
    detail = (
        f"{len(family)} process; RSS {full.rss / 1e6:.3g} MB, private {full.private / 1e6:.3g} MB; "
        f"before any record PSS {fresh.pss / 1e6:.3g} MB; MB = 10^6 bytes"
    )
    work = f"telemd after {sizes.idle_records:,} records, then idle: PSS"
    original = "10.3 MB in two daemons"
    conditions = setup.conditions(f"{sizes.clients} clients")
    return [
        Figure("idle", work, full.pss / 1e6, "MB", conditions, PSS, original, detail),
        Figure(
            "idle", "the same as RSS: what it would be as the machine's only Python", full.rss / 1e6, "MB", conditions
        ),
    ]


def _presence(setup: Setup) -> Figure:
    payload = setup.sizes.payload
    root = setup.state_root(0, f"idle_exit_s = {IDLE_EXIT_S}\n")
    left_s = []
    woken_ms = []
    try:
        with Activator(setup.programs.telemd, root) as activator:
            for _ in range(2):  # the second time shows that leaving lost nothing that is needed to come again
                with setup.generators.running("first", root.telemd_socket, payload) as knocking:
                    activator.start_when_knocked(KNOCK_TIMEOUT_S)
                    first = setup.generators.finish(knocking).all_durable()
                woken_ms.append(1000 * (first.end_s - first.start_s))
                left_s.append(activator.wait_gone(LEAVE_TIMEOUT_S))
                remaining = alive_with(root.config)
    finally:
        root.remove()
    detail = (
        f"started by a record and left twice; idle_exit_s {IDLE_EXIT_S}; gone {left_s[0]:.3g} s and {left_s[1]:.3g} s "
        f"after the answer; the record that woke it was answered after {woken_ms[0]:.3g} ms and {woken_ms[1]:.3g} ms"
    )
    work = "processes left when socket-activated and idle"
    return Figure("idle", work, len(remaining), "", setup.conditions("1 client"), NOBODY, "2 daemons stay", detail)
