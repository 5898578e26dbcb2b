# SPDX-License-Identifier: Apache-2.0
"""Faults that other crash handlers had, by their numbers: each is tried on this one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import kernelcalls
import pytest
from kernelcalls import UID, WAY, compiled, crash, handling, launcher, reported_when_taken_over, until_it_dumps

from bench import corepattern

SECRET = "7h3-r00t-5ecret"
READS_A_SECRET = f"""
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
int main(void)
{{
        char stack[64], *heap = strdup("{SECRET}");
        strcpy(stack, heap);
        asm volatile("" : : "r"(stack), "r"(heap) : "memory");
        /* an address made of the secret, too */
        *(volatile long *)(*(long *)stack & 0x7fffffffffff) = 1;
        return 0;
}}
"""


@pytest.fixture(name="nested")
def _nested() -> Path:
    return kernelcalls.nested()


@pytest.fixture
def guarded(nested: Path) -> Path:
    """A set-user-id program (not root's own) that has a secret in memory as it dies."""
    file = compiled(nested.with_name("guarded"), READS_A_SECRET)
    os.chown(file, UID + 2, UID + 2)
    file.chmod(0o4755)
    return file


def lifted(handled: kernelcalls.Handled) -> None:
    """The most that a machine's owner can allow."""
    corepattern.SUID_DUMPABLE.write_text("2")
    for name in ("opt-in-no-privacy-filters", "opt-in-crash-command-line"):
        handled.say(name)


def test_cve_2022_4415_memory_of_set_id_programs_is_in_nothing_that_is_kept(guarded: Path) -> None:
    """systemd-coredump heeded no fs.suid_dumpable, and its cores could be read by who had started the program."""
    with handling() as handled:
        lifted(handled)
        crash([guarded], user=UID + 1)
        report = handled.report()
        kept = [file for file in handled.root.rglob("*") if file.is_file()]
        assert all(SECRET.encode() not in file.read_bytes() for file in kept)
        left = next(handled.drop.iterdir()).stat()
    assert (left.st_uid, left.st_mode & 0o777) == (UID, 0o600)
    assert SECRET[:4].encode()[::-1].hex() not in report.record.payload.decode()  # as an address
    assert "address" not in report.json["signal"]


def test_cve_2025_4598_a_set_id_program_replaced_by_another_stays_guarded(guarded: Path) -> None:
    """systemd-coredump looked at /proc/PID of the process that had got the pid meanwhile, and took it for ordinary."""
    with handling(launcher=launcher(kernelcalls.WAITS)) as handled:
        lifted(handled)
        first = until_it_dumps([guarded], user=UID + 1)
        report = reported_when_taken_over(handled, first, ["/usr/bin/sleep", "1000"])
    frames = [frame for stack in report.json["stacks"] for frame in stack["frames"]]
    assert all("function" not in frame and frame.get("pc", "0x0") == "0x0" for frame in frames)
    assert report.json["executable"] == str(guarded)
    assert SECRET not in report.record.payload.decode()


@pytest.mark.parametrize("number", ["CVE-2025-5054", "CVE-2017-14180"])
def test_cve_2025_5054_and_2017_14180_nothing_is_handed_into_a_container(
    nested: Path, tmp_path: Path, number: str
) -> None:
    """apport passed the core on to a socket, or ran itself, inside of the namespaces of whoever had the pid."""
    inner = tmp_path / "inner.sock"
    with handling() as handled, socket.socket(socket.AF_UNIX) as planted:
        lifted(handled)
        planted.bind(str(inner))
        planted.listen()
        inner.chmod(0o666)
        run = handled.root / "run/telemetry"
        run.mkdir(parents=True)
        (run / "telemd.sock").touch()
        plant = f"mount --bind {inner} {run}/telemd.sock && mount --bind /usr/bin/false {handled.launcher}"
        if number == "CVE-2017-14180":
            crash(["/usr/bin/unshare", "--mount", nested, "0", plant])
            report = handled.report()
        else:
            text = launcher(kernelcalls.WAITS)
            handled.launcher.write_text(text)
            first = until_it_dumps([nested, "4"])
            command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f"{plant}; exec sleep 1000"]
            report = reported_when_taken_over(handled, first, command)
        planted.setblocking(False)
        with pytest.raises(BlockingIOError):
            planted.accept()
    assert report.json["executable"] == str(nested)


def test_cve_2020_8833_nothing_is_made_where_others_can_put_links(nested: Path, tmp_path: Path) -> None:
    """apport followed a link in place of its lock file. Ours lie in telemetry's own folders, and are not followed."""
    target = tmp_path / "target"
    target.write_text("as it was")
    target.chmod(0o666)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    with handling() as handled:
        lifted(handled)
        for name in ("crash-loops", "crash-turns"):
            (handled.state / name).symlink_to(target)
        handled.drop.symlink_to(elsewhere)
        crash([nested])
        handled.wait_idle()
    assert target.read_text() == "as it was"
    assert list(elsewhere.iterdir()) == []


def test_cve_2021_25682_a_name_that_looks_like_lines_of_status(nested: Path) -> None:
    """apport took the user ids from lines that the name of the program had put into /proc/PID/status."""
    with handling() as handled:
        lifted(handled)
        own = nested.with_name("a\nUid:\t0\t1\t2\t3")
        own.write_bytes(nested.read_bytes())
        own.chmod(0o755)
        crash([own, "0", "true", "a\nUid:\t1\t2"], user=UID + 1)
        report = handled.report()
    assert report.functions[:4] == WAY  # it isn't taken for a guarded one


def test_cve_2021_25683_a_name_that_looks_like_fields_of_stat(nested: Path) -> None:
    """apport counted the fields of /proc/PID/stat from the first bracket, and took another's start time for its own."""
    with handling() as handled:
        lifted(handled)
        crash([nested, "0", "true", ") R 1 1 1 1 1"])
        report = handled.report()
    assert report.json["process"] == ") R 1 1 1 1 1"
    assert report.json["uptime_s"] < 60
    assert report.functions[:4] == WAY


@pytest.mark.parametrize("name", ["crash-loops", "crash-turns", "crash-last-new", "crash-last-0"])
def test_cve_2021_25684_a_fifo_in_place_of_a_file_stops_nothing(nested: Path, name: str) -> None:
    """apport waited for ever for the other end of a FIFO."""
    with handling() as handled:
        lifted(handled)
        os.mkfifo(handled.state / name)
        os.chown(handled.state / name, UID, UID)
        crash([nested])
        assert handled.report().functions[:4] == WAY


def test_cve_2018_6552_a_pid_of_an_inner_namespace_is_nobody_s_on_the_host(nested: Path) -> None:
    """apport looked at the host's process that had the number which the dead one had in its own namespace."""
    with handling() as handled:
        lifted(handled)
        crash(["/usr/bin/unshare", "--pid", "--fork", "/bin/sh", "-c", f"exec {nested}"])
        report = next(each for each in handled.wait(2) if each.json["process"] == "nested")
    assert report.json["inner_pid"] == 1
    assert report.json["pid"] != 1
    assert report.json["executable"] == str(nested)
    assert "flags" not in report.json
