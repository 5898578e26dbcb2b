# SPDX-License-Identifier: Apache-2.0
"""A machine with debug packages and one without tell the same of a crash: the same fault, and no name another one.

Two roots for the same core, which differ in nothing but /usr/lib/debug: with libc6-dbg there, and the debug file of a
program of our own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import corpus
import pytest
from ours import SECONDS

from telemetry_probes.crash import examine
from telemetry_probes.crash.report import Report

PROGRAMS = {program.name: program for program in corpus.programs()}
IN_LIBC = ["die_abort", "die_free", "die_assert", "callback_qsort", "threads_8", "cpp_uncaught", "signal_alternate"]
OWN = "null_deref_build_id"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's files as they are without any debug package."""
    root = tmp_path_factory.mktemp("root")
    (root / "usr/lib").mkdir(parents=True)
    for entry in Path("/").iterdir():
        if entry.name not in ("usr", "proc", "sys", "dev"):
            (root / entry.name).symlink_to(f"/{entry.name}")
    for entry in Path("/usr").iterdir():
        if entry.name != "lib":
            (root / "usr" / entry.name).symlink_to(entry)
    for entry in Path("/usr/lib").iterdir():
        if entry.name != "debug":
            (root / "usr/lib" / entry.name).symlink_to(entry)
    for name in ("lib", "lib64"):  # as links to /usr/lib they would lead back to the debug files
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    return root


def report(name: str, root: Path) -> Report:
    with corpus.core(PROGRAMS[name]).core_path.open("rb") as core:
        examined = examine.examine(core.fileno(), examine.Asked(), True, time.monotonic, str(root), SECONDS)
    assert examined.report is not None
    return examined.report


def functions(told: Report) -> list[list[list[str]]]:
    """The functions of each frame of each stack, innermost first."""
    return [[[place.function for place in places] for places in group.named.places] for group in told.groups]


def compared(one: Report, other: Report) -> int:
    """How many frames have a name in `one` alone. Where both know something of a frame it's the same, and so is all
    that tells one fault from another."""
    assert one.fingerprint == other.fingerprint != ""
    assert one.groups[0].named.own_names == other.groups[0].named.own_names
    more = 0
    for stack, bare_stack in zip(functions(one), functions(other), strict=True):
        assert len(stack) == len(bare_stack)
        for names, bare_names in zip(stack, bare_stack, strict=True):
            assert not bare_names[-1] or names[-1] == bare_names[-1]
            more += bool(names[-1]) and not bare_names[-1]
    return more


def fingerprints(told: Report) -> list[str]:
    """As they are sent."""
    import json

    return [str(value) for key, value in sorted(json.loads(told.json(1 << 20)).items()) if "fingerprint" in key]


@pytest.mark.parametrize("name", IN_LIBC)
def test_libc_s_debug_files_add_names_and_change_none(name: str, bare: Path) -> None:
    assert any(Path("/usr/lib/debug/.build-id").iterdir()), "apt-get install libc6-dbg"
    with_debug, without = report(name, Path("/")), report(name, bare)
    compared(with_debug, without)
    assert fingerprints(with_debug) == fingerprints(without) != []


def test_there_they_do_add_some(bare: Path) -> None:
    """Otherwise nothing was compared above: the inner function of pthread_kill is in no other table."""
    assert compared(report("die_abort", Path("/")), report("die_abort", bare)) > 0


def test_a_program_s_own_debug_file_adds_names_and_changes_none(bare: Path) -> None:
    root = corpus.core(PROGRAMS[OWN]).sysroot
    assert os.path.isdir(root / "usr/lib/debug")
    with_debug, without = report(OWN, root), report(OWN, bare)
    assert compared(with_debug, without) > 0
    assert fingerprints(with_debug) == fingerprints(without)
