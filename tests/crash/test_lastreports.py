# SPDX-License-Identifier: Apache-2.0
"""The last reports are kept for the owner: a few, whole or not at all; and read as what somebody with fewer rights may
have planted."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libtelemetry import Record
from libtelemetry.wire import decode
from telemd.ctl import crash_list, crash_show, crashes, lastcrashes
from telemd.ctl.crashes import Reported
from telemd.ctl.words import Paint
from telemetry_probes.crash import lastreports

PROBES = str(Path(lastreports.__file__).parents[2])
NEW = lastreports.NEW_NAME
KEEPING = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from telemetry_probes.crash import lastreports
lastreports.LOOKS_MAX = 30_000
if sys.argv[4:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
record = sys.stdin.buffer.read()
for _ in range(int(sys.argv[3])):
    lastreports.keep(record, sys.argv[2], lambda: True)
"""


def report(program: str = "/usr/bin/true", at_s: float = 1_800_000_000, text: str = "Process: true\n") -> bytes:
    """A record as crashprobe makes one."""
    head = {"version": 2, "process": program.rpartition("/")[2][:15], "executable": program}
    payload = f"{json.dumps(head)}\n{text}"
    with Record("org.clearlinux/crash/clr", payload, payload_version=2, created_us=int(at_s * 1_000_000)) as record:
        return record.encoded()


def keep(folder: Path, record: bytes, consent: bool = True) -> None:
    lastreports.keep(record, str(folder), lambda: consent)


def kept(folder: Path) -> list[str]:
    """Programs, the latest first."""
    return [each.program for each in lastcrashes.read(str(folder), crashes.CLASSES)]


def test_both_sides_have_the_same_names() -> None:
    assert (lastcrashes.NAMES, lastcrashes.NEW_NAME) == (lastreports.NAMES, NEW)


def test_a_report_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    record = report()
    keep(tmp_path, record)
    (file,) = tmp_path.iterdir()
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (record, 0o600)
    (found,) = lastcrashes.read(str(tmp_path), crashes.CLASSES)
    sent = decode(record)
    assert (found.record_id, found.payload) == (sent.record_id.hex(), sent.payload)
    assert (found.timestamp_s, found.program, found.process) == (1_800_000_000, "/usr/bin/true", "true")


def test_the_largest_report_is_kept(tmp_path: Path) -> None:
    with Record("org.clearlinux/crash/clr", b"x" * 65536) as record:
        keep(tmp_path, record.encoded())
    (found,) = lastcrashes.read(str(tmp_path), crashes.CLASSES)
    assert (len(found.payload), found.program) == (65536, "")


def test_of_the_oldest_the_place_is_given_away(tmp_path: Path) -> None:
    for at in range(11):
        keep(tmp_path, report(f"/usr/bin/{at}", 1_800_000_000 + at))
        newest = max(tmp_path.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (1_600_000_000 + at, 1_600_000_000 + at))
    assert kept(tmp_path) == [f"/usr/bin/{at}" for at in range(10, 2, -1)]
    assert sorted(os.listdir(tmp_path)) == sorted(lastreports.NAMES)


def test_of_two_in_one_second_the_later_is_the_latest(tmp_path: Path) -> None:
    for program, at_s in (("b", 1_800_000_000.25), ("a", 1_800_000_000.0), ("c", 1_800_000_000.5)):
        keep(tmp_path, report(f"/usr/bin/{program}", at_s))
    assert kept(tmp_path) == ["/usr/bin/c", "/usr/bin/b", "/usr/bin/a"]


def test_what_was_kept_before_the_clock_was_set_back_goes_first(tmp_path: Path) -> None:
    for at, name in enumerate(lastreports.NAMES):
        (tmp_path / name).write_bytes(report(f"/usr/bin/{at}", 1_800_000_000 + at))
        os.utime(tmp_path / name, (1_600_000_000, 1_600_000_000) if at != 5 else (9_000_000_000, 9_000_000_000))
    keep(tmp_path, report("/usr/bin/new"))
    assert (sorted(kept(tmp_path))[-1], "/usr/bin/5" in kept(tmp_path), len(kept(tmp_path))) == (
        "/usr/bin/new", False, 8,
    )  # fmt: skip


