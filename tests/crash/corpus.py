# SPDX-License-Identifier: Apache-2.0
"""The corpus: programs that die, each with the core that the kernel really wrote, built on the spot and kept in
build-crash/ until its source, a compiler or this machinery changes.

`programs()` lists the cases, `core(program)` builds and runs one if need be; `python tests/crash/corpus.py [NAME ...]`
makes all or some and says how long that took. What is expected stands in the programs (see sources.py).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import building
import cores
import sources
from sources import Expect, Program, programs

sys.path.append(str(Path(__file__).parents[2]))  # run as a program, it finds bench
from bench import corepattern

__all__ = ["Case", "Expect", "Program", "core", "make", "programs"]

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "build-crash"
MACHINERY = [HERE / "building.py", HERE / "cores.py"]
PACKAGES = """gcc g++ clang rustc golang-go musl-tools gcc-aarch64-linux-gnu libc6 libc6-dev libc6-dev-arm64-cross
    qemu-user dwz binutils python3""".split()


@dataclass(frozen=True)
class Case:
    """A program that died."""

    core_path: Path
    executable: Path  # as it was when the process began; may be gone or another by now
    sysroot: Path  # what the paths in the core are relative to
    expect: Expect
    program: Program

    @property
    def full(self) -> Path:
        """The executable before anything was stripped from it: for what judges, never for what is judged."""
        return self.core_path.with_name("full")


@functools.cache
def tools() -> str:
    """Versions of the packages that decide what a program looks like."""
    command = ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"run `make deps-check`, these are missing:\n{done.stderr}"
    return done.stdout


def key(program: Program) -> str:
    """Changes when the case has to be made anew. What is expected of it isn't part of that."""
    digest = hashlib.sha256(tools().encode())
    about = (
        program.name, program.compiler, program.flags, program.steps, program.arguments, program.environment,
        program.expect.signal, os.uname().release, str(FOLDER),
    )  # fmt: skip
    digest.update(repr(about).encode())
    for file in (*sources.parts(program.source), *sources.PROGRAMS.glob("*.h"), *MACHINERY):
        digest.update(file.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One process at a time writes in build-crash/."""
    FOLDER.mkdir(exist_ok=True)
    with open(FOLDER / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def case_of(program: Program) -> Case:
    folder = FOLDER / program.name
    executable = folder / "program"
    if program.compiler == "python":
        executable = building.PYTHON.resolve()
    root = folder / "root"
    return Case(folder / "core", executable, root if root.exists() else Path("/"), program.expect, program)


def is_there(program: Program) -> bool:
    try:
        return (FOLDER / program.name / "key").read_text() == key(program)
    except FileNotFoundError:
        return False


def make_one(program: Program) -> None:
    folder = FOLDER / program.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    building.build(program, folder, FOLDER)
    cores.dump(program, folder)
    (folder / "key").write_text(key(program))


def make(wanted: Iterable[Program]) -> list[Case]:
    """The cases of these programs, those that are missing made in parallel. Raises the first failure, with all said."""
    wanted = list(wanted)
    if not all(map(is_there, wanted)):
        with alone(), corepattern.plain(), concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            failures = []
            for program, done in [(one, pool.submit(make_one, one)) for one in wanted if not is_there(one)]:
                if error := done.exception():
                    failures.append(f"{program.name}: {type(error).__name__}: {error}")
            assert not failures, "\n\n".join(failures)
    return [case_of(program) for program in wanted]


def core(program: Program) -> Case:
    """One case, made if it isn't there."""
    return make([program])[0]


def main(names: list[str]) -> int:
    wanted = [program for program in programs() if not names or program.name in names]
    began = time.monotonic()
    missing = sum(not is_there(program) for program in wanted)
    try:
        cases = make(wanted)
    except AssertionError as error:
        print(error)
        return 1
    size = sum(case.core_path.stat().st_blocks * 512 for case in cases)
    print(f"{len(cases)} cases, {missing} made in {time.monotonic() - began:.1f} s; cores {size / 1e6:.0f} MB on disk")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
