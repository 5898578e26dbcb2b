# SPDX-License-Identifier: Apache-2.0
"""A telemd begins, is told things and ends: signals, opt-in, directories and sockets as it finds them.

What becomes of records on their way to the hub is test_delivery_process's.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from httppeer import accept, reply, serving
from hubprocess import hub_at
from records import record, record_id
from running import BIN, NOBODY, TIMEOUT_S, Root, needs_root, refusal_to_start, running, state_root, wait_until
from senders import DURABLE, REFUSED, Answer, bursts, connected, say

if TYPE_CHECKING:
    from pathlib import Path

STOP_S = 2.0
SLOW_MACHINE_S = 15.0
"""Less than a courier may take for a batch: telemd doesn't wait for that."""
NOT_OPTED_IN, IO = 18, 19


def send(root: Root, number: int) -> Answer:
    answer = say(root.socket5, record(number))
    assert answer is not None
    return answer


# ---- stop ----


def test_sigterm_while_senders_send(tmp_path: Path) -> None:
    with hub_at(tmp_path) as hub, state_root(server=hub.url, spool_max_size=1 << 20, retry_max_s=1) as root:
        durable: set[int] = set()
        for turn in range(5):
            with running(root) as telemd, bursts(root.socket5, 40_000, 4, turn * 40_000) as senders:
                wait_until(lambda: any(each.durable for each in senders), "the burst has begun")
                began_s = time.monotonic()
                assert telemd.stop() == 0
                assert time.monotonic() - began_s < STOP_S + SLOW_MACHINE_S
                for each in senders:
                    each.give_up()
            durable.update(*(each.durable for each in senders))
        assert durable
        with running(root) as telemd:
            account = telemd.wait_delivered()
        assert (account["damaged"], account["evicted"], account["expired"]) == (0, 0, 0)
        found = {each["id"] for each in hub.records(limit=1000)}
        assert {record_id(number).hex() for number in durable} <= found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_at_rest(number: signal.Signals) -> None:
    with state_root() as root, running(root) as telemd:
        assert send(root, 1).verdict == DURABLE
        telemd.process.send_signal(number)
        assert telemd.wait() == 0
        assert root.files() & {"run/telem-0", "run/telemetry/telemd.sock", "run/telemetry/control.sock"} == set()


def test_stop_verb_and_signal_at_once() -> None:
    with state_root() as root, running(root) as telemd:
        assert telemd.ask("stop")["pid"] == telemd.pid
        telemd.process.send_signal(signal.SIGTERM)
        assert telemd.wait() == 0


def test_restart_keeps_account_and_machine_id() -> None:
    with state_root() as root:
        with running(root) as telemd:
            assert [send(root, number).verdict for number in range(5)] == [DURABLE] * 5
            assert say(root.socket5, record(9, severity=0)) == (REFUSED, 4, record_id(9))
            before, machine = telemd.account(), telemd.status()["machine_id"]
        with running(root) as telemd:
            assert telemd.account() == before
            assert telemd.status()["machine_id"] == machine
            assert (before["received"], before["pending"], before["refused"]) == (6, 5, {"severity": 1})


# ---- configuration ----


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no_such_key = 1", "no_such_key"),
        ('record_expiry = "long"', "record_expiry"),
        ("record_expiry = 0", "record_expiry"),
        ("record_expiry = ", ""),
    ],
)
def test_bad_configuration_changes_nothing(tmp_path: Path, line: str, says: str) -> None:
    with hub_at(tmp_path) as hub, state_root(server=hub.url) as root, running(root) as telemd:
        root.config_file.write_text(root.config_file.read_text().replace(hub.url, "http://127.0.0.1:9") + line + "\n")
        telemd.reload()
        telemd.wait_log("the old one stays in force")
        assert f"{root.config_file}:{len(root.config_file.read_text().splitlines())}" in telemd.log()
        assert says in telemd.log()
        assert telemd.status()["server"] == hub.url
        assert send(root, 1).verdict == DURABLE
        assert telemd.wait_delivered()["delivered"] == 1


def test_configuration_that_is_gone_changes_nothing() -> None:
    with state_root(server="http://127.0.0.1:9/") as root, running(root) as telemd:
        root.config_file.unlink()
        telemd.reload()
        telemd.wait_log("the old one stays in force")
        assert telemd.status()["server"] == "http://127.0.0.1:9/"
        assert telemd.ask("reload")["reloaded"] is False


def test_bad_configuration_at_the_start() -> None:
    with state_root(opted_in=False) as root:
        root.config_file.write_text(f'[settings]\nstate_root = "{root.path}"\nrecord_expiry = 0\n')
        said = refusal_to_start(root)
        assert f"{root.config_file}:3" in said
        assert root.files() <= {"etc", "etc/telemetrics"}


