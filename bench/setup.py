# SPDX-License-Identifier: Apache-2.0
"""What every row is given: the place, the installed programs, the generators, the sizes. Values; starts no daemon."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.daemon import StateRoot
from bench.generators import Generators
from bench.place import BenchError, Place, touch_memory

VERSION_TIMEOUT_S = 20.0
SPOOL_OVERHEAD_MAX = 256  # bytes of a record in the spool beside its payload


class Sizes(NamedTuple):
    """How much is sent; a full run and a smoke run differ in nothing else."""

    payload: int  # bytes
    clients: int  # connections at a time
    turns: int
    turn_records: int
    stream_records: int
    sweep_records: int
    library_batch: int
    paced_records: int
    paced_rate: int  # records a second
    spooled_records: int
    starts: int
    idle_records: int
    quiet_s: float  # longer than the few seconds after which a daemon may give memory back
    probe_runs: int
    delivered_records: int
    single_records: int  # a request each
    quiet_records: int
    drained_records: int

    @property
    def disk_bytes(self) -> int:
        """More than any one state root ever holds."""
        accepted = 2 * self.turn_records
        streamed = 3 * self.stream_records + 5 * self.sweep_records
        most = max(accepted, streamed, self.spooled_records, self.idle_records)
        return most * (self.payload + SPOOL_OVERHEAD_MAX) * 5 // 4


FULL = Sizes(
    payload=1024, clients=512, turns=5, turn_records=100_000, stream_records=100_000, sweep_records=50_000,
    library_batch=4096, paced_records=10_000, paced_rate=1000, spooled_records=1_000_000, starts=3,
    idle_records=100_000, quiet_s=8.0, probe_runs=50, delivered_records=60_000, single_records=5000, quiet_records=20,
    drained_records=5000,
)  # fmt: skip
QUICK = Sizes(
    payload=1024, clients=64, turns=1, turn_records=1000, stream_records=2000, sweep_records=1000, library_batch=500,
    paced_records=300, paced_rate=1000, spooled_records=5000, starts=1, idle_records=1000, quiet_s=0.5,
    probe_runs=1,    delivered_records=1000, single_records=100, quiet_records=2, drained_records=500,
)  # fmt: skip


class Programs(NamedTuple):
    """The product as it is installed below one prefix."""

    telemd: Path
    hprobe: Path
    telemhub: Path
    library: Path  # libtelemetry.so.4
    interpreter: str  # the Python the launchers name
    python_version: str


class Setup(NamedTuple):
    """All of it."""

    place: Place
    programs: Programs
    generators: Generators
    sizes: Sizes
    window_max: int  # TM_WINDOW_MAX
    cap_kb: int
    numbers: Iterator[int]

    def state_root(self, records: int, extra_settings: str = "") -> StateRoot:
        """A fresh one, for a load of so many records that is about to be measured; its path is as short as can be."""
        touch_memory(records * (self.sizes.payload + SPOOL_OVERHEAD_MAX))
        return StateRoot(self.place.directory / f"{next(self.numbers)}", self.cap_kb, extra_settings)

    def conditions(self, clients: str) -> str:
        """What a figure depends on, for its line."""
        return (
            f"spool on {self.place.file_system}, limits off, cap {self.cap_kb // 1000} MB, "
            f"payload {self.sizes.payload} B, {clients}, Python {self.programs.python_version}"
        )


def interpreter_of(launcher: Path) -> str:
    """The program a launcher's first line names."""
    with launcher.open("rb") as script:
        first = script.readline(256).decode(errors="replace")
    if not first.startswith("#!") or not first[2:].split():
        raise BenchError(f"{launcher} isn't a launcher of telemetrics: run `make build`.")
    return first[2:].split()[0]


def python_version(interpreter: str) -> str:
    """As it says itself."""
    command = [interpreter, "-IS", "-c", "import sys; print('.'.join(map(str, sys.version_info[:3])))"]
    return subprocess.run(command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=True).stdout.strip()


def find_programs(prefix: Path) -> Programs:
    """Below an installation's prefix. BenchError where something is missing."""
    telemd, hprobe, telemhub = (prefix / "bin" / name for name in ("telemd", "hprobe", "telemhub"))
    for program in (telemd, hprobe, telemhub):
        if not program.is_file():
            raise BenchError(f"{program} isn't there: run `make build`, or name another installation with --prefix.")
    libraries = sorted(prefix.glob("lib*/libtelemetry.so.4")) or sorted(prefix.glob("lib*/*/libtelemetry.so.4"))
    if not libraries:
        raise BenchError(f"no libtelemetry.so.4 below {prefix}: run `make build`.")
    interpreter = interpreter_of(telemd)
    return Programs(telemd, hprobe, telemhub, libraries[0].absolute(), interpreter, python_version(interpreter))


def window_max(header: str) -> int:
    """TM_WINDOW_MAX, from the text of telemetry.h."""
    found = re.search(r"^#define\s+TM_WINDOW_MAX\s+(\d+)", header, re.MULTILINE)
    if found is None:
        raise BenchError("telemetry.h defines no TM_WINDOW_MAX: bench and library are of different versions.")
    return int(found[1])


def row_numbers() -> Iterator[int]:
    """1, 2, 3, …"""
    return itertools.count(1)
