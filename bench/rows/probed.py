# SPDX-License-Identifier: Apache-2.0
"""hprobe from start to exit, as installed, and bare Python beside it. Only starts programs and looks at the clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from bench.daemon import StateRoot, Telemd
from bench.figures import Aim, Figure, median
from bench.place import BenchError
from bench.setup import Setup, python_version

ORDER = 6
TIME = Aim("at most", 10)
DEBIAN_PYTHON = "/usr/bin/python3"
ASK_TIMEOUT_S = 20.0


def measure(setup: Setup) -> list[Figure]:
    """All commands in turn, as often as wanted."""
    root = setup.state_root(0)
    commands = _commands(setup, root)
    times_ms: dict[str, list[float]] = {name: [] for name in commands}
    quiet = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            admitted = telemd.accounting().admitted
            for command in commands.values():
                run_ms(command, quiet)  # once for the page cache and the bytecode
            for _ in range(setup.sizes.probe_runs):
                for name, command in commands.items():
                    times_ms[name].append(run_ms(command, quiet))
            probes = sum(str(setup.programs.hprobe) in command for command in commands.values())
            came = telemd.accounting().admitted - admitted
            if came != probes * (setup.sizes.probe_runs + 1):
                raise BenchError(f"of {probes * (setup.sizes.probe_runs + 1)} hprobe records {came} came to telemd.")
    finally:
        os.close(quiet)
        root.remove()

    figures = []
    for name, command in commands.items():
        times = times_ms[name]
        installed = command[0] == str(setup.programs.hprobe)
        interpreter = setup.programs.interpreter if installed else command[0]
        place = f"spool on {setup.place.file_system}, limits off, cap {setup.cap_kb // 1000} MB"
        conditions = f"{place}, payload 6 B, 1 client, Python {python_version(interpreter)} {interpreter}"
        detail = f"median of {len(times)}; fastest {min(times):.3g} ms, slowest {max(times):.3g} ms"
        judged = installed or command[0] == DEBIAN_PYTHON and str(setup.programs.hprobe) in command
        aim, original = (TIME, "1.1 ms") if judged else (None, "-")
        figures.append(Figure("probed", name, median(times), "ms", conditions, aim, original, detail))
    return figures


def _commands(setup: Setup, root: StateRoot) -> dict[str, list[str]]:
    """By what the table calls them. The launcher's first line says -IS; the others are told so."""
    hprobe, arguments = str(setup.programs.hprobe), ["-f", str(root.config)]
    on_path = _behind(shutil.which("python3") or DEBIAN_PYTHON)
    commands = {"hprobe, start to exit, as installed": [hprobe, *arguments]}
    if Path(DEBIAN_PYTHON).exists():
        commands[f"hprobe, start to exit, {DEBIAN_PYTHON} -IS"] = [DEBIAN_PYTHON, "-IS", hprobe, *arguments]
        commands[f"bare {DEBIAN_PYTHON} -IS -c pass"] = [DEBIAN_PYTHON, "-IS", "-c", "pass"]
    if on_path != DEBIAN_PYTHON and _same_release(on_path, setup.programs.python_version):
        commands["hprobe, start to exit, python3 on PATH -IS"] = [on_path, "-IS", hprobe, *arguments]
        commands["bare python3 on PATH -IS -c pass"] = [on_path, "-IS", "-c", "pass"]
    return commands


def _behind(command: str) -> str:
    """The interpreter itself: `python3` on PATH may be a shell script that looks for one (pyenv)."""
    asked = [command, "-IS", "-c", "import sys; print(sys.executable)"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=True).stdout.strip()


def _same_release(interpreter: str, version: str) -> bool:
    """Whether it can load extension modules that were built for version."""
    return python_version(interpreter).split(".")[:2] == version.split(".")[:2]


def run_ms(command: list[str], quiet: int) -> float:
    """One process, from just before its start to just after its end, in milliseconds. BenchError where it fails."""
    actions = [(os.POSIX_SPAWN_DUP2, quiet, descriptor) for descriptor in (0, 1, 2)]
    start_ns = time.monotonic_ns()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    end_ns = time.monotonic_ns()
    if os.waitstatus_to_exitcode(status) != 0:
        raise BenchError(f"`{' '.join(command)}` failed: run it to see why.")
    return (end_ns - start_ns) / 1e6
