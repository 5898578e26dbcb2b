# SPDX-License-Identifier: Apache-2.0
"""The machine's core_pattern is put back in every case. Files stand in for it: nothing here changes the real one."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import corepattern

WAIT_S = 30
ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bench import corepattern
lock, *files = map(Path, sys.argv[3:])
with getattr(corepattern, sys.argv[2])(files=files, lock=lock):
    print(files[0].read_text().strip(), flush=True)
    sys.stdin.read()
    if sys.argv[2] == "changing":
        for each in files:
            each.write_text("changed")
"""
FOREIGN = "|/usr/lib/systemd/systemd-coredump %P %u\n"
LIMIT, SUID_DUMPABLE = "16\n", "2\n"


class Machine:
    """Its files, and the lock."""

    def __init__(self, folder: Path) -> None:
        self.files = [folder / name for name in ("core_pattern", "core_pipe_limit", "suid_dumpable")]
        self.pattern = self.files[0]
        self.lock = folder / "lock"
        self.says(FOREIGN)

    def says(self, pattern: str) -> None:
        for file, text in zip(self.files, (pattern, LIMIT, SUID_DUMPABLE), strict=True):
            file.write_text(text)

    def said(self) -> list[str]:
        return [file.read_text() for file in self.files]

    def other(self, what: str = "plain", finds: str = "core") -> subprocess.Popen[str]:
        """Another process within `plain` or `changing`, until its standard input ends."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, ROOT, what, self.lock, *self.files],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert process.stdout
        readable, _, _ = select.select([process.stdout], [], [], WAIT_S)
        if not readable:
            process.kill()
        assert (process.stdout.readline() if readable else "it waits") == finds + "\n"
        return process

    def wait_for_lock(self) -> None:
        """Until nobody has it: the watcher has gone then."""
        with corepattern.changing(WAIT_S, [], self.lock):
            pass


def child_of(process: subprocess.Popen[str]) -> int:
    """Of one that has a single child."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def ends(process: subprocess.Popen[str]) -> None:
    """It lets go, and had nothing to complain of."""
    process.communicate("", timeout=WAIT_S)
    assert process.returncode == 0


@pytest.mark.parametrize("text", ["core\n", "core.%p\n", "core.%e.%p\n"])
def test_a_plain_pattern_is_left_alone(machine: Machine, text: str) -> None:
    machine.says(text)
    written = machine.pattern.stat().st_mtime_ns
    with corepattern.plain(machine.files, machine.lock):
        assert machine.said() == [text, LIMIT, SUID_DUMPABLE]
    assert machine.pattern.stat().st_mtime_ns == written


@pytest.mark.parametrize("text", [FOREIGN, "/var/crash/core.%p\n", "below/core\n", "\n"])
def test_any_other_is_changed_and_put_back(machine: Machine, text: str) -> None:
    machine.says(text)
    with corepattern.plain(machine.files, machine.lock):
        assert machine.said() == ["core", LIMIT, SUID_DUMPABLE]
    assert machine.said() == [text, LIMIT, SUID_DUMPABLE]


@pytest.mark.parametrize("text", [FOREIGN, "core\n"])
def test_who_changes_finds_them_as_they_are_and_they_are_put_back(machine: Machine, text: str) -> None:
    machine.says(text)
    with corepattern.changing(files=machine.files, lock=machine.lock):
        assert machine.said() == [text, LIMIT, SUID_DUMPABLE]
        corepattern.make_plain(machine.pattern)
        assert machine.pattern.read_text().strip() == "core"
        for each in machine.files:
            each.write_text("another")
    assert machine.said() == [text, LIMIT, SUID_DUMPABLE]


def test_what_is_as_it_was_is_not_written(machine: Machine) -> None:
    """Not everybody who may change the pattern may write all of them, as in a container."""
    written = machine.files[2].stat().st_mtime_ns
    with corepattern.plain(machine.files, machine.lock):
        pass
    assert machine.files[2].stat().st_mtime_ns == written


def test_put_back_when_the_run_fails(machine: Machine) -> None:
    with pytest.raises(ZeroDivisionError), corepattern.plain(machine.files, machine.lock):
        raise ZeroDivisionError
    assert machine.said() == [FOREIGN, LIMIT, SUID_DUMPABLE]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_put_back_when_the_run_is_killed(machine: Machine, number: signal.Signals) -> None:
    """With all that it has started, as by Ctrl-C or a CI that has had enough."""
    process = machine.other()
    os.killpg(process.pid, number)
    process.communicate(timeout=WAIT_S)
    machine.wait_for_lock()
    assert machine.said() == [FOREIGN, LIMIT, SUID_DUMPABLE]


def test_nobody_gets_the_lock_before_all_is_put_back(machine: Machine) -> None:
    process = machine.other()
    watcher = child_of(process)
    os.kill(watcher, signal.SIGSTOP)
    try:
        process.kill()
        process.communicate(timeout=WAIT_S)
        assert machine.pattern.read_text() == "core"
        with pytest.raises(BlockingIOError), corepattern.changing(0, machine.files, machine.lock):
            raise AssertionError("not reached")
    finally:
        os.kill(watcher, signal.SIGCONT)
    machine.wait_for_lock()
    assert machine.said() == [FOREIGN, LIMIT, SUID_DUMPABLE]


def test_who_puts_back_can_t_be_told_to_leave(machine: Machine) -> None:
    process = machine.other()
    watcher = child_of(process)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(watcher, number)
    ends(process)
    assert machine.said() == [FOREIGN, LIMIT, SUID_DUMPABLE]


def test_what_can_t_be_put_back_is_said(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ChildProcessError, match="core_pipe_limit"),
        corepattern.changing(files=machine.files, lock=machine.lock),
    ):
        machine.files[2].unlink()
        machine.files[2].mkdir()
    assert "IsADirectoryError" in capfd.readouterr().err


def test_nothing_is_changed_without_who_puts_it_back(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    machine.files[1].unlink()
    with pytest.raises(ChildProcessError, match="left alone"), corepattern.plain(machine.files, machine.lock):
        raise AssertionError("not reached")
    assert machine.pattern.read_text() == FOREIGN
    assert "FileNotFoundError" in capfd.readouterr().err


def test_one_at_a_time(machine: Machine) -> None:
    """Also one who finds a plain pattern waits, when somebody else has put it there for a time."""
    process = machine.other()
    lock = os.open(machine.lock, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(lock)
    ends(process)
    assert machine.said() == [FOREIGN, LIMIT, SUID_DUMPABLE]


@pytest.mark.parametrize("what", ["plain", "changing"])
def test_who_changes_waits_for_all_others_and_not_for_ever(machine: Machine, what: str) -> None:
    machine.says("core\n")
    process = machine.other(what)
    with pytest.raises(BlockingIOError), corepattern.changing(0, machine.files, machine.lock):
        raise AssertionError("not reached")
    ends(process)
    with corepattern.changing(WAIT_S, machine.files, machine.lock):
        assert machine.said() == ["core\n", LIMIT, SUID_DUMPABLE]


def test_two_on_a_machine_with_a_plain_pattern_don_t_wait_for_each_other(machine: Machine) -> None:
    machine.says("core\n")
    one, other = machine.other(), machine.other()
    assert one.poll() is None
    assert machine.said() == ["core\n", LIMIT, SUID_DUMPABLE]
    ends(one)
    ends(other)
    assert machine.said() == ["core\n", LIMIT, SUID_DUMPABLE]
