# SPDX-License-Identifier: Apache-2.0
"""Fuzz telemd's intake for a while: half a minute in CI, seconds elsewhere, always from nothing but what earlier runs
found here. What must hold is in fuzz_intake.c.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fixedaddresses import fixed_addresses

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build-fuzz"
SECONDS = 30 if os.environ.get("CI") else 5
FLAGS = [
    "-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", "-Wall", "-Wextra",
    "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all",
]  # fmt: skip
INCLUDES = [f"-I{ROOT / folder}" for folder in ("libtelemetry/include", "libtelemetry/src", "telemd/src", "tests/c")]


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed: run `make test`, which installs it")
def test_intake_survives_every_sender(tmp_path: Path) -> None:
    found = BUILD / "found-intake"
    found.mkdir(parents=True, exist_ok=True)
    program = BUILD / "fuzz_intake"
    sources = [HERE / "fuzz_intake.c", *ROOT.glob("telemd/src/*.c"), *ROOT.glob("libtelemetry/src/wire*.c")]
    built = subprocess.run(["clang", *FLAGS, *INCLUDES, *sources, "-o", program], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    limits = [f"-max_total_time={SECONDS}", "-max_len=2000", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0"]
    # By a shell that forks: libFuzzer's measure of memory counts what its process was before exec, too.
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", program, *limits, f"-artifact_prefix={tmp_path}/", found],
        capture_output=True, text=True, errors="replace", timeout=SECONDS + 300, preexec_fn=fixed_addresses,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
