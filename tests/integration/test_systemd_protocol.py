# SPDX-License-Identifier: Apache-2.0
"""telemd as systemd sees it: sockets handed over (sd_listen_fds(3)), what it says of itself (sd_notify(3)), leaving
when idle. A small launcher stands in for systemd; a real one is tests/system's.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hubprocess import hub_at
from notices import Notices
from records import record, record_id
from running import Root, Telemd, running, state_root, wait_until
from senders import DURABLE, connected, receive_answer, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BECOME = """
import fcntl, os, sys
count = int(sys.argv[1])
aside = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100) for fd in sys.argv[2 : 2 + count]]
for place, fd in enumerate(aside, 3):
    os.dup2(fd, place)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2 + count], sys.argv[2 + count :])
"""


class Sockets:
    """The three sockets of a root, as socket units have them: they stay while services come and go."""

    def __init__(self, root: Root) -> None:
        self.listeners: list[socket.socket] = []
        for path, mode in ((root.socket5, 0o666), (root.socket4, 0o666), (root.control, 0o600)):
            path.parent.mkdir(parents=True, exist_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            self.listeners.append(listener)
            listener.bind(str(path))
            path.chmod(mode)
            listener.listen(128)

    @property
    def fds(self) -> list[int]:
        return [each.fileno() for each in self.listeners]

    def command(self) -> list[str]:
        return [sys.executable, "-IS", "-c", BECOME, str(len(self.fds)), *map(str, self.fds)]

    def close(self) -> None:
        for each in self.listeners:
            each.close()


@contextlib.contextmanager
def sockets_of(root: Root) -> Iterator[Sockets]:
    made = Sockets(root)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def activated(root: Root, sockets: Sockets) -> Iterator[Telemd]:
    with running(root, command=sockets.command(), pass_fds=sockets.fds) as telemd:
        yield telemd


@pytest.fixture
def root() -> Iterator[Root]:
    with state_root() as made:
        yield made


@pytest.fixture
def notices(root: Root) -> Iterator[Notices]:
    made = Notices(root.path / "notify")
    yield made
    made.close()


def accepts(root: Root, numbers: Sequence[int]) -> bool:
    answers = [say(root.socket5, record(number)) for number in numbers]
    return all(answer is not None and answer.verdict == DURABLE for answer in answers)


# ---- sockets ----


def test_sockets_of_systemd_are_used_and_left_where_they_are(root: Root) -> None:
    with sockets_of(root) as sockets:
        before = {path: path.stat().st_ino for path in (root.socket5, root.socket4, root.control)}
        with activated(root, sockets) as telemd:
            assert accepts(root, [1, 2, 3])
            assert telemd.stop() == 0
        assert {path: path.stat().st_ino for path in before} == before
        with activated(root, sockets) as telemd:
            assert accepts(root, [4])
            assert telemd.account()["pending"] == 4


def test_who_comes_while_none_runs_waits_in_the_backlog(root: Root) -> None:
    with sockets_of(root) as sockets, connected(root.socket5) as early, connected(root.socket5) as other:
        early.sendall(record(1))
        other.sendall(record(2) + record(3))
        with activated(root, sockets):
            assert receive_answer(early) == (DURABLE, 0, record_id(1))
            assert receive_answer(other) == (DURABLE, 0, record_id(2))
            assert receive_answer(other) == (DURABLE, 0, record_id(3))


def test_some_sockets_of_systemd_and_one_of_our_own(root: Root) -> None:
    with sockets_of(root) as sockets:
        sockets.listeners.pop().close()
        root.control.unlink()
        with activated(root, sockets) as telemd:
            assert accepts(root, [1])
            assert telemd.stop() == 0
        assert not root.control.exists()
        assert root.socket5.exists()


def test_a_socket_that_nobody_named(root: Root) -> None:
    with sockets_of(root) as sockets:
        strange = socket.socket(socket.AF_UNIX)
        strange.bind(str(root.path / "strange"))
        strange.listen()
        sockets.listeners.append(strange)
        with activated(root, sockets) as telemd:
            assert accepts(root, [1])
            assert f"{root.path}/strange" in telemd.log()


# ---- what it says ----


def test_ready_reloading_stopping(root: Root, notices: Notices) -> None:
    with running(root, env={"NOTIFY_SOCKET": str(notices.path)}) as telemd:
        assert notices.next("READY")["READY"] == "1"
        began_us = time.monotonic_ns() // 1000
        telemd.reload()
        reloading = notices.next("RELOADING", "READY")
        assert reloading["RELOADING"] == "1"
        assert began_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert notices.next("READY")["READY"] == "1"
        root.config_file.write_text("nonsense\n")
        telemd.reload()
        assert notices.next("RELOADING", "READY")["RELOADING"] == "1"
        assert notices.next("READY")["READY"] == "1"
        telemd.process.terminate()
        assert notices.next("STOPPING")["STOPPING"] == "1"
        assert telemd.wait() == 0
        names = {name for message in notices.received for name in message}
        assert names <= {"READY", "STATUS", "RELOADING", "MONOTONIC_USEC", "STOPPING"}


def test_status_is_a_sentence_that_follows_what_happens(root: Root, notices: Notices) -> None:
    root.configure(server="http://127.0.0.1:9/")
    with running(root, env={"NOTIFY_SOCKET": str(notices.path)}):
        notices.next("READY")
        assert accepts(root, range(12))
        while "12 records" not in notices.next("STATUS")["STATUS"]:
            pass
        assert all("\n" not in message.get("STATUS", "") for message in notices.received)


def test_status_where_nobody_opted_in(root: Root, notices: Notices) -> None:
    root.opt_out()
    with running(root, env={"NOTIFY_SOCKET": str(notices.path)}):
        assert "not opted in" in notices.next("STATUS")["STATUS"]


def test_watchdog_is_fed_in_time(root: Root, notices: Notices) -> None:
    limit_s = 1.0
    env = {"NOTIFY_SOCKET": str(notices.path), "WATCHDOG_USEC": str(int(limit_s * 1_000_000))}
    with running(root, env=env):
        notices.next("READY")
        began_s = time.monotonic()
        fed = [(notices.next("WATCHDOG")["WATCHDOG"], time.monotonic() - began_s)[1] for _ in range(5)]
        assert fed[-1] < 5 * limit_s
        assert fed[-1] - fed[0] > limit_s / 2  # it isn't fed in a spin


def test_watchdog_of_another_process_is_not_fed(root: Root, notices: Notices) -> None:
    env = {"NOTIFY_SOCKET": str(notices.path), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}
    with running(root, env=env) as telemd:
        notices.next("READY")
        time.sleep(0.5)  # a time in which there would be five; there is nothing to wait for
        assert telemd.stop() == 0
        notices.next("STOPPING")
        assert not [message for message in notices.received if "WATCHDOG" in message]


# ---- leaving when idle ----


def test_it_leaves_when_idle_and_the_next_one_goes_on(root: Root) -> None:
    root.configure(idle_exit_s=1)
    with sockets_of(root) as sockets:
        with activated(root, sockets) as telemd:
            assert accepts(root, [1])
            assert telemd.wait() == 0
            assert "idle" in telemd.log()
        with connected(root.socket5) as waiting:
            waiting.sendall(record(2))
            with activated(root, sockets) as telemd:
                assert receive_answer(waiting) == (DURABLE, 0, record_id(2))
                assert telemd.account()["pending"] == 2
                assert telemd.wait() == 0


def test_it_leaves_where_nobody_opted_in(root: Root) -> None:
    root.opt_out()
    root.configure(idle_exit_s=1)
    with sockets_of(root) as sockets, activated(root, sockets) as telemd:
        assert telemd.wait() == 0
        assert not root.spool.exists()


def test_it_stays() -> None:
    """Where it isn't to leave, or can't be started again. All at once: each takes its time."""
    chosen: dict[str, dict[str, int | bool]] = {
        "daemon_recycling_enabled": {"idle_exit_s": 1, "daemon_recycling_enabled": False},
        "idle_exit_s": {"idle_exit_s": 0},
        "own sockets": {"idle_exit_s": 1},
    }
    stays: dict[str, Telemd] = {}
    with contextlib.ExitStack() as stack:
        for setting, values in chosen.items():
            root = stack.enter_context(state_root())
            root.configure(**values)
            if setting == "own sockets":
                stays[setting] = stack.enter_context(running(root))
            else:
                stays[setting] = stack.enter_context(activated(root, stack.enter_context(sockets_of(root))))
            assert accepts(root, [1])
        time.sleep(2.5)  # they would be gone by then; there is nothing to wait for
        assert [setting for setting, telemd in stays.items() if telemd.process.poll() is not None] == []


def test_it_stays_while_records_wait_for_a_hub_and_leaves_then(root: Root, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    root.configure(idle_exit_s=1, retry_max_s=1, server=f"http://127.0.0.1:{port}/")
    with sockets_of(root) as sockets, activated(root, sockets) as telemd:
        assert accepts(root, [1])
        wait_until(lambda: telemd.status()["delivery"]["last_error"], "a try has failed")
        time.sleep(2.5)  # it would be gone by then; there is nothing to wait for
        assert telemd.process.poll() is None
        with hub_at(tmp_path, "--listen", f"127.0.0.1:{port}") as hub:
            assert telemd.wait() == 0
            assert [each["id"] for each in hub.records()] == [record_id(1).hex()]
