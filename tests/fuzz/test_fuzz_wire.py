# SPDX-License-Identifier: Apache-2.0
"""Fuzz the wire codec for a while, from the corpus in the tree on: a minute in CI, seconds elsewhere. `make fuzz` is
the long run. What is fuzzed, and how much of it must be reached, is in run.sh and the C beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fixedaddresses import fixed_addresses

HERE = Path(__file__).parent
SECONDS = 60 if os.environ.get("CI") else 5


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed: run `make test`, which installs it")
def test_wire_codec_survives_and_is_covered() -> None:
    done = subprocess.run(
        [HERE / "run.sh", str(SECONDS)], capture_output=True, text=True, errors="replace", timeout=SECONDS + 300,
        preexec_fn=fixed_addresses,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
