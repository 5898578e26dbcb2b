# SPDX-License-Identifier: Apache-2.0
"""crashgate: what crashes too often is counted where crashprobe counts, and ends there; everything else reaches
crashprobe with its arguments and standard input untouched. A shell script stands in for crashprobe, and a sleeping
process for the dead one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fixedaddresses import fixed_addresses
from installed import compile_gate

from telemetry_probes.crash import crashloop, wanted
from telemetry_probes.crash.crashloop import EXECUTABLE

UID = 1000


class Gate(NamedTuple):
    program: Path
    config: Path
    state: Path
    reached: Path

    def call(
        self, pid: int, uid: int = UID, letter: str = "-k", words: int = 10, comm: str = "a name\n"
    ) -> bool:  # fmt: skip
        """Whether crashprobe was reached, as the kernel's words and standard input say that it should be."""
        self.reached.unlink(missing_ok=True)
        said = [str(pid), str(pid), str(pid), "11", str(uid), "1", "0", "", comm, "!usr!bin!x"][:words]
        command = [str(self.program), "-f", str(self.config), letter, *said]
        done = subprocess.run(
            command, input=b"the core", capture_output=True, timeout=60, preexec_fn=fixed_addresses
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        if not self.reached.exists():
            return False
        expected = [b"-f", os.fsencode(self.config), letter.encode(), *(each.encode() for each in said), b"the core"]
        assert self.reached.read_bytes().split(b"\0") == expected
        return True

    def program_of(self, pid: int) -> str:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")

    def wear_out(self, pid: int, uid: int = UID) -> None:
        """Until crashprobe lets no more in."""
        while crashloop.enter(str(self.state), self.program_of(pid), time.time(), uid).send:
            pass

    def counts(self) -> dict[bytes, tuple[int, int]]:
        found = crashloop.counted(str(self.state))
        return {each.name: (each.seen, each.more) for each in found if each.kind == EXECUTABLE}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled for a crashprobe of the tests' own beside it."""
    folder = tmp_path_factory.mktemp("gate")
    compile_gate(folder / "crashgate", folder / "crashprobe", "-g", "-fsanitize=address,undefined")
    (folder / "crashprobe").write_text(
        f'#!/bin/sh\ncd {folder}\n{{ printf "%s\\0" "$@"; cat; }} >reached.new && mv reached.new reached\n'
    )
    (folder / "crashprobe").chmod(0o755)
    return folder


@pytest.fixture
def gate(built: Path, tmp_path: Path) -> Gate:
    state = tmp_path / "var/lib/telemetry"
    state.mkdir(parents=True)
    config = tmp_path / "conf"
    config.write_text(f'[settings]\nstate_root = "{tmp_path}/"\n')
    return Gate(built / "crashgate", config, state, built / "reached")


@pytest.fixture
def dead() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


def test_what_was_never_seen_reaches_crashprobe(gate: Gate, dead: int) -> None:
    assert gate.call(dead)
    assert list(gate.state.iterdir()) == []


def test_what_crashes_now_and_then_reaches_crashprobe(gate: Gate, dead: int) -> None:
    crashloop.enter(str(gate.state), gate.program_of(dead), time.time(), UID)
    before = (gate.state / crashloop.NAME).read_bytes()
    assert gate.call(dead)
    assert (gate.state / crashloop.NAME).read_bytes() == before


def test_what_crashes_too_often_is_counted_and_ends(gate: Gate, dead: int) -> None:
    gate.wear_out(dead)
    name = os.fsencode(gate.program_of(dead))
    seen, more = gate.counts()[name]
    assert [gate.call(dead) for _ in range(5)] == [False] * 5
    assert gate.counts() == {name: (seen + 5, more + 5)}


def test_the_next_report_tells_of_what_the_gate_counted(gate: Gate, dead: int) -> None:
    gate.wear_out(dead)
    for _ in range(3):
        gate.call(dead)
    later_s = time.time() + crashloop.BURSTS[EXECUTABLE][1] + 1
    assert crashloop.enter(str(gate.state), gate.program_of(dead), later_s, UID).send
    assert crashloop.admit(str(gate.state), gate.program_of(dead), "f" * 32, later_s, UID).more == 4


def test_another_user_and_another_program_are_not_meant(gate: Gate, dead: int) -> None:
    gate.wear_out(dead)
    assert gate.call(dead, uid=UID + 1)
    assert gate.call(os.getpid())


def test_what_root_had_crash_as_a_test_reaches_crashprobe(gate: Gate, dead: int) -> None:
    for uid in (0, UID):
        gate.wear_out(dead, uid)
    assert gate.call(dead, 0, comm=wanted.TEST_NAME)
    assert not gate.call(dead, 0)
    assert not gate.call(dead, UID, comm=wanted.TEST_NAME)


def test_another_handler_has_its_turn_in_any_case(gate: Gate, dead: int) -> None:
    gate.wear_out(dead)
    assert gate.call(dead, letter="-K")


def test_words_that_are_missing_or_no_numbers_are_crashprobe_s_affair(gate: Gate, dead: int) -> None:
    gate.wear_out(dead)
    assert gate.call(dead, words=9)
    assert gate.call(dead, uid=-1)
    assert gate.call(1 << 40)
    assert gate.call(999_999_999)


@pytest.mark.parametrize("name", ["x" * 250, "a name (deleted) in between", "\udcff\udcfe", "blank \n %s"])
def test_names_are_those_of_crashprobe(gate: Gate, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([program, "1000"])
    try:
        gate.wear_out(process.pid)
        assert not gate.call(process.pid)
        program.unlink()
        assert os.readlink(f"/proc/{process.pid}/exe").endswith(" (deleted)")
        assert not gate.call(process.pid)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("damage", ["empty", "short", "magic", "link", "fifo", "directory", "locked", "future", "past"])
def test_where_anything_is_doubtful_crashprobe_decides(gate: Gate, dead: int, damage: str) -> None:
    gate.wear_out(dead)
    file = gate.state / crashloop.NAME
    content = file.read_bytes()
    held = -1
    if damage == "locked":
        held = os.open(file, os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
    elif damage in ("future", "past"):
        file.unlink()
        shift_s = 86_400 if damage == "future" else -86_400
        for _ in range(crashloop.BURSTS[EXECUTABLE][0] + 1):
            crashloop.enter(str(gate.state), gate.program_of(dead), time.time() + shift_s, UID)
    else:
        file.unlink()
        if damage == "empty":
            file.touch()
        elif damage == "short":
            file.write_bytes(content[:-1])
        elif damage == "magic":
            file.write_bytes(b"X" + content[1:])
        elif damage == "link":
            (gate.state / "other").write_bytes(content)
            file.symlink_to(gate.state / "other")
        elif damage == "fifo":
            os.mkfifo(file)
        else:
            file.mkdir()
    assert gate.call(dead)
    if held >= 0:
        os.close(held)


def test_random_tables_do_no_harm(gate: Gate, dead: int) -> None:
    file = gate.state / crashloop.NAME
    for _ in range(20):
        file.write_bytes(crashloop.MAGIC + os.urandom(crashloop.FILE_BYTES - len(crashloop.MAGIC)))
        assert gate.call(dead)


def test_without_standard_output_it_works_too(gate: Gate, dead: int) -> None:
    """The kernel gives standard input alone."""
    gate.wear_out(dead)
    (before,) = gate.counts().values()
    words = " ".join(f"'{word}'" for word in [str(dead)] * 3 + ["11", str(UID), "1", "0", "", "x", "!x"])
    script = f"exec {gate.program} -f {gate.config} -k {words} >&- 2>&-"
    done = subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, timeout=60, preexec_fn=fixed_addresses)
    assert done.returncode == 0
    assert gate.counts() == {os.fsencode(gate.program_of(dead)): (before[0] + 1, before[1] + 1)}
