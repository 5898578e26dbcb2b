# SPDX-License-Identifier: Apache-2.0
"""The cores that crash reports are measured on: of the corpus in tests/crash, and of rustc for its size.

Makes them and says where they are; what is done with them is for the row. Cores are the kernel's own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench import corepattern
from bench.place import BenchError

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests/crash"
BUILT = ROOT / "build-crash"
DEBIAN_RUSTC = "/usr/bin/rustc"
WAIT_S = 300.0
STARTED_S = 30.0


class Dead(NamedTuple):
    """A core and the program it is of."""

    core: Path
    program: Path


def of_corpus(*names: str) -> list[Dead]:
    """Those cases, made if need be. BenchError."""
    done = subprocess.run(
        [sys.executable, str(CORPUS / "corpus.py"), *names], capture_output=True, text=True, timeout=WAIT_S
    )
    if done.returncode:
        raise BenchError(f"the corpus of tests/crash can't be made: {(done.stdout + done.stderr)[-500:]}")
    return [Dead(BUILT / name / "core", BUILT / name / "program") for name in names]


def rustc() -> tuple[Path, Path]:
    """The compiler itself and its driver: of the rustc on PATH, which may be rustup's, and of Debian's the one that has
    the bigger driver. BenchError."""
    found: list[tuple[int, Path, Path]] = []
    for command in {shutil.which("rustc"), DEBIAN_RUSTC}:
        if command is None or not Path(command).exists():
            continue
        asked = subprocess.run([command, "--print", "sysroot"], capture_output=True, text=True, timeout=WAIT_S)
        sysroot = Path(asked.stdout.strip())
        drivers = [*sysroot.glob("lib/librustc_driver-*.so"), *sysroot.glob("lib/*/librustc_driver-*.so")]
        found += [(driver.stat().st_size, sysroot / "bin/rustc", driver) for driver in drivers]
    if not found:
        raise BenchError("there is no rustc: install the package rustc.")
    _, compiler, driver = max(found)
    return compiler, driver


def of_rustc(folder: Path) -> tuple[Dead, Path]:
    """rustc, killed while it waited for a program to be typed, and its driver. The core is in `folder`. BenchError."""
    compiler, driver = rustc()
    with corepattern.plain():
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -c unlimited && exec "$0" "$@"', compiler, "-"],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until = time.monotonic() + STARTED_S
            while not _waits(process.pid, driver):
                if time.monotonic() > until or process.poll() is not None:
                    raise BenchError(f"{compiler} doesn't wait for its input.")
                time.sleep(0.05)
            process.send_signal(signal.SIGABRT)
            process.wait(STARTED_S)
        finally:
            process.kill()
            process.communicate()
    cores = list(folder.glob("core*"))
    if len(cores) != 1:
        raise BenchError(f"the kernel wrote no core into {folder}: is there room, and is root running this?")
    return Dead(cores[0], compiler), driver


def _waits(pid: int, driver: Path) -> bool:
    """Whether it has its driver, and some thread of it reads from the pipe."""
    if str(driver) not in Path(f"/proc/{pid}/maps").read_text():
        return False
    tasks = Path(f"/proc/{pid}/task")
    return any("pipe" in (tasks / task / "wchan").read_text() for task in os.listdir(tasks))
