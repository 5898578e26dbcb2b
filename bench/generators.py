# SPDX-License-Identifier: Apache-2.0
"""The load generators in C: compiles them, runs them, reads the one line of JSON each prints.

They are in C because a generator in Python would be slower than what it measures. What they send is written by
libtelemetry's own wire.c, so no layout is repeated here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.place import BenchError

ON_THE_WIRE = ("connections", "bare", "stream", "paced", "first", "disk")
COMPILE_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 300.0
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion")


class Outcome(NamedTuple):
    """What one generator did. Times are of CLOCK_MONOTONIC, which time.monotonic() reads too."""

    records: int
    start_s: float
    end_s: float
    durable: int
    duplicate: int
    refused: int
    reason: int
    foreign: int
    lost: int
    backlog_full: int
    more: dict[str, float]

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / (self.end_s - self.start_s)

    def all_durable(self) -> Outcome:
        """Itself; BenchError where any record had another fate, for then the rate would be that of something else."""
        if self.durable != self.records or self.lost or self.foreign or self.records == 0:
            raise BenchError(
                f"of {self.records} records only {self.durable} were answered durable: {self.refused} refused "
                f"(last reason {self.reason}, see docs/protocol.md section 2), {self.duplicate} duplicate, {self.lost} "
                f"unanswered, {self.foreign} answered wrongly. The row has no figure: look at the daemon's log."
            )
        return self


def _outcome(text: str) -> Outcome:
    fields = json.loads(text)
    known = {name: fields.pop(name) for name in Outcome._fields if name != "more"}
    return Outcome(**known, more=fields)


class Generators:
    """The compiled programs of one run, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, program: str, *arguments: str | int | Path) -> Outcome:
        """Run one to its end. BenchError with its own words where it fails."""
        try:
            done = subprocess.run(
                [str(self._directory / program), *map(str, arguments)],
                capture_output=True,
                text=True,
                timeout=RUN_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{program} wasn't done after {error.timeout:.0f} s: is this machine busy?") from None
        if done.returncode != 0:
            raise BenchError(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
        return _outcome(done.stdout)

    @contextlib.contextmanager
    def running(self, program: str, *arguments: str | int | Path) -> Iterator[subprocess.Popen[str]]:
        """Start one that goes on beside the caller; it is killed where the block ends before it."""
        process = subprocess.Popen(
            [str(self._directory / program), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        """Wait for one that was started by running()."""
        out, error = process.communicate(timeout=RUN_TIMEOUT_S)
        if process.returncode != 0:
            raise BenchError(f"a load generator ended with {process.returncode}: {error.strip()}")
        return _outcome(out.splitlines()[-1])

    def bare(self, mode: str, socket: Path, records: int, clients: int, payload: int) -> Outcome:
        """A turn of the bare server; from the generator's beginning to the end of whichever of the two ends later."""
        with self.running("bare", mode, socket, records) as server:
            if server.stdout is None or server.stdout.readline() != "ready\n":
                raise BenchError("the bare server didn't come up: is the work directory writable?")
            last = ("any-id",) if mode == "answered" else ()
            sent = self.run("connections", mode, socket, records, clients if last else 1, payload, *last)
            served = self.finish(server)
        if served.lost:
            raise BenchError(f"the bare server read nothing from {served.lost} connections: the yardstick is void.")
        return sent._replace(end_s=max(sent.end_s, served.end_s))


def _compile(arguments: list[str | Path]) -> None:
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise BenchError(f"no C compiler ({compiler}): `make deps` installs one, or name one in CC.")
    command = [compiler, "-std=gnu11", "-D_GNU_SOURCE=", "-O2", *WARNINGS, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise BenchError(f"a load generator doesn't compile:\n{done.stderr.strip()}")


def compile_alone(source: Path, program: Path, *options: str) -> None:
    """A C program that is no generator."""
    _compile([source, *options, "-o", program])


def compile_all(source_root: Path, library: Path, directory: Path) -> Generators:
    """Compile every generator into directory; library is the shared library under test (libtelemetry.so.4)."""
    load = source_root / "bench" / "load"
    include, wire = source_root / "libtelemetry" / "include", source_root / "libtelemetry" / "src"
    wire_sources = sorted(wire.glob("wire*.c"))
    directory.mkdir(parents=True, exist_ok=True)
    for name in ON_THE_WIRE:
        sources = [load / f"{name}.c", load / "load.c", *wire_sources]
        _compile(["-I", include, "-I", wire, *sources, "-lm", "-o", directory / name])
    rpath = f"-Wl,-rpath,{library.parent}"
    _compile(["-I", include, load / "library.c", library, rpath, "-o", directory / "library"])
    return Generators(directory)
