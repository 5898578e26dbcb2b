# SPDX-License-Identifier: Apache-2.0
"""telemctl starts, stops and tells the state of the real telemd."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machine import BIN, TIMEOUT_S, Machine, wait_for_end

if TYPE_CHECKING:
    pass


def test_a_whole_life(machine: Machine) -> None:
    machine.good("opt-in")
    assert "telemd.log" in machine.good("start")
    assert machine.good("is-active") == "active\n"
    first = machine.status()["telemd"]["pid"]
    assert machine.good("start") == "telemd is running already\n"
    assert machine.status()["telemd"]["pid"] == first

    machine.send()
    told = machine.status()
    assert (told["running"], told["opted_in"]) == (True, True)
    assert (told["telemd"]["accounting"]["admitted"], told["telemd"]["accounting"]["pending"]) == (1, 1)
    assert told["spool_bytes"] > 0
    page = machine.good("status")
    assert "running" in page
    assert "1 received: 1 admitted" in page
    assert "No server" in page

    assert machine.good("restart").startswith("telemd was stopped\ntelemd was started")
    again = machine.status()["telemd"]
    assert again["pid"] != first
    assert again["accounting"]["pending"] == 1

    assert machine.good("stop") == "telemd was stopped\n"
    assert not Path(f"/proc/{again['pid']}/fd/0").exists()
    assert machine.telemctl("is-active").returncode == 3
    away = machine.telemctl("status")
    assert away.returncode == 3
    assert "not running" in away.stdout
    assert f"telemctl -f {machine.root.config_file} start" in away.stdout
    assert machine.status()["spool_bytes"] > 0
    assert machine.good("stop") == "telemd is not running\n"


def test_started_telemd_is_nobodys_child_and_holds_no_terminal(running: Machine) -> None:
    pid = running.status()["telemd"]["pid"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    session, terminal = int(fields[3]), int(fields[4])
    assert (session, terminal) == (pid, 0)
    assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
    for number, place in (
        (0, "/dev/null"),
        (1, running.settings.daemon_log_path),
        (2, running.settings.daemon_log_path),
    ):
        assert str(Path(f"/proc/{pid}/fd/{number}").resolve()) == place


def test_started_telemd_takes_nothing_from_a_service_manager(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.good("opt-in")
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "JOURNAL_STREAM"):
        monkeypatch.setenv(name, "1")
    machine.good("start")
    environment = Path(f"/proc/{machine.status()['telemd']['pid']}/environ").read_bytes().split(b"\0")
    names = {each.partition(b"=")[0] for each in environment}
    assert b"PATH" in names
    assert not names & {b"NOTIFY_SOCKET", b"LISTEN_FDS", b"LISTEN_PID", b"WATCHDOG_USEC", b"JOURNAL_STREAM"}


def test_after_a_kill_it_starts_again(running: Machine) -> None:
    pid = running.status()["telemd"]["pid"]
    process = os.pidfd_open(pid)
    running.send()
    signal.pidfd_send_signal(process, signal.SIGKILL)
    assert wait_for_end(process)
    assert running.telemctl("is-active").returncode == 3
    running.good("start")
    assert running.status()["telemd"]["accounting"]["pending"] == 1


def test_telemd_that_hangs_is_reported(running: Machine) -> None:
    process = os.pidfd_open(running.status()["telemd"]["pid"])
    signal.pidfd_send_signal(process, signal.SIGSTOP)
    try:
        stopped = running.telemctl("stop")
        assert stopped.returncode == 1
        assert "doesn't answer" in stopped.stderr
        page = running.telemctl("status").stdout
        assert "doesn't answer" in page
        assert "restart" in page
    finally:
        signal.pidfd_send_signal(process, signal.SIGCONT)
        os.close(process)


def test_telemd_that_cant_start_says_why_and_where(machine: Machine) -> None:
    machine.good("opt-in")
    spool = Path(machine.settings.spool_dir)
    spool.parent.mkdir(parents=True)
    spool.symlink_to("/tmp")
    done = machine.telemctl("start")
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert machine.settings.daemon_log_path in done.stderr


def test_large_log_makes_room(machine: Machine) -> None:
    log = machine.write(machine.settings.daemon_log_path, "old\n" * 300_000)
    machine.good("opt-in")
    machine.good("start")
    assert log.stat().st_size < 10_000
    assert Path(f"{log}.1").read_text().startswith("old\n")


def test_log_is_written_through_no_link(machine: Machine) -> None:
    target = machine.write(f"{machine.root.path}/target", "precious")
    Path(machine.settings.log_dir).mkdir(parents=True)
    Path(machine.settings.daemon_log_path).symlink_to(target)
    machine.good("opt-in")
    done = machine.telemctl("start")
    assert done.returncode == 1
    assert machine.settings.daemon_log_path in done.stderr
    assert target.read_text() == "precious"


def test_status_has_colours_on_a_terminal_alone(machine: Machine) -> None:
    command = [str(BIN / "telemctl"), "-f", str(machine.root.config_file), "status"]

    def on_terminal(**environment: str) -> bytes:
        ours, theirs = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        subprocess.run(command, stdout=theirs, env={**kept, "TERM": "xterm", **environment}, timeout=TIMEOUT_S)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:
            pass  # how a terminal says that its other side is gone
        os.close(ours)
        return shown

    assert b"\x1b[31mnot running" in on_terminal()
    assert b"\x1b" not in on_terminal(NO_COLOR="1")
    assert "\x1b" not in machine.telemctl("status").stdout
