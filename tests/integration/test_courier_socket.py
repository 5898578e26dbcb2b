# SPDX-License-Identifier: Apache-2.0
"""A courier that systemd starts for each connection of telemd's: it is found, leaves when idle, and is found again.

A small program stands in for telemd-courier.socket; systemd's own tool for trying such sockets does so once. A booted
systemd is tests/system's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from courierpeer import courier as courier_process
from httppeer import serving
from records import record
from running import BIN, NOBODY, TIMEOUT_S, Root, Telemd, needs_root, running, state_root, wait_until
from senders import say

if TYPE_CHECKING:
    from collections.abc import Iterator

COURIER = str(BIN / "telemd-courier")
TRIES = 7

# As the unit has it: one at a time, the connection as fd 3. A further one is closed at once, as by MaxConnections=1.
LISTENER = """
import os, socket, subprocess, sys
path, log, command = sys.argv[1], sys.argv[2], sys.argv[3:]
while (nothing := os.open("/dev/null", os.O_RDWR)) <= 3:
    pass  # so that 3 is taken, until it is a courier's
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(16)
print("listens", flush=True)
running = None
while True:
    stream, _ = listener.accept()
    with stream, open(log, "ab", 0) as said:
        if running is not None and running.poll() is None:
            continue
        said.write(b"start\\n")
        os.dup2(stream.fileno(), 3)
        running = subprocess.Popen(command, pass_fds=[3], stderr=said)
        os.dup2(nothing, 3)
