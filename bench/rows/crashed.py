# SPDX-License-Identifier: Apache-2.0
"""crashprobe from start to exit on a core, as installed, and eu-stack and gdb on the same cores in turn with it; a core
of 6 GiB through a pipe; and who is right about the corpus. Only starts programs and looks at the clock.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench import crashcores
from bench.crashcores import Dead
from bench.figures import Aim, Figure, median
from bench.generators import compile_alone
from bench.place import BenchError
from bench.setup import Setup, python_version

ORDER = 9
LOAD = Path(__file__).resolve().parent.parent / "load"
DEBUG_FOLDER = "/usr/lib/debug"
DEBIAN_PYTHON = "/usr/bin/python3"
RUNS_MAX = 15
RUN_S_MAX = 60.0
TURNS_S_MAX = 1800.0
PIPE_TURNS = 3
PIPE_GIB = 6
AS_SYSTEM = ["-E", "/usr/bin/program"]
QUIET = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}

BARE = "small crash, no debug info"
LINES = "small crash, with lines"
THREADS = "300 threads"
HUGE = "a huge module"
ORIGINAL = {BARE: "10-14 ms + 10 s sleep", LINES: "55 ms", THREADS: "580 ms", HUGE: "100 ms"}
AIMS = {BARE: 35, LINES: 60, THREADS: 150, HUGE: 150}


class Work(NamedTuple):
    """A core to be looked at. `lines`: the others are asked for lines, too."""

    name: str
    dead: Dead
    lines: bool
    conditions: str


def measure(setup: Setup) -> list[Figure]:
    """The table of crash reports."""
    crashprobe = setup.programs.telemd.with_name("crashprobe")
    if not crashprobe.exists():
        raise BenchError(f"{crashprobe} isn't there: run `make build`.")
    root = setup.state_root(0)
    (root.directory / "etc/telemetrics/opt-in-no-privacy-filters").touch()
    ours = [DEBIAN_PYTHON, "-IS", str(crashprobe), "-f", str(root.config), *AS_SYSTEM, "--json"]
    try:
        bare, plain, threads = crashcores.of_corpus("null_deref_plain", "null_deref", "threads_300")
        rust, driver = crashcores.of_rustc(root.directory)
        size = f"{driver.stat().st_size / 1e6:.0f} MB {driver.name}"
        rounds = min(setup.sizes.probe_runs, RUNS_MAX)
        python = f"Python {python_version(DEBIAN_PYTHON)} {DEBIAN_PYTHON}"
        hidden = f"{DEBUG_FOLDER} covered by an empty folder in a mount namespace of its own, program without -g"
        figures = _figures(root.directory, [Work(BARE, bare, False, f"{python}, {hidden}")], ours, rounds, True)
        works = [
            Work(LINES, plain, True, f"{python}, program with -g, debug info of libc as it is installed"),
            Work(THREADS, threads, True, f"{python}, program with -g"),
            Work(HUGE, rust, False, f"{python}, {size}, core of {rust.core.stat().st_size / 1e6:.0f} MB"),
        ]
        figures += _figures(root.directory, works, ours, rounds, False)
        figures += _through_a_pipe(root.directory, plain, ours, 1 if rounds < RUNS_MAX else PIPE_TURNS, python)
    finally:
        root.remove()
    return figures + _right(rounds == RUNS_MAX)


# -- start to exit --


def _others(work: Work) -> dict[str, list[str]]:
    core, program = str(work.dead.core), str(work.dead.program)
    lines = ["-i", "-s"] if work.lines else []
    quiet = ["-iex", "set debuginfod enabled off", "-iex", "set auto-load off"]
    return {
        "eu-stack": ["/usr/bin/eu-stack", *lines, "--core", core, "--executable", program],
        "gdb": ["/usr/bin/gdb", "-nx", "-batch", *quiet, "-ex", "thread apply all bt", program, core],
    }


def _figures(folder: Path, works: list[Work], ours: list[str], rounds: int, covered: bool) -> list[Figure]:
    """All programs on each core in turn."""
    figures = []
    for work in works:
        commands = {"crashprobe": [*ours, "-c", str(work.dead.core)], **_others(work)}
        told = _turns(folder, commands, rounds, covered)
        for name, runs in told.items():
            times = [ms for ms in runs["ms"] if ms is not None]
            if not times or (name == "crashprobe" and any(runs["code"])):
                raise BenchError(f"`{' '.join(commands[name])}` failed or took {RUN_S_MAX:.0f} s: run it to see why.")
            is_ours = name == "crashprobe"
            cpu = f"{median(runs['cpu']):.3g} ms of processors"
            detail = (
                f"median of {len(times)}; {min(times):.3g} to {max(times):.3g} ms; {cpu}; peak {max(runs['kb'])} KB"
            )
            figures.append(Figure(
                "crashed", f"{work.name}: {name}", median(times), "ms", work.conditions,
                Aim("at most", AIMS[work.name]) if is_ours else None, ORIGINAL[work.name] if is_ours else "-", detail,
            ))  # fmt: skip
    return figures


def _turns(folder: Path, commands: dict[str, list[str]], rounds: int, covered: bool) -> dict[str, dict[str, list[Any]]]:
    covers = covered and Path(DEBUG_FOLDER).is_dir()
    plan = {"commands": commands, "rounds": rounds, "most_s": RUN_S_MAX, "cover": DEBUG_FOLDER if covers else None}
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    alone = [] if not covers else ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    done = subprocess.run(
        [*alone, sys.executable, str(LOAD / "turns.py"), str(file)],
        capture_output=True, text=True, timeout=TURNS_S_MAX, env=QUIET,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"the programs couldn't be run in turn: {done.stderr[-300:]}")
    found: dict[str, dict[str, list[Any]]] = json.loads(done.stdout)
    return found


# -- through a pipe --


def _through_a_pipe(folder: Path, dead: Dead, ours: list[str], turns: int, python: str) -> list[Figure]:
    """The same writer into crashprobe and into cat, in turn. A small program stands before crashprobe: what `wait4`
    says of a process is at least what its parent had, and the bench has more than crashprobe."""
    waited = folder / "waited"
    compile_alone(LOAD / "waited.c", waited)
    waited.with_suffix(".real").symlink_to(ours[0])
    readers = {"crashprobe": [str(waited), *ours[1:]], "cat >/dev/null": ["/usr/bin/cat"]}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(turns):
        for name, command in readers.items():
            seconds[name].append(_piped(dead.core, command))
    used = [line.split() for line in waited.with_suffix(".used").read_text().splitlines()]
    if any(status != "0" for _, _, status in used):
        raise BenchError("crashprobe failed at a core through a pipe.")
    conditions = f"{python}, the writer is {LOAD.name}/bigcore.py, nothing on disk"
    work = f"{PIPE_GIB} GiB core through a pipe"
    bare_s = median(seconds["cat >/dev/null"])
    own_s = median(seconds["crashprobe"])
    return [
        Figure("crashed", f"{work}: crashprobe", own_s, "s", conditions, Aim("at most", bare_s * 1.1 + 0.1),
               "25-32 s and 6 GiB of disk", f"median of {turns}; aim: what cat takes, and a tenth"),
        Figure("crashed", f"{work}: cat >/dev/null", bare_s, "s", conditions, detail=f"median of {turns}"),
        Figure("crashed", f"{work}: crashprobe's memory", max(int(kb) for _, kb, _ in used) / 1024, "MiB", conditions,
               Aim("at most", 32), "6 GiB of disk", "peak RSS (wait4)"),
    ]  # fmt: skip


def _piped(core: Path, command: list[str]) -> float:
    """Seconds until the reader has ended. BenchError where it failed."""
    start_s = time.monotonic()
    with (
        subprocess.Popen(
            [sys.executable, str(LOAD / "bigcore.py"), str(core), str(PIPE_GIB)], stdout=subprocess.PIPE
        ) as writer,
        subprocess.Popen(command, stdin=writer.stdout, stdout=subprocess.DEVNULL) as reader,
    ):
        assert writer.stdout is not None
        writer.stdout.close()
        reader.wait()
        taken_s = time.monotonic() - start_s
    if reader.returncode:
        raise BenchError(f"a core through a pipe into `{' '.join(command)}` failed.")
    return taken_s


# -- who is right --


def _right(whole: bool) -> list[Figure]:
    names = [] if whole else ["null_deref", "null_deref_plain", "threads_300"]
    done = subprocess.run(
        [sys.executable, str(crashcores.CORPUS / "compare.py"), *names],
        capture_output=True, text=True, timeout=TURNS_S_MAX,
    )  # fmt: skip
    said = re.search(r"^(\d+) cases; right: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or said is None:
        raise BenchError(f"the corpus couldn't be judged: {(done.stdout + done.stderr)[-300:]}")
    cases = int(said[1])
    figures = []
    for tool, stacks, right_names, lines in re.findall(r"(\S+) stacks (\d+), names (\d+), lines (\d+)", said[2]):
        is_ours = tool == "ours"
        for what, count in (("stacks", stacks), ("names", right_names)):
            share = 100 * int(count) / cases
            figures.append(Figure(
                "crashed", f"{what} right in the corpus: {'crashprobe' if is_ours else tool}", share, "%",
                f"{cases} cases of tests/crash, judged by what their sources say",
                Aim("at least", 100) if is_ours else None, "94%" if is_ours and what == "stacks" else "-",
                f"{count} of {cases}" + (f"; lines {lines}" if what == "names" else ""),
            ))  # fmt: skip
    return figures
