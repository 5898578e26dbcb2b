# SPDX-License-Identifier: Apache-2.0
"""bootprobe's small parts: the mark, what is kept, what systemd and hardware say, the kernel's command line, files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telemetry_probes.boots import commandline, files, kept, marks, panics, timing, watchdogs
from telemetry_probes.boots.kept import Kept, Waiting

BOOT = "9f9cbc7c-22fd-47a2-b1cd-9bf653b9cbaf"
JOBS = """\
  312 dev-sda1.device             stop  waiting
  299 {target} start waiting
  300 shutdown.target start waiting
  301 bootprobe.service stop running
"""


@pytest.mark.parametrize(
    ("target", "how"),
    [
        ("reboot.target", "reboot"), ("poweroff.target", "poweroff"), ("halt.target", "halt"),
        ("kexec.target", "kexec"), ("soft-reboot.target", "soft-reboot"), ("umount.target", "shutdown"),
    ],
)  # fmt: skip
def test_how_it_goes_down(target: str, how: str) -> None:
    assert marks.how(JOBS.format(target=target)) == how


@pytest.mark.parametrize(
    "jobs", ["", "1 reboot.target stop waiting\n", "2 a.service start running\n", "\0", "reboot.target"]
)
def test_it_does_not_go_down(jobs: str) -> None:
    assert marks.how(jobs) == marks.STOPPED


@pytest.mark.parametrize("how", marks.HOW)
def test_mark_as_it_was_written(how: str) -> None:
    found = marks.read(marks.written(marks.Mark(BOOT, how, 1_795_284_007)))
    assert found is not None
    assert (found.boot, found.how, found.time_s) == (BOOT, how, 1_795_284_007)


def test_mark_cut_anywhere_is_none() -> None:
    whole = marks.written(marks.Mark(BOOT, "reboot", 1_795_284_007)).rstrip()
    assert [marks.read(whole[:end]) for end in range(len(whole))] == [None] * len(whole)
    for content in (
        b"a reboot 1 end more",
        b"a exploded 1 end",
        b"a reboot -1 end",
        b"a reboot 9999999999999 end",
        b"\xff" * 40,
    ):
        assert marks.read(content) is None


def test_kept_as_it_was_written(tmp_path: Path) -> None:
    one = Kept()
    one.boot, one.told_s, one.release, one.build = BOOT, 12, "6.1.0", '#1 "SMP" \u00fc'
    one.line_hash, one.words = "ab" * 16, ["quiet", "ro"]
    kept.keep(str(tmp_path), one)
    found = kept.read(str(tmp_path))
    assert [getattr(found, name) for name in Kept.__slots__] == [getattr(one, name) for name in Kept.__slots__]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"boot": 1, "told_s": "x", "words": {}}', b"[" * 60_000, b"\xff"]
)
def test_kept_damaged_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / kept.NAME).write_bytes(content)
    found = kept.read(str(tmp_path))
    assert (found.boot, found.told_s, found.words) == ("", 0, [])


def waiting(number: int) -> Waiting:
    return Waiting(f"boot-{number}", bytes(16), 1, number, True, {"version": 1, "number": number})


def test_records_that_wait_are_in_order_and_few(tmp_path: Path) -> None:
    for number in reversed(range(20)):
        kept.keep_waiting(str(tmp_path), waiting(number))
    (tmp_path / f"{kept.WAITING}damaged").write_bytes(b'{"severity": 9}')
    (tmp_path / "another").write_bytes(b"{}")
    found = kept.waiting(str(tmp_path))
    assert [one.payload["number"] for one in found] == list(range(12, 20))
    assert len(list(tmp_path.iterdir())) == kept.WAITING_MAX + 1
    for one in found:
        kept.remove(str(tmp_path), one.boot)
    assert kept.waiting(str(tmp_path)) == []


def test_forgotten(tmp_path: Path) -> None:
    kept.keep(str(tmp_path), Kept())
    kept.keep_waiting(str(tmp_path), waiting(1))
    (tmp_path / marks.NAME).write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    kept.forget(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


LAPTOP = """\
FirmwareTimestampMonotonic=9500000
LoaderTimestampMonotonic=2500000
KernelTimestampMonotonic=0
InitRDTimestampMonotonic=1250000
UserspaceTimestampMonotonic=5000000
FinishTimestampMonotonic=16000000
Virtualization=
NFailedUnits=2
SystemState=degraded
"""
"""What `systemd-analyze` calls 7.000s (firmware) + 2.500s (loader) + 1.250s (kernel) + 3.750s (initrd) + 11.000s
(userspace) = 25.500s."""


def test_timing_as_systemd_analyze_has_it() -> None:
    found = timing.read(LAPTOP)
    assert found is not None
    assert found.phases == {
        "firmware": 7000, "loader": 2500, "kernel": 1250, "initrd": 3750, "userspace": 11_000, "total": 25_500
    }  # fmt: skip
    assert (found.state, found.failed) == ("degraded", 2)


def test_timing_without_firmware_and_initrd() -> None:
    shown = "UserspaceTimestampMonotonic=5000000\nFinishTimestampMonotonic=16000000\nVirtualization=kvm\n"
    found = timing.read(shown)
    assert found is not None
    assert found.phases == {"kernel": 5000, "userspace": 11_000, "total": 16_000}
    assert (found.state, found.failed) == ("", None)


def test_timing_of_a_container_has_no_kernel() -> None:
    found = timing.read(LAPTOP.replace("Virtualization=", "Virtualization=systemd-nspawn"))
    assert found is not None
    assert found.phases == {"userspace": 11_000, "total": 11_000}


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "nonsense",
        LAPTOP.replace("FinishTimestampMonotonic=16000000", "FinishTimestampMonotonic=0"),
        LAPTOP.replace("=16000000", "=-5"),
        LAPTOP.replace("=16000000", "=[not set]"),
        LAPTOP.replace("=16000000", "=1"),
        LAPTOP.replace("=5000000", "=" + "9" * 40),
    ],
)
def test_no_timing(shown: str) -> None:
    assert timing.read(shown) is None


def test_a_phase_of_years_is_none() -> None:
    found = timing.read(LAPTOP.replace("=9500000", "=" + "9" * 17))
    assert found is not None
    assert "firmware" not in found.phases


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", ()), ("32", ("watchdog",)), ("0x21", ("overheated", "watchdog")), ("16", ("power",)), ("", ()), ("x", ()),
     ("-1" * 900, ())],
)  # fmt: skip
def test_bootstatus(text: str, expected: tuple[str, ...]) -> None:
    assert watchdogs.causes(text) == expected


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("an uncorrected error caused a data fabric sync flood event", "error"),
        ("software wrote 0x6 to reset control register 0xCF9", "software"),
        ("hardware watchdog timer expired", "watchdog"),
        ("thermal pin BP_THERMTRIP_L was tripped", "overheated"),
        ("power button was pressed for 4 seconds", "button"),
        ("Unknown", "other"),
    ],
)
def test_what_the_processor_says(said: str, cause: str) -> None:
    assert watchdogs.reset(f"x86/amd: Previous system reset reason [0x08000800]: {said}") == cause
    assert watchdogs.reset(f"hello: x86/amd: Previous system reset reason [0x08000800]: {said}") is None


LINE = (
    "BOOT_IMAGE=/vmlinuz-6.1.0 root=UUID=2f0c-secret ro quiet crashkernel=256M rd.luks.uuid=luks-1 mitigations=off "
    "ip=10.0.0.7::10.0.0.1 hostname=payroll console=ttyS0,115200 panic=/etc/passwd loglevel="
    + "9" * 60
    + " -- quiet secret"
)


def test_only_words_that_tell_of_nobody() -> None:
    assert commandline.words(LINE) == ["ro", "quiet", "crashkernel=256M", "mitigations=off", "console=ttyS0,115200"]
    assert commandline.others(LINE) == len(LINE.split()) - 5


def test_words_that_came_and_went() -> None:
    assert commandline.changes(["ro", "quiet"], ["ro", "nosmt"]) == (["nosmt"], ["quiet"])


def test_a_line_of_any_length() -> None:
    assert len(commandline.words("quiet " * 100_000)) == commandline.WORDS_MAX
    assert commandline.words("") == []


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    assert files.head(str(tmp_path / "file"), 4) == b"0123"
    assert files.tail(str(tmp_path / "file"), 4) == (b"6789", False)
    assert files.tail(str(tmp_path / "file"), 4, 3) == (b"6789", False)
    assert files.tail(str(tmp_path / "file"), 5, 3) == (b"6789", False)
    assert files.tail(str(tmp_path / "file"), 40, 3) == (b"0123456789", True)
    for name in ("link", "fifo", "none", "", "a\0b"):
        assert files.head(str(tmp_path / name), 4) == b""
    assert files.names(str(tmp_path), 2) == ["fifo", "file"]
    assert files.names(str(tmp_path / "none"), 2) == []
    assert files.word("/proc/sys/kernel/ostype") == "Linux"


def test_dumps_of_kdump(tmp_path: Path) -> None:
    for name, inner, at_s in (
        ("202611211200", "dump.202611211200", 5000), ("127.0.0.1-2026-11-21-12:00:00", "vmcore", 6000),
        ("202611201200", "dump.202611201200", 900), ("other", "dmesg.202611211200", 5000),
    ):  # fmt: skip
        path = tmp_path / "var/crash" / name / inner
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
        os.utime(path, (at_s, at_s))
    assert panics.by_kdump(str(tmp_path), 1000) == 2
    assert panics.by_kdump(str(tmp_path), 0) == 0
    assert panics.by_kdump(str(tmp_path / "none"), 1000) == 0
