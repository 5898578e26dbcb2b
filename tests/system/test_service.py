# SPDX-License-Identifier: Apache-2.0
"""telemd as systemd runs it: started by who sends, gone when idle, back where something waits, killed when it hangs."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from booted import wait_until
from sending import WATCHDOG_S, Hub, account, configure, connected, hang, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine

TELEMD = "telemd.service"
UNFINISHED = "/var/lib/telemetry/unfinished"
SPIN_S = 7.0
"""systemd's own limit of starts ends a unit that spins within 6 s."""


def ready_count(machine: Machine, since: str) -> int:
    return sum("is ready at" in line for line in machine.journal(since, unit=TELEMD))


def settings(machine: Machine, **values: str | int | bool) -> None:
    configure(machine, **values)
    machine.run("telemctl", "restart")


# ---- coming and going ----


def test_a_connection_starts_it(running: Machine) -> None:
    running.systemctl("stop", TELEMD, "telemd.path")
    assert running.state(TELEMD) == "inactive"
    assert running.state("telemd.socket") == "active"
    assert send(running, [1]) == [1]
    assert running.state(TELEMD) == "active"


def test_an_older_program_starts_it_too(running: Machine) -> None:
    running.systemctl("stop", TELEMD, "telemd.path")
    running.shell("printf x | timeout 60 python3 -c 'import socket; s = socket.socket(1); s.connect(\"/run/telem-0\")'")
    running.wait_state(TELEMD, "active")


def test_it_leaves_when_idle_and_comes_back(running: Machine) -> None:
    settings(running, idle_exit_s=1)
    assert send(running, [1]) == [1]
    running.wait_state(TELEMD, "inactive")
    since = running.cursor()
    assert running.shown(TELEMD, "Result") == "success"
    assert not running.path(UNFINISHED).exists()
    time.sleep(SPIN_S)  # nobody may start it meanwhile; there is nothing to wait for
    assert ready_count(running, since) == 0
    assert send(running, [2, 3]) == [2, 3]
    assert account(running)["pending"] == 3


def test_it_stays_while_the_server_is_away(running: Machine) -> None:
    settings(running, idle_exit_s=1, retry_max_s=1, server="http://127.0.0.1:9/")
    assert send(running, range(5)) == list(range(5))
    since = running.cursor()
    before = running.main_pid(TELEMD)
    time.sleep(SPIN_S)  # it would have gone, or been started again, by then
    assert running.main_pid(TELEMD) == before
    assert ready_count(running, since) == 0
    assert running.path(UNFINISHED).exists()
    assert running.starts("telemd-courier.socket", since) == 0
    assert running.state("telemd-courier.socket") == "active"


@pytest.fixture
def wrong(running: Machine) -> Iterator[Machine]:
    """Stopped, and its configuration has a mistake."""
    running.systemctl("stop", TELEMD, "telemd.path")
    running.write("/etc/telemetrics/telemetrics.conf", "[settings]\nrecord_expiry = 0\n")
    yield running
    configure(running)


def test_with_a_wrong_configuration_it_is_tried_again_but_does_not_spin(wrong: Machine) -> None:
    wrong.path(UNFINISHED).touch()
    since = wrong.cursor()
    wrong.systemctl("start", "telemd.path")
    with connected(wrong):
        wrong.wait_journal("record_expiry", since, unit=TELEMD)
        time.sleep(SPIN_S)  # the time in which a spin would have come to its end
        assert len([line for line in wrong.journal(since, unit=TELEMD) if "record_expiry" in line]) <= 3
        assert {wrong.state(unit) for unit in ("telemd.socket", "telemd.path")} == {"active"}
    configure(wrong)
    wrong.wait_state(TELEMD, "active")
    assert send(wrong, [1]) == [1]


def test_without_consent_a_connection_starts_nothing_for_long(running: Machine) -> None:
    running.systemctl("stop", TELEMD, "telemd.path")
    running.path("/etc/telemetrics/opt-in").unlink()
    since = running.cursor()
    with connected(running):
        running.wait_state("telemd.socket", "failed")  # systemd's trigger limit: not for ever
    assert ready_count(running, since) == 0


# ---- what is acknowledged stays ----


def test_a_reboot_leaves_work_that_is_done_by_itself(running: Machine, hub: Hub) -> None:
    hub.stop()
    settings(running, server=f"{hub.url}/", retry_max_s=1)
    assert send(running, range(30)) == list(range(30))
    running.cut_power()
    running.boot()
    hub.start()
    running.wait_state(TELEMD, "active")  # nobody has sent anything
    hub.wait_for(range(30))


