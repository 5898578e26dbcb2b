# SPDX-License-Identifier: Apache-2.0
"""The runner: arguments, the rows in their order, the table, the exit code. What is measured stands in bench/rows."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import bench.rows
from bench.figures import Figure, line, table
from bench.generators import compile_all
from bench.place import BenchError, Place, prepare
from bench.processes import processors, shares
from bench.setup import FULL, QUICK, Programs, Setup, Sizes, find_programs, row_numbers, window_max

SOURCE_ROOT = Path(__file__).resolve().parent.parent
CAP_KB_MIN = 64_000


class Row(Protocol):
    """What each module in bench/rows offers."""

    ORDER: int

    def measure(self, setup: Setup) -> list[Figure]:
        """The row's figures; BenchError where there can be none."""


def rows() -> dict[str, Row]:
    """All of them, by name, in the table's order."""
    found = {
        module.name: cast("Row", importlib.import_module(f"bench.rows.{module.name}"))
        for module in pkgutil.iter_modules(bench.rows.__path__)
    }
    return dict(sorted(found.items(), key=lambda item: item[1].ORDER))


def parse(arguments: Sequence[str], names: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description="Measures telemetrics as installed below a prefix."
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few seconds: its figures mean nothing")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    parser.add_argument("--rows", metavar="ROW", nargs="+", choices=names, help=f"only these of: {', '.join(names)}")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="a directory on a disk (%(default)s)")
    parser.add_argument("--prefix", type=Path, default=SOURCE_ROOT / ".venv", help="the installation (%(default)s)")
    parser.add_argument("--clients", type=int, help=f"connections at a time ({FULL.clients})")
    return parser.parse_args(arguments)


def machine() -> str:
    """What it runs on, in a line."""
    model = "unknown processor"
    for entry in Path("/proc/cpuinfo").read_text().splitlines():
        if entry.startswith("model name"):
            model = entry.partition(":")[2].strip()
            break
    load = os.getloadavg()[0]
    busy = ", busy: figures will be lower" if load > 0.5 else ""
    return f"{len(os.sched_getaffinity(0))} processors ({model}), Linux {platform.release()}, load {load:.2f}{busy}"


def run_rows(setup: Setup, wanted: dict[str, Row]) -> tuple[list[Figure], dict[str, str]]:
    """The figures of the rows that could be measured, and what is wrong with the others."""
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name, row in wanted.items():
        print(f"-- {name}", flush=True)
        start_s, before = time.monotonic(), processors()
        try:
            found = row.measure(setup)
        except BenchError as error:
            failed[name] = str(error)
            print(f"   no figure: {error}", flush=True)
            continue
        for figure in found:
            print(f"   {line(figure)}", flush=True)
        print(f"   ({time.monotonic() - start_s:.0f} s; {shares(before, processors())})", flush=True)
        figures += found
    return figures, failed


def as_json(figures: Sequence[Figure], failed: dict[str, str], sizes: Sizes, place: Place, programs: Programs) -> str:
    """All of it, for a program to read."""
    document = {
        "machine": machine(),
        "file_system": place.file_system,
        "python": programs.python_version,
        "sizes": sizes._asdict(),
        "figures": [
            {**figure._asdict(), "aim": figure.aim._asdict() if figure.aim else None, "verdict": figure.verdict}
            for figure in figures
        ],
        "failed": failed,
    }
    return json.dumps(document, indent=1) + "\n"


def measure(options: argparse.Namespace, wanted: dict[str, Row]) -> int:
    """One run. 0 where every row has its figures, met or missed; 1 where one has none."""
    sizes = QUICK if options.quick else FULL
    if options.clients:
        sizes = sizes._replace(clients=options.clients)
    programs = find_programs(options.prefix)
    place = prepare(options.dir, sizes.disk_bytes)
    try:
        print(f"{machine()}\nspool on {place.file_system} in {place.directory}, memory touched before", flush=True)
        generators = compile_all(SOURCE_ROOT, programs.library, place.directory / "load")
        window = window_max((SOURCE_ROOT / "libtelemetry/include/telemetry.h").read_text())
        cap_kb = max(CAP_KB_MIN, sizes.disk_bytes // 1000)
        setup = Setup(place, programs, generators, sizes, window, cap_kb, row_numbers())
        figures, failed = run_rows(setup, wanted)
    finally:
        shutil.rmtree(place.directory, ignore_errors=True)
    print(f"\n{table(figures)}\n")
    missed = [figure.work for figure in figures if figure.verdict == "missed"]
    met = sum(figure.verdict == "met" for figure in figures)
    print(
        f"{met} met, {len(missed)} missed, {len(failed)} rows without figures"
        + (" (smoke run)" if options.quick else "")
    )
    if options.json:
        options.json.write_text(as_json(figures, failed, sizes, place, programs))
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 measured, 1 a row (or all) could not be, 2 wrong arguments."""
    all_rows = rows()
    options = parse(arguments, list(all_rows))
    try:
        return measure(options, {name: row for name, row in all_rows.items() if name in (options.rows or all_rows)})
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
