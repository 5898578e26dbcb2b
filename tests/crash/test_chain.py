# SPDX-License-Identifier: Apache-2.0
"""Going before another handler: its command line is the kernel's, and its standard input is as the kernel left it."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from handmade import piped
from waiting import wait_until

from telemetry_probes.crash import chain, kernelsaid
from telemetry_probes.crash.kernelsaid import KernelSaid

PROBES = str(Path(chain.__file__).parents[2])
SAID = ["4242", "7", "4243", "11", "1000", "1", "18446744073709551615", "3", "my prog", "!usr!bin!my prog"]
GOING = """
import os, posix, sys, time
sys.path.insert(0, sys.argv[1])
from telemetry_probes.crash import chain, kernelsaid
def work():
    mode = sys.argv[3]
    if mode == "die":
        posix.kill(posix.getpid(), 9)
    head = b""
    while piece := posix.read(0, 65536):
        head += piece
    with open(sys.argv[2] + "/head", "wb") as file:
        file.write(head)
    if mode == "raise":
        raise RuntimeError
    return 7
said = kernelsaid.read(sys.argv[4:])
sys.exit(chain.ahead(work, said, sys.argv[2]))
"""
CORE = os.urandom(1000) * 3000


def said(pid: int | None = None) -> KernelSaid:
    words = list(SAID)
    if pid is not None:
        words[0] = words[2] = str(pid)
    found = kernelsaid.read(words)
    assert isinstance(found, KernelSaid)
    return found


def waiting(fd: int) -> int:
    """Bytes that can be read."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), "little")


def go(folder: Path, mode: str, core: bytes = CORE) -> subprocess.CompletedProcess[bytes]:
    """The pipe is full before it starts, as the kernel, which doesn't wait for it, has it."""
    command = [sys.executable, "-c", GOING, PROBES, str(folder), mode, *SAID]
    with piped(core) as fd:
        full = min(len(core), fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))
        wait_until(lambda: waiting(fd) >= full, "as much of the core as fits is in the pipe")
        return subprocess.run(command, stdin=fd, capture_output=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With another handler that keeps all it is given."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the file has to be root's")
    other = tmp_path / "other"
    other.write_text(f'#!/bin/sh\ncat >{shlex.quote(str(tmp_path))}/whole\nprintf "%s\\n" "$@"\n')
    other.chmod(0o755)
    (tmp_path / chain.BEFORE_NAME).write_text(f"|{other} %P -p%p %s [%e] %E %% %Z\n16\n")
    return tmp_path


def test_systemd_s_own_pattern_is_expanded_as_the_kernel_does() -> None:
    found = chain.expanded(
        "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h", said(os.getpid()), 99, "box"
    )
    gid = str(os.getgid())
    assert found == [
        "/lib/systemd/systemd-coredump",
        str(os.getpid()),
        "1000",
        gid,
        "11",
        "99",
        "9223372036854775808",
        "box",
    ]


def test_apport_s_pattern_keeps_a_name_with_blanks_in_one_argument() -> None:
    found = chain.expanded("|/usr/share/apport/apport -p%p -s%s -c%c -d%d -P%P -u%u -F%F -- %E", said(), 0, "")
    assert found[1:] == [
        "-p7",
        "-s11",
        "-c18446744073709551615",
        "-d1",
        "-P4242",
        "-u1000",
        "-F3",
        "--",
        "!usr!bin!my prog",
    ]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("|/x %%", ["/x", "%"]),
        ("|/x a%%b%%%pc", ["/x", "a%b%7c"]),
        ("|/x 1% 2", ["/x", "1", "2"]),
        ("|/x  %e\t%f", ["/x", "my prog", "my prog"]),
        ("|/x %C%Q-%I", ["/x", "-4243"]),
    ],
)
def test_signs_of_percent(pattern: str, words: list[str]) -> None:
    assert chain.expanded(pattern, said(), 0, "") == words


def test_both_get_their_core_and_the_other_gets_all_of_it(folder: Path) -> None:
    done = go(folder, "work")
    assert (folder / "whole").read_bytes() == CORE
    head = (folder / "head").read_bytes()
    assert len(head) > 60_000 and CORE.startswith(head)
    assert done.stdout.decode().splitlines() == ["4242", "-p7", "11", "[my prog]", "!usr!bin!my prog", "%", ""]
    assert done.returncode == 0


def test_a_small_core_is_copied_whole(folder: Path) -> None:
    go(folder, "work", b"small")
    assert ((folder / "whole").read_bytes(), (folder / "head").read_bytes()) == (b"small", b"small")


@pytest.mark.parametrize("mode", ["die", "raise"])
def test_the_other_runs_whatever_becomes_of_the_child(folder: Path, mode: str) -> None:
    done = go(folder, mode)
    assert (done.returncode, (folder / "whole").read_bytes()) == (0, CORE)


def test_a_file_that_others_may_write_is_not_followed(folder: Path) -> None:
    (folder / chain.BEFORE_NAME).chmod(0o666)
    assert go(folder, "work").returncode == 7
    assert not (folder / "whole").exists()
    assert (folder / "head").read_bytes() == CORE


@pytest.mark.parametrize("before", ["core", "", "|relative %p", "@/run/socket"])
def test_without_a_handler_before_the_work_is_done_all_the_same(folder: Path, before: str) -> None:
    (folder / chain.BEFORE_NAME).write_text(f"{before}\n0\n")
    assert go(folder, "work").returncode == 7


def test_a_handler_that_is_gone_costs_no_report(folder: Path) -> None:
    (folder / "other").unlink()
    assert go(folder, "work").returncode == 1
    assert (folder / "head").stat().st_size > 60_000