def test_another_server_gets_what_comes_after_the_reload(tmp_path: Path) -> None:
    with hub_at(tmp_path / "a") as first, hub_at(tmp_path / "b") as second, state_root(server=first.url) as root:
        with running(root) as telemd:
            assert send(root, 1).verdict == DURABLE
            telemd.wait_delivered()
            root.configure(server=second.url)
            telemd.reload()
            wait_until(lambda: telemd.status()["server"] == second.url, "the new server is in force")
            assert send(root, 2).verdict == DURABLE
            assert telemd.wait_delivered()["delivered"] == 2
        assert [each["id"] for each in first.records()] == [record_id(1).hex()]
        assert [each["id"] for each in second.records()] == [record_id(2).hex()]


def test_what_waits_goes_to_another_server_at_once(tmp_path: Path) -> None:
    """The old server has asked for an hour of peace: that was its own affair."""
    with (
        serving(lambda request, stream: reply(503, b"", "Retry-After: 3600")) as old,
        state_root(server=old.url) as root,
        running(root) as telemd,
        hub_at(tmp_path) as hub,
    ):
        assert send(root, 1).verdict == DURABLE
        wait_until(lambda: telemd.status()["delivery"]["state"] == "waiting", "the old server has said no")
        root.configure(server=hub.url)
        telemd.reload()
        telemd.wait_delivered()
        assert len(hub.records()) == 1


def test_state_root_needs_a_restart(tmp_path: Path) -> None:
    with state_root() as root, running(root) as telemd:
        root.config_file.write_text(f'[settings]\nstate_root = "{tmp_path}"\n')
        telemd.reload()
        telemd.wait_log(f"`kill {telemd.process.pid}`, then `telemctl -f {root.config_file} start`")
        assert "state_root" in telemd.log()
        assert send(root, 1).verdict == DURABLE
        assert list(tmp_path.iterdir()) == []


# ---- opt-in ----


def test_nothing_is_made_without_the_owners_consent() -> None:
    with serving() as server, state_root(opted_in=False, server=server.url) as root, running(root) as telemd:
        assert send(root, 1) == (REFUSED, NOT_OPTED_IN, record_id(1))
        with connected(root.socket4) as stream:
            stream.sendall(bytes(100))
        status = telemd.status()
        assert (status["opted_in"], "accounting" in status) == (False, False)
        assert telemd.courier_pids() == []
        sockets = {"run/telem-0", "run/telemetry/telemd.sock", "run/telemetry/control.sock"}
        assert root.files() == {"run", "run/telemetry", *sockets}
        telemd.stop()
        assert root.files() == {"run", "run/telemetry"}
        assert server.connections == 0


def test_opt_in_while_it_runs(tmp_path: Path) -> None:
    with hub_at(tmp_path) as hub, state_root(opted_in=False, server=hub.url) as root, running(root) as telemd:
        assert send(root, 1).reason == NOT_OPTED_IN
        root.opt_in()
        wait_until(lambda: send(root, 2).verdict == DURABLE, "records are accepted")
        telemd.wait_delivered()
        assert {each["id"] for each in hub.records()} == {record_id(2).hex()}


def test_opt_out_while_it_runs() -> None:
    """What waits stays where it is, unsent."""
    with (
        serving(lambda request, stream: reply(503)) as server,
        state_root(server=server.url, retry_max_s=1) as root,
        running(root) as telemd,
    ):
        assert send(root, 1).verdict == DURABLE
        wait_until(lambda: server.requests, "a try is made")
        root.opt_out()
        wait_until(lambda: send(root, 2).reason == NOT_OPTED_IN, "records are refused")
        wait_until(lambda: telemd.status()["delivery"]["in_flight"] == 0, "nothing is under way")
        before = len(server.requests)
        server.script = accept
        time.sleep(2.5)  # several tries' time: nothing may come, so there is nothing to wait for
        assert len(server.requests) == before
        pending = telemd.account()["pending"]
        assert pending >= 1
        root.opt_in()
        account = telemd.wait_delivered()
        assert account["delivered"] == pending
        assert account["refused"]["not-opted-in"] >= 1


def test_opt_in_where_the_spool_can_not_be() -> None:
    """Later than at the start it must not end telemd: senders are told why, and it goes on once that is put right."""
    with state_root(opted_in=False) as root, running(root) as telemd:
        root.spool.parent.mkdir(parents=True)
        root.spool.touch()
        root.opt_in()
        wait_until(lambda: send(root, 1) == (REFUSED, IO, record_id(1)), "the disk is found wanting")
        assert str(root.spool) in telemd.log()
        root.spool.unlink()
        wait_until(lambda: send(root, 2).verdict == DURABLE, "records are accepted")


# ---- the spool's directory ----


def test_spool_directory_is_made_for_its_owner_alone() -> None:
    with state_root() as root, running(root):
        assert stat.S_IMODE(root.spool.stat().st_mode) == 0o700


def test_spool_directory_is_a_link(tmp_path: Path) -> None:
    with state_root() as root:
        root.spool.parent.mkdir(parents=True)
        root.spool.symlink_to(tmp_path)
        said = refusal_to_start(root)
        assert str(root.spool) in said
        assert "symbolic link" in said
        assert list(tmp_path.iterdir()) == []


def test_spool_directory_of_others() -> None:
    with state_root() as root:
        root.spool.mkdir(parents=True)
        root.spool.chmod(0o777)
        assert "chmod" in refusal_to_start(root)


@pytest.mark.parametrize("made", [True, False], ids=["there", "missing"])
def test_spool_directory_that_can_not_be_written(made: bool) -> None:
    needs_root()
    if subprocess.run([BIN / "telemd", "-V"], user=NOBODY, capture_output=True, timeout=TIMEOUT_S).returncode != 0:
        pytest.skip("needs a checkout that other users can read")
    with state_root() as root:
        (root.spool if made else root.spool.parent).mkdir(parents=True)
        root.hand_to(NOBODY)
        for each in (root.spool, root.spool.parent):
            if each.exists():
                each.chmod(0o755)
                os.chown(each, 0, 0)
        said = refusal_to_start(root, user=NOBODY)
        assert str(root.spool) in said
        assert "user" in said


# ---- sockets ----


def test_a_second_telemd_leaves_the_first_alone() -> None:
    with state_root() as root, running(root) as telemd:
        assert send(root, 1).verdict == DURABLE
        assert "another telemd" in refusal_to_start(root)
        assert send(root, 2).verdict == DURABLE
        assert telemd.ask("ping")["ok"]


def test_a_second_telemd_on_the_same_sockets_alone() -> None:
    with state_root(opted_in=False) as root, running(root) as telemd:
        assert "another telemd listens" in refusal_to_start(root)
        assert send(root, 1).reason == NOT_OPTED_IN
        assert telemd.ask("ping")["ok"]


def test_a_second_telemd_on_the_same_spool_alone() -> None:
    with state_root() as root, state_root(spool_dir=str(root.spool)) as other, running(root):
        assert "another telemd" in refusal_to_start(other)
        assert not other.socket5.exists()
        assert send(root, 1).verdict == DURABLE


def test_sockets_that_a_killed_one_left() -> None:
    with state_root() as root:
        with running(root) as telemd:
            telemd.kill()
        assert root.socket5.is_socket()
        with running(root):
            assert send(root, 1).verdict == DURABLE


@pytest.mark.parametrize("name", ["socket5", "socket4", "control"])
def test_what_is_no_socket_is_not_removed(name: str) -> None:
    with state_root() as root:
        path: Path = getattr(root, name)
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        said = refusal_to_start(root)
        assert str(path) in said
        assert "move it" in said
        assert path.read_text() == "mine"
        assert [each for each in (root.socket5, root.socket4, root.control) if each.is_socket()] == []


def test_socket_path_that_is_too_long() -> None:
    with state_root(opted_in=False) as root:
        root.config_file.write_text(f'[settings]\nstate_root = "{root.path}/{"x" * 100}"\n')
        said = refusal_to_start(root)
        assert f"{root.config_file}:2" in said
        assert "shorter" in said


def test_sockets_are_for_all_and_control_is_for_the_owner() -> None:
    with state_root() as root, running(root):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root.socket5, root.socket4, root.control)}
        assert modes == {"telemd.sock": 0o666, "telem-0": 0o666, "control.sock": 0o600}


def test_control_socket_and_nonsense() -> None:
    with state_root() as root, running(root) as telemd:
        for asked in (b"\n", b"[]\n", b'{"verb": 1}\n', b'{"verb": "none"}\n', b"\xff\n", b"[" * 4000 + b"\n"):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.settimeout(TIMEOUT_S)
                asking.connect(str(root.control))
                asking.sendall(asked)
                with asking.makefile("rb") as answer:
                    assert b'"ok": false' in answer.readline()
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(TIMEOUT_S)
            asking.connect(str(root.control))  # asks nothing: it is sent away after a while
            assert asking.recv(1) == b""
        assert telemd.ask("ping")["ok"]