def test_what_a_killed_handler_left_unfinished_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / NEW).write_bytes(b"x" * 100_000)
    record = report()
    keep(tmp_path, record)
    assert os.listdir(tmp_path) == ["crash-last-0"]
    assert (tmp_path / "crash-last-0").read_bytes() == record


def test_many_at_once_leave_whole_reports_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEPING, PROBES, str(tmp_path), "40"]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(6)]
    for at, writer in enumerate(writers):
        writer.stdin.write(report(f"/usr/bin/{at}", text=str(at) * (1 + at * 9000)))  # type: ignore[union-attr]
    for writer in writers:
        writer.stdin.close()  # type: ignore[union-attr]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    assert sorted(os.listdir(tmp_path)) == sorted(lastreports.NAMES)
    found = [decode((tmp_path / name).read_bytes()).payload.partition(b"\n") for name in lastreports.NAMES]
    for head, _, text in found:
        at = int(json.loads(head)["process"])
        assert text == str(at).encode() * (1 + at * 9000)


def test_what_another_has_just_finished_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and having its lock."""
    old, new = report("/usr/bin/old"), report("/usr/bin/new")
    (tmp_path / NEW).write_bytes(old)
    lock = fcntl.flock

    def late(fd: int, how: int) -> None:
        if not (tmp_path / "crash-last-3").exists():
            (tmp_path / NEW).rename(tmp_path / "crash-last-3")
            (tmp_path / NEW).touch()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    keep(tmp_path, new)
    assert {(tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {old, new}
    assert sorted(os.listdir(tmp_path)) == ["crash-last-0", "crash-last-3"]


def test_whoever_writes_for_long_is_not_waited_for(tmp_path: Path) -> None:
    with (tmp_path / NEW).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        keep(tmp_path, report())
    assert os.listdir(tmp_path) == [NEW]


def test_a_full_disk_costs_nothing_that_was_there(tmp_path: Path) -> None:
    old = report("/usr/bin/old")
    for name in lastreports.NAMES:
        (tmp_path / name).write_bytes(old)
    command = [sys.executable, "-c", KEEPING, PROBES, str(tmp_path), "1", "4096"]
    done = subprocess.run(command, input=report(text="x" * 9000), capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(os.listdir(tmp_path)) == sorted(lastreports.NAMES)
    assert {(tmp_path / name).read_bytes() for name in lastreports.NAMES} == {old}


def test_nothing_is_kept_after_an_opt_out(tmp_path: Path) -> None:
    keep(tmp_path, report(), consent=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("planted", ["link", "dangling link", "fifo", "folder"])
def test_what_is_planted_under_the_unfinished_name_is_not_touched(tmp_path: Path, planted: str) -> None:
    folder, target = tmp_path / "state", tmp_path / "target"
    folder.mkdir()
    target.write_text("as it was")
    if planted == "link":
        (folder / NEW).symlink_to(target)
    elif planted == "dangling link":
        (folder / NEW).symlink_to(tmp_path / "nothing")
    elif planted == "fifo":
        os.mkfifo(folder / NEW)
    else:
        (folder / NEW).mkdir()
    keep(folder, report())
    assert (target.read_text(), os.listdir(folder)) == ("as it was", [NEW])
    assert sorted(os.listdir(tmp_path)) == ["state", "target"]


@pytest.mark.parametrize("kind", ["missing", "file", "none", "somebody else's"])
def test_a_folder_that_is_no_use(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "state"
    if kind == "file":
        folder.touch()
    elif kind == "somebody else's":
        if os.geteuid() != 0:
            pytest.skip("needs root, to make another user's folder: run it as root, or in CI")
        folder.mkdir()
        os.chown(folder, 61_734, 61_734)
    lastreports.keep(report(), "" if kind == "none" else str(folder), lambda: True)
    assert not folder.is_dir() or os.listdir(folder) == []


# ---- who reads them is root -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "hard link", "too large", "cut", "other class", "empty"])
def test_what_is_no_report_is_not_read(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    good, planted, elsewhere = folder / "crash-last-3", folder / "crash-last-1", tmp_path / "elsewhere"
    good.write_bytes(report("/usr/bin/good"))
    elsewhere.write_bytes(report("/usr/bin/elsewhere"))
    if kind == "link":
        planted.symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(planted)
    elif kind == "folder":
        planted.mkdir()
    elif kind == "hard link":
        os.link(elsewhere, planted)
    elif kind == "too large":
        with planted.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "cut":
        planted.write_bytes(report()[:-1])
    elif kind == "other class":
        with Record("org.test/other/class", b"x") as record:
            planted.write_bytes(record.encoded())
    else:
        planted.touch()
    assert kept(folder) == ["/usr/bin/good"]


def test_somebody_else_s_file_is_not_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make another user's file: run it as root, or in CI")
    keep(tmp_path, report())
    os.chown(tmp_path, 61_734, 61_734)
    assert kept(tmp_path) == []
    os.chown(tmp_path / "crash-last-0", 61_734, 61_734)
    assert kept(tmp_path) == ["/usr/bin/true"]


@pytest.mark.parametrize("payload", [b"[" * 60_000, b'{"process": 7}\n', b"\xff\xfe\n", b"{\n", b"", b"1" * 9000])
def test_a_payload_of_any_kind_is_a_report_without_a_program(tmp_path: Path, payload: bytes) -> None:
    with Record("org.clearlinux/crash/clr", payload, payload_version=2) as record:
        (tmp_path / "crash-last-0").write_bytes(record.encoded())
    (found,) = lastcrashes.read(str(tmp_path), crashes.CLASSES)
    assert (found.program, found.payload) == ("", payload)


def test_a_terminal_sees_nothing_to_act_on(tmp_path: Path) -> None:
    evil = "\x1b[2Jx\n\x9b31m\udcff"
    head = json.dumps({"process": evil, "executable": f"/usr/bin/{evil}"})
    with Record(
        "org.clearlinux/crash/clr", f"{head}\n\x1b]0;x\x07\n", payload_version=2, created_us=2**63 - 1
    ) as record:
        (tmp_path / "crash-last-0").write_bytes(record.encoded())
    (found,) = lastcrashes.read(str(tmp_path), crashes.CLASSES)
    listed = [Reported(found.record_id, found.timestamp_s, found.classification, found)]
    shown = crash_list.rendered([], listed, str, Paint(False))
    assert all(char.isprintable() for line in shown.split("\n") for char in line)
    assert len(shown.split("\n")) == 2
    refused = crash_show.chosen(listed, evil + "?")
    assert isinstance(refused, str) and refused.isprintable()


def test_a_report_is_meant_by_number_id_or_program(tmp_path: Path) -> None:
    for at, program in enumerate(["/usr/bin/a", "/usr/sbin/b", "/usr/bin/a"]):
        keep(tmp_path, report(program, 1_800_000_000 + at))
    listed = [
        Reported(each.record_id, each.timestamp_s, each.classification, each)
        for each in lastcrashes.read(str(tmp_path), crashes.CLASSES)
    ]
    listed.insert(0, Reported("ab" * 16, 1_900_000_000, "org.clearlinux/crash/clr", None))

    def meant(said: str) -> int:
        found = crash_show.chosen(listed, said)
        assert isinstance(found, Reported)
        return listed.index(found)

    assert [meant(said) for said in ("", "1", "2", "04", "4")] == [0, 0, 1, 3, 3]
    assert [meant(said) for said in ("a", "/usr/bin/a", "b", "/usr/sbin/b")] == [1, 1, 2, 2]
    assert meant(listed[2].record_id.upper()) == 2
    unlisted = crash_show.chosen(listed, "0f" * 16)
    assert isinstance(unlisted, Reported) and (unlisted.record_id, unlisted.kept) == ("0f" * 16, None)
    assert "has the number 0" in str(crash_show.chosen(listed, "0"))
    assert "has the number 5" in str(crash_show.chosen(listed, "5"))
    assert "32 hex digits" in str(crash_show.chosen(listed, "/usr/bin/b"))
    assert crash_show.chosen([], "") == "the journal tells of no crash"
