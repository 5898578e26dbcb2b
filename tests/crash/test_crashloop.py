# SPDX-License-Identifier: Apache-2.0
"""A crash loop is counted and not sent: the limits, what outlives a restart, and what must never stop a report."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from telemetry_probes.crash import crashloop
from telemetry_probes.crash.crashloop import EXECUTABLE, FINGERPRINT, USER

DAEMON = "/usr/sbin/daemon"
FAULT = "f" * 32
NOW_S = 1_800_000_000.0
PROBES = str(Path(crashloop.__file__).parents[2])
ASKING = """
import sys
sys.path.insert(0, sys.argv[1])
from telemetry_probes.crash import crashloop
crashloop.LOCK_WAIT_S = 60.0
sent = sum(crashloop.enter(sys.argv[2], sys.argv[3], 1_800_000_000.0).send for _ in range(int(sys.argv[4])))
print(sent)
"""
HOLDING = """
import sys
sys.path.insert(0, sys.argv[1])
from telemetry_probes.crash import crashloop
print(crashloop.turn(sys.argv[2], 0.0) is not None, flush=True)
sys.stdin.read()
"""


def crash(state: Path, now_s: float = NOW_S, fault: str = FAULT, uid: int = 0, program: str = DAEMON) -> bool:
    """Whether it is reported, as a handler asks."""
    if not crashloop.enter(str(state), program, now_s, uid).send:
        return False
    return crashloop.admit(str(state), program, fault, now_s, uid).send


def counts(state: Path) -> dict[tuple[int, int, bytes], tuple[int, int]]:
    """What was seen of each, and what of it wasn't reported."""
    return {(each.kind, each.uid, each.name): (each.seen, each.more) for each in crashloop.counted(str(state))}