def test_after_an_orderly_reboot_with_nothing_to_do_it_is_not_started(running: Machine) -> None:
    settings(running, idle_exit_s=1)
    running.wait_state(TELEMD, "inactive")
    running.shut_down()
    running.boot()
    assert running.state("telemd.socket") == "active"
    assert running.state("telemd.path") == "active"
    assert running.state(TELEMD) == "inactive"
    assert send(running, [1]) == [1]


def test_a_kill_is_followed_by_a_start(running: Machine) -> None:
    assert send(running, range(50)) == list(range(50))
    before = running.main_pid(TELEMD)
    running.signal(TELEMD, "KILL")
    wait_until(lambda: running.main_pid(TELEMD) not in (0, before), "systemd has started it anew")
    running.wait_state(TELEMD, "active")
    assert account(running)["pending"] == 50


def test_one_that_hangs_is_killed_by_the_watchdog(running: Machine) -> None:
    running.drop_in(TELEMD, f"WatchdogSec={WATCHDOG_S}", "RestartSec=1")
    running.run("telemctl", "restart")
    assert send(running, range(40)) == list(range(40))
    assert hang(running, TELEMD) >= 1
    running.wait_state(TELEMD, "active")
    assert account(running)["pending"] == 40
    assert send(running, [40]) == [40]


def stopped_s(running: Machine) -> float:
    """How long a stop took, while others send, and start it again."""
    running.wait_state(TELEMD, "active")
    enough = account(running)["admitted"] + 3
    wait_until(lambda: account(running)["admitted"] > enough, "the load has begun")
    begun_s = time.monotonic()
    running.systemctl("stop", TELEMD)
    return time.monotonic() - begun_s


def test_a_stop_under_load_takes_less_than_two_seconds(running: Machine) -> None:
    script = "while telem-record-gen -c org.test/system/load -s 1 -p load; do :; done"
    running.run("systemd-run", "--quiet", "--unit=load", "sh", "-c", script)
    took_s = [stopped_s(running) for _ in range(3)]
    with contextlib.suppress(AssertionError):
        running.systemctl("stop", "load.service", good=(0, 5))
    assert min(took_s) < 2, took_s  # what others on this machine add is not telemd's
    assert running.shown(TELEMD, "Result") == "success"


def test_a_full_disk_takes_nothing_it_cannot_keep(running: Machine) -> None:
    running.run("telemctl", "stop")
    running.run(
        "mount", "-t", "tmpfs", "-o", "size=3m,mode=700,uid=telemetry,gid=telemetry", "spool", "/var/spool/telemetry"
    )
    try:
        settings(running)  # its own limit is above the size of the disk
        durable = send(running, range(100), b"y" * 60_000)
        assert 0 < len(durable) < 100, account(running)
        found = account(running)
        assert found["refused"].get("no-space", 0) == 100 - len(durable)
        assert found["pending"] == len(durable)
        assert running.state(TELEMD) == "active"
        running.run("telemctl", "restart")
        assert account(running)["pending"] == len(durable)
        running.run("mount", "-o", "remount,size=8m", "/var/spool/telemetry")
        assert send(running, range(100, 110), b"y" * 60_000) == list(range(100, 110))
    finally:
        running.run("telemctl", "stop")
        running.run("umount", "/var/spool/telemetry")


# ---- configuration ----


def test_a_reload_takes_over_what_is_good(running: Machine) -> None:
    before = running.main_pid(TELEMD)
    configure(running, log_level="debug", server="http://127.0.0.1:9/")
    running.systemctl("reload", TELEMD)
    assert running.main_pid(TELEMD) == before
    wait_until(lambda: "127.0.0.1:9" in running.run("telemctl", "status").stdout, "the server is another one")


@pytest.mark.parametrize("way", ["reload", "SIGHUP"])
def test_a_reload_of_what_is_wrong_changes_nothing_and_says_so(running: Machine, way: str) -> None:
    since = running.cursor()
    before = running.main_pid(TELEMD)
    running.write("/etc/telemetrics/telemetrics.conf", "[settings]\nrecord_expiry = 0\n")
    if way == "reload":
        assert running.run("systemctl", "reload", TELEMD, good=None).returncode != 0
    else:
        running.signal(TELEMD, "HUP")
    running.wait_journal("record_expiry", since, unit=TELEMD)
    assert running.main_pid(TELEMD) == before
    configure(running)
    assert send(running, range(3)) == [0, 1, 2]
    assert account(running)["pending"] == 3
