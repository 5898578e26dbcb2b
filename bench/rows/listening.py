# SPDX-License-Identifier: Apache-2.0
"""What the probes that listen cost: klogscanner and journalprobe, with nothing to read, and with 10,000 lines a second
of which none is a report. Their processor time and their memory, from outside.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.daemon import StateRoot
from bench.figures import Aim, Figure
from bench.place import BenchError
from bench.processes import cpu_s, memory
from bench.setup import Setup

ORDER = 7
LINES_A_S = 10_000
IDLE_PERCENT = Aim("at most", 0.02)
FOLLOWING_PERCENT = Aim("at most", 20)
RESIDENT = Aim("at most", 16)
WRITER = Path("/lib/systemd/systemd-journal-remote")
LINES = Path(__file__).parents[1] / "load/lines.py"
SETTLE_S = 2.0
STEP_S = 0.01
WAIT_S = 30.0


def measure(setup: Setup) -> list[Figure]:
    """One after the other, each in a state root of its own."""
    root = setup.state_root(0)
    try:
        return [*_klogscanner(setup, root), *_journalprobe(setup, root)]
    finally:
        root.remove()


def _klogscanner(setup: Setup, root: StateRoot) -> list[Figure]:
    feeding, reading = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with feeding, reading:
        command = [_beside(setup, "klogscanner"), "-f", str(root.config), "-k", str(reading.fileno())]
        with _started(command, root, [reading.fileno()]) as probe:
            idle = _percent(probe, setup.sizes.quiet_s * 2, time.sleep)
            busy = _percent(probe, setup.sizes.quiet_s, lambda seconds: _feed(feeding, seconds))
            return _figures(setup, "klogscanner", probe, idle, busy)


def _feed(feeding: socket.socket, seconds: float) -> None:
    """Lines of the kernel's, on schedule, a record each."""
    begun = time.monotonic()
    written = 0
    while (passed := time.monotonic() - begun) < seconds:
        for at in range(written, int(passed * LINES_A_S)):
            feeding.send(
                b"6,%d,%d,-;usb 1-1: one of the many lines that a busy kernel writes %d\n" % (at, at * 100, at)
            )
        written = int(passed * LINES_A_S)
        time.sleep(STEP_S)


def _journalprobe(setup: Setup, root: StateRoot) -> list[Figure]:
    if not WRITER.exists():
        raise BenchError("a journal is written by systemd-journal-remote: `apt install systemd-journal-remote`.")
    folder = root.directory / "journal"
    folder.mkdir()
    _write(folder, 100, 1.0)
    with _started([_beside(setup, "journalprobe"), "-f", str(root.config), "-D", str(folder), "-t"], root) as probe:
        idle = _percent(probe, setup.sizes.quiet_s * 2, time.sleep)
        woken = _woken(probe)
        busy = _percent(probe, setup.sizes.quiet_s, lambda seconds: _write(folder, LINES_A_S, seconds))
        if _woken(probe) - woken < setup.sizes.quiet_s / 2:
            raise BenchError("journalprobe slept while lines were written: its figures would mean nothing.")
        return _figures(setup, "journalprobe", probe, idle, busy)


def _write(folder: Path, rate: int, seconds: float) -> None:
    """Lines of any program's, by systemd's own writer."""
    command = [sys.executable, str(LINES), str(rate), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as lines:
        written = subprocess.run(
            [WRITER, "-o", folder / "system.journal", "-"], stdin=lines.stdout, capture_output=True, check=False
        )
    if written.returncode or lines.returncode:
        raise BenchError(f"the journal can't be written: {written.stderr.decode(errors='replace')[-200:]}")


@contextlib.contextmanager
def _started(command: list[str], root: StateRoot, pass_fds: list[int] | None = None) -> Iterator[int]:
    """Its pid, once it waits for lines."""
    with root.log.open("ab") as log:
        probe = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=pass_fds or [])
    try:
        until_s = time.monotonic() + WAIT_S
        while b"poll" not in Path(f"/proc/{probe.pid}/wchan").read_bytes():
            if probe.poll() is not None or time.monotonic() > until_s:
                raise BenchError(f"`{' '.join(command)}` doesn't wait for lines:\n{root.log_tail()}")
            time.sleep(STEP_S)
        time.sleep(SETTLE_S)
        yield probe.pid
    finally:
        probe.kill()
        probe.wait()


def _percent(pid: int, seconds: float, meanwhile: Callable[[float], None]) -> float:
    """Of one processor, while something happens for so long."""
    before_s, begun = cpu_s(pid), time.monotonic()
    meanwhile(seconds)
    return 100 * (cpu_s(pid) - before_s) / (time.monotonic() - begun)


def _woken(pid: int) -> int:
    """How often it has begun to wait (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches:"))


def _figures(setup: Setup, name: str, pid: int, idle: float, busy: float) -> list[Figure]:
    conditions = setup.conditions("no client")
    found = memory(pid)
    detail = f"PSS {found.pss / 1e6:.3g} MB, private {found.private / 1e6:.3g} MB, after the lines; MB = 10^6 bytes"
    return [
        Figure("listening", f"{name} with nothing to read: of a processor", idle, "%", conditions, IDLE_PERCENT),
        Figure(
            "listening", f"{name} following {LINES_A_S:,} lines/s, no report", busy, "%", conditions, FOLLOWING_PERCENT
        ),
        Figure("listening", f"{name}: RSS", found.rss / 1e6, "MB", conditions, RESIDENT, detail=detail),
    ]


def _beside(setup: Setup, name: str) -> str:
    return str(setup.programs.hprobe.with_name(name))
