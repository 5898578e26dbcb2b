# SPDX-License-Identifier: Apache-2.0
"""Each tests/c/test_*.c: compiled with AddressSanitizer and UBSan together with all of our C, and run. Every program is
one test; it prints what failed and exits with 1. Nothing here knows what a program checks.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from fixedaddresses import fixed_addresses

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build-asan"
INCLUDES = [f"-I{ROOT / folder}" for folder in ("libtelemetry/include", "libtelemetry/src", "telemd/src", "tests/c")]
FLAGS = [
    "-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", "-Wall", "-Wextra", "-pthread",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer",
]  # fmt: skip
TIMEOUT_S = 120


def compile_c(*arguments: str | Path) -> None:
    done = subprocess.run(["cc", *FLAGS, *INCLUDES, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def archive() -> Path:
    """All C of libtelemetry and telemd but what cffi adds, instrumented; a program takes from it what it uses."""
    BUILD.mkdir(exist_ok=True)
    result = BUILD / "libours.a"
    result.unlink(missing_ok=True)
    objects = []
    for source in sorted([*ROOT.glob("libtelemetry/src/*.c"), *ROOT.glob("telemd/src/*.c")]):
        target = BUILD / f"{source.parts[-3]}-{source.stem}.o"
        compile_c("-c", source, "-o", target)
        objects.append(target)
    subprocess.run(["ar", "rcs", result, *objects], check=True)
    return result


@pytest.mark.parametrize("source", sorted(HERE.glob("test_*.c")), ids=lambda source: source.stem)
def test_program(source: Path, archive: Path, tmp_path: Path) -> None:
    program = BUILD / source.stem
    compile_c(source, archive, "-o", program)
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [program], cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
        preexec_fn=fixed_addresses,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
