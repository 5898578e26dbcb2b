# SPDX-License-Identifier: Apache-2.0
"""Fault 10 of the original, with the real kernel: a report over 8 KB was lost in silence, a frame without a symbol cost
10 s, and a core of 1 GiB was 1 GiB in /tmp, also where nothing of it might be reported.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from kernelcalls import Handled, crash, handling, wait_until

DEEP = 150
SLEEP_OF_THE_ORIGINAL_S = 10
WRITTEN_BYTES_MAX = 4 << 20
LONG = "a_function_whose_name_is_as_long_as_those_of_templates_are_in_real_programs_of_cplusplus"
SOURCE = f"""
#include <stdlib.h>
#include <string.h>
static volatile int depth;
__attribute__((noinline)) static int {LONG}(int left)
{{
        if (left == 0)
                *(volatile int *)16 = 1;
        return {LONG}(left - 1) + depth;
}}
int main(int argc, char **argv)
{{
        size_t size = (size_t)atoi(argv[1]) << 20;
        char *memory = malloc(size + 1);
        memset(memory, argc, size + 1);
        return {LONG}(atoi(argv[2])) + memory[0];
}}
"""
COUNTING = """#!/bin/sh
{crashprobe} "$@"
code=$?
cat /proc/$$/io >{folder}/io.new && mv {folder}/io.new {folder}/io
exit $code
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fault10")
    (folder / "deep.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-O0", "-w", "-o", folder / "deep", folder / "deep.c"], check=True, timeout=60)
    subprocess.run(["strip", "-s", "-o", folder / "stripped", folder / "deep"], check=True, timeout=60)
    return folder / "deep"


def test_a_report_over_8_kb_arrives_whole(program: Path) -> None:
    with handling() as machine:
        machine.say("opt-in-no-privacy-filters")
        assert crash([program, "0", str(DEEP)]).returncode == -11
        report = machine.report()
        assert len(report.record.payload) > 2 * 8192
        assert report.functions[: DEEP + 2] == [LONG] * (DEEP + 1) + ["main"]


def test_frames_without_symbols_cost_no_10_seconds(program: Path) -> None:
    with handling() as machine:
        machine.say("opt-in-no-privacy-filters")
        begin_s = time.monotonic()
        assert crash([program.with_name("stripped"), "0", "3"]).returncode == -11
        report = machine.report()
        took_s = time.monotonic() - begin_s
        nameless = [frame for frame in report.json["stacks"][0]["frames"] if "function" not in frame]
        assert len(nameless) >= 4
        assert took_s < SLEEP_OF_THE_ORIGINAL_S * len(nameless) / 2


@pytest.mark.parametrize("lifted", [True, False])
def test_a_core_of_1_gib_is_not_written_anywhere(program: Path, lifted: bool) -> None:
    with handling() as machine:
        if lifted:
            machine.say("opt-in-no-privacy-filters")
        count_written(machine)
        assert crash([program, "1024", "3"]).returncode == -11
        report = machine.report()
        assert report.classification == f"org.clearlinux/crash/{'clr' if lifted else 'unknown'}"
        wait_until((machine.folder / "io").exists, "the handler ends")
        counts = dict(line.split(": ") for line in (machine.folder / "io").read_text().splitlines())
        assert 0 < int(counts["wchar"]) < WRITTEN_BYTES_MAX
        assert int(counts["write_bytes"]) < WRITTEN_BYTES_MAX


def count_written(machine: Handled) -> None:
    """What the handler and its children wrote is in a file when it has ended."""
    machine.launcher.rename(machine.folder / "crashprobe")
    machine.launcher.write_text(COUNTING.format(crashprobe=machine.folder / "crashprobe", folder=machine.folder))
    machine.launcher.chmod(0o755)