"""


class Listener:
    """Somebody who listens at a root's courier socket. user: who that is."""

    def __init__(self, root: Root, *command: str, user: int | None = None) -> None:
        self.path = root.socket5.parent / "courier.sock"
        self.log_file = root.path / "courier.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        if user is not None:
            self.path.parent.chmod(0o777)
            self.log_file.touch()
            os.chown(self.log_file, user, user)
        self._process = subprocess.Popen(
            [BIN / "python", "-IS", "-c", LISTENER, str(self.path), str(self.log_file), *command],
            stdout=subprocess.PIPE,
            user=user,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listens\n"
        if user is not None:
            self.path.chmod(0o666)

    @property
    def said(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def starts(self) -> int:
        return self.said.count("start\n")

    def children(self) -> list[int]:
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in path.read_text().split() if _lives(int(pid))]

    def close(self) -> None:
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._process.kill()
        self._process.communicate()


def _lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@contextlib.contextmanager
def listening(root: Root, *command: str, user: int | None = None) -> Iterator[Listener]:
    listener = Listener(root, *command, user=user)
    try:
        yield listener
    finally:
        listener.close()


def test_it_is_asked_for_leaves_when_idle_and_is_asked_for_again() -> None:
    with (
        serving() as hub,
        state_root(server=hub.url, retry_max_s=1) as root,
        listening(root, COURIER, "--linger", "1", "--peer", str(os.geteuid())) as listener,
        running(root) as telemd,
    ):
        for number in (1, 2):
            before = listener.starts
            say(root.socket5, record(number))
            assert telemd.wait_delivered()["delivered"] == number
            assert telemd.courier_pids() == []
            assert listener.starts > before
            wait_until(lambda: listener.children() == [], "the courier has left")


def test_systemds_own_tool_for_such_sockets() -> None:
    tool = shutil.which("systemd-socket-activate")
    if tool is None:
        pytest.skip("needs systemd-socket-activate, of Debian's package systemd")
    with serving() as hub, state_root(server=hub.url, retry_max_s=1) as root:
        path = root.socket5.parent / "courier.sock"
        path.parent.mkdir(parents=True)
        command = [tool, "--accept", "-l", str(path), COURIER, "--linger", "1", "--peer", str(os.geteuid())]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as listener:
            try:
                wait_until(path.exists, "systemd-socket-activate listens")
                with running(root) as telemd:
                    for number in (1, 2):
                        say(root.socket5, record(number))
                        telemd.wait_delivered()
                    assert telemd.courier_pids() == []
            finally:
                os.killpg(listener.pid, 9)


def test_where_nobody_listens_any_more_it_is_a_child() -> None:
    with serving() as hub, state_root(server=hub.url, retry_max_s=1) as root:
        path = root.socket5.parent / "courier.sock"
        path.parent.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        with running(root) as telemd:
            say(root.socket5, record(1))
            telemd.wait_delivered()
            assert len(telemd.courier_pids()) == 1


def tried_again(telemd: Telemd, starts: int) -> bool:
    """And again; the pauses between are cut short."""
    telemd.ask("send-now")
    return starts >= TRIES


@pytest.mark.parametrize("command", [["/bin/false"], [COURIER, "--linger", "0"], [COURIER, "--peer", "4242"]])
def test_one_that_cannot_start_costs_no_record(command: list[str]) -> None:
    """The last one takes telemd for somebody else, which root never is."""
    if command[-1] == "4242":
        needs_root()
    user = NOBODY if command[-1] == "4242" else None
    with serving() as hub, state_root(server=hub.url, retry_max_s=1) as root:
        with listening(root, *command) as listener:
            if user is not None:
                listener.path.chmod(0o666)
                root.hand_to(user)
            with running(root, user=user) as telemd:
                say(root.socket5, record(1), record(2))
                wait_until(lambda: tried_again(telemd, listener.starts), "it was tried again and again")
                account = telemd.account()
                assert (account["pending"], account["rejected"]) == (2, 0)
                assert telemd.status()["delivery"]["state"] in {"waiting", "sending"}
            if user is not None:
                assert f"user {NOBODY} asks for a courier that is for user 4242 alone" in listener.said
                return
        with listening(root, COURIER), running(root) as telemd:
            telemd.wait_delivered()
            assert telemd.account()["delivered"] == 2


def test_one_of_another_user_is_told_nothing() -> None:
    needs_root()
    with (
        serving() as hub,
        state_root(server=hub.url, retry_max_s=1) as root,
        listening(root, "/bin/sh", "-c", "cat <&3 >&2", user=NOBODY) as listener,
        running(root) as telemd,
    ):
        say(root.socket5, record(1))
        telemd.wait_log(f"user {NOBODY} listens at {listener.path}, who is neither root nor telemd's own")
        assert telemd.account()["pending"] == 1
        wait_until(lambda: listener.starts >= 2, "it was tried again")
        assert listener.said.replace("start\n", "") == ""
        assert hub.connections == 0
        assert telemd.courier_pids() == []


def test_a_child_that_cannot_start_costs_no_record(tmp_path: Path) -> None:
    (tmp_path / "telemd").symlink_to(BIN / "telemd")
    courier = tmp_path / "telemd-courier"
    courier.write_text(f"#!/bin/sh\necho start >> {tmp_path}/starts\nexit 1\n")
    courier.chmod(0o755)
    starts = tmp_path / "starts"
    with serving() as hub, state_root(server=hub.url, retry_max_s=1) as root:
        with running(root, program=tmp_path / "telemd") as telemd:
            say(root.socket5, record(1))
            wait_until(
                lambda: tried_again(telemd, starts.read_text().count("start") if starts.exists() else 0),
                "it was tried again and again",
            )
            account = telemd.account()
            assert (account["pending"], account["rejected"]) == (1, 0)
        with running(root) as telemd:
            telemd.wait_delivered()
            assert telemd.account()["delivered"] == 1


@pytest.mark.parametrize("peer", ["root", str(os.geteuid())])
def test_whom_it_serves(peer: str) -> None:
    with serving() as hub, courier_process("--peer", peer) as one:
        assert one.ask([], hub.url).verdicts == []


def test_a_module_that_is_missing_is_said_and_costs_no_record() -> None:
    program = (
        "import sys; sys.modules['urllib3'] = None; from telemd.courier import main; "
        "sys.exit(main(['telemd-courier', *sys.argv[1:]]))"
    )
    with serving() as hub, courier_process(program=program) as one:
        answer = one.ask([record(1)], hub.url)
        assert answer.verdicts == [3]
        assert "install Python's urllib3" in answer.text
        assert one.ask([record(1)], hub.url).verdicts == [3]


def test_bad_users() -> None:
    for user in ("no such user", "", "9" * 20):
        command: list[str | Path] = [BIN / "python", "-m", "telemd.courier", "--peer", user]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 2
        assert "usage: telemd-courier" in done.stderr
