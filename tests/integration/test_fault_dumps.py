# SPDX-License-Identifier: Apache-2.0
"""Dumps of one part, and hostile words in a question about the journal.

The C original deleted a dump of a single part from pstore and then aborted, without a record; and it handed the
arguments of its journal query to a shell.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from running import BIN, TIMEOUT_S, Root, running, state_root

if TYPE_CHECKING:
    from pathlib import Path

SINGLE = {
    "dmesg-efi-167234567801001": b"Panic#1 Part1\n<0>[   12.000001] Kernel panic - not syncing: one\n",
    "dmesg-ramoops-0": b"<0>[   13.000001] Kernel panic - not syncing: without a first line",
    "dmesg-erst-7130000000000000001": b"Oops#2 Part1\n<4>[   14.000001] WARNING: CPU: 1 PID: 2 at a.c:3 f+0x1/0x2\n",
}


def run(root: Root, *command: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [BIN / command[0], "-f", root.config_file, *command[1:]], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("name", SINGLE)
def test_a_dump_of_one_part_is_removed_only_when_telemd_has_it(tmp_path: Path, name: str) -> None:
    dump = tmp_path / name
    dump.write_bytes(SINGLE[name])
    with state_root() as root:
        assert run(root, "pstoreprobe", "-d", tmp_path, "-b", "/no/such/table").returncode == 1
        assert dump.exists()
        with running(root) as telemd:
            assert run(root, "pstoreprobe", "-d", tmp_path, "-b", "/no/such/table").returncode == 0
            assert not dump.exists()
            assert telemd.account()["received"] == 1


@pytest.mark.parametrize("option", ["-r", "-e", "-c", "-b"])
@pytest.mark.parametrize("words", ["x; touch {0}", "$(touch {0})", "`touch {0}`", "' | touch {0} #", "a\ntouch {0}\n"])
def test_a_question_about_the_journal_is_nobodys_command(tmp_path: Path, option: str, words: str) -> None:
    touched = tmp_path / "touched"
    with state_root() as root:
        journal = root.path / "var/log/telemetry/journal"
        journal.parent.mkdir(parents=True)
        journal.write_text("")
        done = subprocess.run(
            [BIN / "telemctl", "-f", root.config_file, "journal", option, words.format(touched)],
            capture_output=True, text=True, timeout=TIMEOUT_S, cwd=tmp_path,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []
