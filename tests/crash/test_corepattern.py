# SPDX-License-Identifier: Apache-2.0
"""The machine's core_pattern is put back in every case. A file stands in for it: nothing here changes the real one."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import corepattern
import pytest

WAIT_S = 30
HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import corepattern
with corepattern.plain(Path(sys.argv[2]), Path(sys.argv[3])):
    print(Path(sys.argv[2]).read_text(), flush=True)
    sys.stdin.read()
"""
FOREIGN = "|/usr/lib/systemd/systemd-coredump %P %u"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    pattern = tmp_path / "core_pattern"
    pattern.write_text(FOREIGN + "\n")
    return pattern, tmp_path / "lock"


def holder(places: tuple[Path, Path]) -> subprocess.Popen[str]:
    """Another process within `plain`, until its standard input ends."""
    here = str(Path(corepattern.__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, here, *map(str, places)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == "core\n"
    return process


def wait_for_lock(lock: Path) -> None:
    """Until nobody has it: the watcher has gone then."""
    held = corepattern.open_lock(lock)
    signal.alarm(WAIT_S)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        signal.alarm(0)
        os.close(held)


@pytest.mark.parametrize("text", ["core", "core.%p", "core.%e.%p"])
def test_a_plain_pattern_is_left_alone(places: tuple[Path, Path], text: str) -> None:
    places[0].write_text(text + "\n")
    written = places[0].stat().st_mtime_ns
    with corepattern.plain(*places):
        assert places[0].read_text() == text + "\n"
    assert places[0].stat().st_mtime_ns == written


@pytest.mark.parametrize("text", [FOREIGN, "/var/crash/core.%p", "below/core", ""])
def test_any_other_is_changed_and_put_back(places: tuple[Path, Path], text: str) -> None:
    places[0].write_text(text + "\n")
    with corepattern.plain(*places):
        assert places[0].read_text() == "core"
    assert places[0].read_text() == text


def test_put_back_when_the_run_fails(places: tuple[Path, Path]) -> None:
    with pytest.raises(ZeroDivisionError), corepattern.plain(*places):
        raise ZeroDivisionError
    assert places[0].read_text() == FOREIGN


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_put_back_when_the_run_is_killed(places: tuple[Path, Path], number: signal.Signals) -> None:
    process = holder(places)
    process.send_signal(number)
    process.communicate(timeout=WAIT_S)
    wait_for_lock(places[1])
    assert places[0].read_text() == FOREIGN


def test_one_at_a_time(places: tuple[Path, Path]) -> None:
    """Also one who finds a plain pattern waits, when somebody else has put it there for a time."""
    process = holder(places)
    lock = corepattern.open_lock(places[1])
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(lock)
    process.communicate("", timeout=WAIT_S)
    assert places[0].read_text() == FOREIGN


def test_two_on_a_machine_with_a_plain_pattern_don_t_wait_for_each_other(places: tuple[Path, Path]) -> None:
    places[0].write_text("core")
    process = holder(places)
    with corepattern.plain(*places):
        pass
    process.communicate("", timeout=WAIT_S)
