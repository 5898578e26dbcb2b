# SPDX-License-Identifier: Apache-2.0
"""What metricprobe's collectors cost: microseconds a sample, beside psutil doing the same work in the same Python.

Each side in a process of its own that nothing else is in, in turn. And metricprobe as it runs all day: processor time
and memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.daemon import StateRoot, Telemd
from bench.figures import Aim, Figure, median
from bench.place import BenchError
from bench.processes import cpu_s, memory
from bench.setup import Setup, python_version

ORDER = 12
TIMEOUT_S = 60.0
SIDES_TURNS = 5
WAIT_S = 65.0
FIVE_SECONDS = ("cpu", "diskio", "network")
"""The collectors that are sampled every 5 s."""
AIMS_US = {"cpu": 12.0, "memory": 8.0, "diskio": 8.0, "network": 12.0, "processes": 400.0}
PROCESSES = 80
"""To whose number the figure of processes is converted."""
AN_AGENT_US = {"cpu": 19, "memory": 10, "diskio": 15, "network": 119, "processes": 513}
"""One in Go, on a machine of 2 cores."""
SHARE = Aim("at most", 0.02)
PSS = Aim("at most", 16)
STATIC_ID = "ab" * 16


def measure(setup: Setup) -> list[Figure]:
    """Each collector, the cycle of those of 5 s, and the process."""
    metricprobe = setup.programs.telemd.with_name("metricprobe")
    if not metricprobe.is_file():
        raise BenchError(f"{metricprobe} isn't there: run `make build`.")
    ours: dict[str, list[float]] = {name: [] for name in AIMS_US}
    theirs: dict[str, list[float]] = {name: [] for name in AIMS_US}
    for _ in range(SIDES_TURNS if setup.sizes.turns > 1 else 1):
        for name, value in ours_us(metricprobe).items():
            ours[name].append(value)
        for name, value in psutil_us(setup.sizes.turns > 1).items():
            theirs[name].append(value)
    count = processes()
    interpreter = setup.programs.interpreter
    conditions = (
        f"Python {python_version(interpreter)} {interpreter}, {os.cpu_count()} processors, "
        f"{count} processes; psutil in Python {python_version(sys.executable)}"
    )
    figures = []
    for name, aim_us in AIMS_US.items():
        scale = PROCESSES / count if name == "processes" else 1.0
        value, other = median(ours[name]) * scale, median(theirs[name]) * scale
        work = f"metricprobe: {name}, a sample" + (f" of {PROCESSES} processes" if name == "processes" else "")
        detail = f"psutil {other:.3g} us, {other / value:.1f} times as long; least {min(ours[name]) * scale:.3g} us"
        figures.append(
            Figure(
                "collectors",
                work,
                value,
                "us",
                conditions,
                Aim("at most", aim_us),
                f"Go agent: {AN_AGENT_US[name]} us",
                detail,
            )
        )
    return [*figures, *running(setup, metricprobe, conditions)]


def ours_us(metricprobe: Path) -> dict[str, float]:
    """Medians of the installed program's own measurement."""
    command = [str(metricprobe), "--benchmark", "--collector", ",".join(AIMS_US)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    found = {}
    for line in ran.stdout.splitlines()[1:]:
        name, value, *_ = line.split()
        if name in AIMS_US and value != "-":
            found[name] = float(value)
    if set(found) != set(AIMS_US):
        raise BenchError(f"`{' '.join(command)}` measured {len(found)} collectors: {ran.stdout}{ran.stderr}")
    return found


def psutil_us(is_full: bool) -> dict[str, float]:
    """Medians of psutil, in a Python of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import tell_psutil; tell_psutil({is_full})"],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if ran.returncode != 0:
        raise BenchError(f"psutil can't be measured: {ran.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def tell_psutil(is_full: bool) -> None:
    """In that Python: prints the medians as JSON."""
    import psutil

    def processor() -> object:
        return psutil.cpu_times(percpu=True), psutil.cpu_percent(None), psutil.getloadavg(), psutil.cpu_count()

    def all_processes() -> object:
        return list(psutil.process_iter(["name", "status", "cpu_times", "memory_info", "num_threads"]))

    works: dict[str, tuple[Callable[[], object], int]] = {
        "cpu": (processor, 1000),
        "memory": (lambda: (psutil.virtual_memory(), psutil.swap_memory()), 1000),
        "diskio": (lambda: psutil.disk_io_counters(perdisk=True), 1000),
        "network": (lambda: psutil.net_io_counters(pernic=True), 1000),
        "processes": (all_processes, 50),
    }
    found = {}
    for name, (work, times) in works.items():
        work()
        took_us = []
        for _ in range(times if is_full else 5):
            began_ns = time.perf_counter_ns()
            work()
            took_us.append((time.perf_counter_ns() - began_ns) / 1000)
        found[name] = median(took_us)
    print(json.dumps(found))


def processes() -> int:
    """How many there are now."""
    return sum(entry.isdigit() for entry in os.listdir("/proc"))


def running(setup: Setup, metricprobe: Path, conditions: str) -> list[Figure]:
    """As a service: the collectors of 5 s alone, which nobody is told of, and beside it all of them, each at its own
    interval, with a telemd that takes the records."""
    wait_s = WAIT_S if setup.sizes.turns > 1 else 1.0
    roots = [setup.state_root(0), setup.state_root(0)]
    quiet = ["--listen", f"unix:{roots[0].directory}/m.sock", "--collector", ",".join(FIVE_SECONDS)]
    (roots[1].directory / "etc/telemetrics/opt-in-static-machine-id").write_text(STATIC_ID)
    started: list[subprocess.Popen[bytes]] = []
    try:
        with Telemd(setup.programs.telemd, roots[1]):
            for root, more in zip(roots, (quiet, []), strict=True):
                started.append(start([str(metricprobe), "-f", str(root.config), *more], root))
            time.sleep(wait_s / 10)  # each has been asked once
            began_s, before_s = time.monotonic(), [cpu_s(process.pid) for process in started]
            time.sleep(wait_s)
            for process, root in zip(started, roots, strict=True):
                if process.poll() is not None:
                    raise BenchError(f"metricprobe ended with {process.returncode}:\n{root.log_tail()}")
            used_s = [cpu_s(process.pid) - before for process, before in zip(started, before_s, strict=True)]
            passed_s = time.monotonic() - began_s
            held = memory(started[1].pid)
            for process in started:
                process.terminate()
                process.wait(TIMEOUT_S)
    finally:
        for process in started:
            process.kill()
            process.wait(TIMEOUT_S)
        for root in roots:
            root.remove()
    shares = [100 * used / passed_s for used in used_s]
    conditions = f"{passed_s:.0f} s; {conditions}"
    detail = f"RSS {held.rss / 1e6:.3g} MB, private {held.private / 1e6:.3g} MB"
    work = "metricprobe as a service"
    return [
        Figure("collectors", f"{work}: the collectors of 5 s, of a core", shares[0], "%", conditions, SHARE),
        Figure("collectors", f"{work}: all that this machine has, sent, of a core", shares[1], "%", conditions),
        Figure("collectors", f"{work}: PSS", held.pss / 1e6, "MB", conditions, PSS, "-", detail),
    ]


def start(command: list[str], root: StateRoot) -> subprocess.Popen[bytes]:
    """What it says goes to the log, such as that there is no telemd."""
    with root.log.open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
