# SPDX-License-Identifier: Apache-2.0
"""The handler's own faults: in words, to the journal, else to the kernel's log; and how far a handler had come."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from telemetry_probes.crash import faults, steps


@pytest.fixture
def log() -> tuple[int, int]:
    """Both ends of what stands in for /dev/kmsg."""
    return os.pipe()


def test_the_journal_is_told_in_its_own_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: tuple[int, int]
) -> None:  # fmt: skip
    monkeypatch.setattr(faults, "JOURNAL", str(tmp_path / "journal"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        faults.tell("it broke\nPRIORITY=0\x1b[2J " + "x" * 2000, faults.ERROR, log[1])
        lines = journal.recv(65536).decode().split("\n")
    assert lines[:2] == ["PRIORITY=3", "SYSLOG_IDENTIFIER=crashprobe"]
    assert lines[2].startswith("MESSAGE=it broke?PRIORITY=0?[2J x")
    assert len(lines[2]) == len("MESSAGE=") + faults.TEXT_MAX
    assert lines[3:] == [""]
    os.set_blocking(log[0], False)
    with pytest.raises(BlockingIOError):
        os.read(log[0], 1)


@pytest.mark.parametrize("journal", ["nobody", "none"])
def test_without_a_journal_the_kernel_s_log_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: tuple[int, int], journal: str
) -> None:
    monkeypatch.setattr(faults, "JOURNAL", str(tmp_path / "journal"))
    if journal == "nobody":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
            left.bind(str(tmp_path / "journal"))
    faults.tell("it broke\n<0>again", faults.WARNING, log[1])
    assert os.read(log[0], 65536) == b"<4>crashprobe: it broke?<0>again\n"
    faults.tell("nobody hears this", faults.ERROR, -1)


def test_an_exception_is_told_by_its_place_and_not_by_its_words() -> None:
    try:
        raise ValueError("a secret")
    except ValueError:
        said = faults.of_exception()
    assert said.startswith("ValueError in test_faults.py, line ")
    assert "secret" not in said
    try:
        os.open("/none/secret", os.O_RDONLY)
    except OSError:
        said = faults.of_exception()
    assert said.startswith("FileNotFoundError (No such file or directory) in ")
    assert "secret" not in said


@pytest.mark.parametrize(
    ("number", "words"),
    [(9, "SIGKILL: killed"), (14, "SIGALRM: it took too long"), (11, "SIGSEGV"), (7, "SIGBUS: a file was cut")],
)
def test_how_a_process_ended(number: int, words: str) -> None:
    child = os.fork()
    if child == 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        os._exit(0)
    assert faults.of_status(os.waitpid(child, 0)[1]).startswith(words)
    assert faults.of_status(3 << 8) == "exit code 3"


def test_how_far_it_came() -> None:
    reading, writing = os.pipe()
    seen: list[str] = []
    progress = steps.Steps(writing, seen.append)
    for step in steps.ALL[:3]:
        progress.at(step)
    progress.fault("for\0a reason\udcff" + "x" * 9999)
    os.close(writing)
    step, fault = steps.read(reading)
    assert step == seen[-1] == steps.ALL[2]
    assert fault.startswith("for\0a reason?x")
    assert len(fault) == 1024


def test_one_that_ended_before_it_said_anything() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert steps.read(reading) == ("starting", "")