def test_a_loop_of_one_fault_is_reported_a_few_times_and_counted(tmp_path: Path) -> None:
    sent = [crash(tmp_path, NOW_S + at / 20) for at in range(200)]
    faults, programs = crashloop.BURSTS[FINGERPRINT][0], crashloop.BURSTS[EXECUTABLE][0]
    assert (sum(sent), sent[:faults]) == (faults, [True] * faults)
    found = counts(tmp_path)
    assert found[EXECUTABLE, 0, DAEMON.encode()] == (200, 200 - programs - 60 // crashloop.BURSTS[EXECUTABLE][1])
    assert found[FINGERPRINT, 0, FAULT.encode()] == (programs, programs - faults)


def test_the_next_report_tells_of_those_before_and_counts_anew(tmp_path: Path) -> None:
    sent = [crash(tmp_path, NOW_S + at / 1000) for at in range(5000)]
    later_s = NOW_S + 2 * 3600
    entered = crashloop.enter(str(tmp_path), DAEMON, later_s)
    admitted = crashloop.admit(str(tmp_path), DAEMON, FAULT, later_s)
    assert (entered.send, admitted.send, admitted.more) == (True, True, 5000 - sum(sent))
    assert (entered.seen, entered.last_s) == (5000, int(NOW_S + 4.999))
    again = crashloop.admit(str(tmp_path), DAEMON, "e" * 32, later_s)
    assert (again.send, again.more) == (True, 0)


def test_a_program_with_ever_new_faults_is_limited_too(tmp_path: Path) -> None:
    sent = [crash(tmp_path, fault=f"{at:032x}") for at in range(100)]
    assert sum(sent) == crashloop.BURSTS[EXECUTABLE][0]


def test_a_user_with_ever_new_programs_is_limited_and_takes_nothing_from_others(tmp_path: Path) -> None:
    sent = [crash(tmp_path, uid=1000, program=f"/home/mallory/{at}", fault=f"{at:032x}") for at in range(2000)]
    assert sum(sent) == crashloop.BURSTS[USER][0]
    assert not crash(tmp_path, uid=1000)
    assert crash(tmp_path)


def test_one_user_cannot_use_up_the_limit_of_another_users_program(tmp_path: Path) -> None:
    assert not all(crash(tmp_path, uid=1000) for _ in range(50))
    assert crash(tmp_path, uid=0)


def test_the_burst_comes_back_with_time(tmp_path: Path) -> None:
    burst, every_s = crashloop.BURSTS[FINGERPRINT]
    assert [crash(tmp_path, NOW_S) for _ in range(burst + 1)] == [True] * burst + [False]
    assert not crash(tmp_path, NOW_S + every_s - 1)
    assert crash(tmp_path, NOW_S + every_s + 1)
    assert not crash(tmp_path, NOW_S + every_s + 2)


def test_a_clock_that_was_set_back_shuts_nothing(tmp_path: Path) -> None:
    for at in range(300):
        crash(tmp_path, NOW_S + 10 * 365 * 86_400 + at * 1000, program=f"/usr/bin/{at}", fault=f"{at:032x}")
    for _ in range(20):
        crash(tmp_path, NOW_S + 11 * 365 * 86_400)
    burst = crashloop.BURSTS[FINGERPRINT][0]
    assert [crash(tmp_path, NOW_S) for _ in range(burst + 5)] == [True] * burst + [False] * 5


def test_it_is_one_file_of_a_fixed_size_that_is_root_s_or_telemetry_s_alone(tmp_path: Path) -> None:
    for at in range(1000):
        crash(tmp_path, NOW_S + at, program="/usr" + "/x" * 2500 + f"/{at}", fault=f"{at:032x}")
    file = tmp_path / crashloop.NAME
    assert (file.stat().st_size, file.stat().st_mode & 0o777) == (crashloop.FILE_BYTES, 0o600)
    assert len(crashloop.counted(str(tmp_path))) == crashloop.SLOTS
    assert os.listdir(tmp_path) == [crashloop.NAME]


def test_what_is_full_forgets_what_crashed_longest_ago(tmp_path: Path) -> None:
    for at in range(crashloop.SLOTS + 50):
        crashloop.enter(str(tmp_path), f"/usr/bin/{at}", NOW_S + 100 * at)
    names = {each.name for each in crashloop.counted(str(tmp_path))}
    assert b"/usr/bin/0" not in names
    assert f"/usr/bin/{crashloop.SLOTS + 49}".encode() in names


@pytest.mark.parametrize(
    "content",
    [b"", b"TLMLOOP1", b"\xff" * crashloop.FILE_BYTES, b"TLMLOOP1" + b"\xff" * 9999, b"x" * 100, os.urandom(70_000)],
    ids=["empty", "magic alone", "ones", "magic and ones", "short", "random"],
)
def test_a_damaged_file_counts_as_nothing_and_is_mended(tmp_path: Path, content: bytes) -> None:
    (tmp_path / crashloop.NAME).write_bytes(content)
    sent = [crash(tmp_path) for _ in range(10)]
    assert sum(sent) == crashloop.BURSTS[FINGERPRINT][0]
    assert (FINGERPRINT, 0, FAULT.encode()) in counts(tmp_path)


@pytest.mark.parametrize("kind", ["directory", "link", "fifo", "missing"])
def test_what_is_no_file_of_ours_limits_nothing_and_is_left_alone(tmp_path: Path, kind: str) -> None:
    state = tmp_path / "state"
    if kind != "missing":
        state.mkdir()
    place = state / crashloop.NAME
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    if kind == "directory":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(place)
    assert all(crash(state) for _ in range(30))
    assert victim.read_bytes() == b"precious"
    assert crashloop.counted(str(state)) == []


def test_whoever_holds_the_lock_for_ever_stops_no_report(tmp_path: Path) -> None:
    crash(tmp_path)
    held = os.open(tmp_path / crashloop.NAME, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert crashloop.enter(str(tmp_path), DAEMON, NOW_S).send
    finally:
        os.close(held)


def test_many_at_once_have_one_limit_together(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ASKING, PROBES, str(tmp_path), DAEMON, "25"]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    sent = [int(each.communicate(timeout=60)[0]) for each in asking]
    assert sum(sent) == crashloop.BURSTS[EXECUTABLE][0]
    assert counts(tmp_path)[EXECUTABLE, 0, DAEMON.encode()] == (200, 200 - sum(sent))


def test_so_many_handlers_work_at_once_and_one_that_is_killed_makes_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, PROBES, str(tmp_path)]
    holders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(crashloop.HANDLERS_MAX)
    ]
    try:
        assert [each.stdout and each.stdout.readline() for each in holders] == ["True\n"] * crashloop.HANDLERS_MAX
        assert crashloop.turn(str(tmp_path), 0.05) is None
        holders[0].kill()
        holders[0].wait()
        place = crashloop.turn(str(tmp_path), 10.0)
        assert place is not None and place > 0
        os.close(place)
    finally:
        for each in holders:
            each.kill()
            each.communicate()


def test_a_child_that_inherited_the_place_keeps_it(tmp_path: Path) -> None:
    places = [crashloop.turn(str(tmp_path), 0.0) for _ in range(crashloop.HANDLERS_MAX)]
    kept = places.pop()
    assert kept is not None
    child = subprocess.Popen(["sleep", "1000"], pass_fds=(kept,))
    try:
        os.close(kept)
        assert crashloop.turn(str(tmp_path), 0.05) is None
    finally:
        child.kill()
        child.wait()
        for place in places:
            assert place is not None
            os.close(place)


def test_places_that_cannot_be_told_stop_nobody(tmp_path: Path) -> None:
    assert crashloop.turn(str(tmp_path / "missing")) == -1
