# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs to its end, prints every row with what it depends on, leaves nothing. Not how fast anything is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import PREFIX

ROOT = Path(__file__).parents[2]
IN_MEMORY = Path("/dev/shm")

ROWS = {"accepted", "streamed", "answered", "started", "idle", "probed", "listening", "delivered", "full", "crashed",
        "collectors"}  # fmt: skip
ROWS |= {"handled"} if os.geteuid() == 0 else set()
CONDITIONS = ("spool on ", "limits off", "cap ", "payload ", "client", "Python 3.")


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench/run.py"), "--prefix", str(PREFIX), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def disk() -> Iterator[Path]:
    """pytest's own directories may be in memory, and their names are long for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="tmbt-", dir="/var/tmp"))
    directory.chmod(0o711)  # one row's telemd is another user's
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_a_smoke_run_prints_every_row(disk: Path, tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    done = bench("--quick", "--dir", disk, "--json", report)
    assert done.returncode == 0, done.stdout + done.stderr

    document = json.loads(report.read_text())
    assert document["failed"] == {}
    assert {figure["row"] for figure in document["figures"]} == ROWS
    lines, table, _ = done.stdout.split("\n\n")
    for figure in document["figures"]:
        assert figure["value"] >= 0
        assert (figure["verdict"] == "-") == (figure["aim"] is None)
        assert f"| {figure['work']} " in table
        [line] = [line for line in lines.splitlines() if line.startswith(f"   {figure['work']}: ")]
        assert figure["conditions"] in line
        if not figure["work"].startswith("bare ") and figure["row"] not in ("crashed", "collectors"):
            for condition in CONDITIONS:
                assert condition in figure["conditions"], figure["work"]
    assert sum(figure["verdict"] != "-" for figure in document["figures"]) >= 14
    assert list(disk.iterdir()) == []


def test_a_file_system_in_memory_is_refused() -> None:
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", IN_MEMORY], capture_output=True, text=True, timeout=20
    ).stdout.strip()
    if kind != "tmpfs":
        pytest.skip(f"{IN_MEMORY} is on {kind or 'nothing'} here, not on tmpfs")
    done = bench("--quick", "--dir", IN_MEMORY)
    assert done.returncode == 1
    assert "tmpfs, where nothing is durable" in done.stderr
    assert not list(IN_MEMORY.glob("tmb-*"))


def test_an_installation_that_is_not_there_is_named(tmp_path: Path, disk: Path) -> None:
    done = bench("--prefix", tmp_path, "--dir", disk)
    assert done.returncode == 1
    assert f"{tmp_path}/bin/telemd" in done.stderr
    assert "make build" in done.stderr
