# SPDX-License-Identifier: Apache-2.0
"""telemctl opt-in makes it run, opt-out stops all of it and deletes what was stored; each as often as one likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from installing import TARGET, UNITS
from records import record_id
from sending import Hub, configure, send

if TYPE_CHECKING:
    from booted import Machine


def states(machine: Machine) -> set[str]:
    return {machine.state(unit) for unit in UNITS}


def stored(machine: Machine) -> list[str]:
    script = "find /var/spool/telemetry /var/log/telemetry -type f; ls /var/lib/telemetry/unfinished 2>/dev/null || :"
    return machine.shell(script).split()


def test_opting_in_runs_it_now_and_at_the_next_boot(installed: Machine) -> None:
    for _ in range(2):
        installed.run("telemctl", "opt-in")
        assert states(installed) == {"active"}
        assert installed.systemctl("is-enabled", TARGET) == "enabled"
    assert send(installed, [1]) == [1]
    installed.shut_down()
    installed.boot()
    assert {installed.state(unit) for unit in UNITS if unit != "telemd.service"} == {"active"}
    assert send(installed, [2]) == [2]


def test_opting_in_again_repairs_what_was_stopped(installed: Machine) -> None:
    installed.run("telemctl", "opt-in")
    installed.systemctl("stop", "telemd.socket", "telemd.path", "telemd.service")
    installed.systemctl("disable", TARGET)
    installed.run("telemctl", "opt-in")
    assert states(installed) == {"active"}
    assert installed.systemctl("is-enabled", TARGET) == "enabled"


def test_opting_out_stops_all_and_deletes_what_was_stored(installed: Machine, hub: Hub) -> None:
    hub.stop()
    configure(installed, server=f"{hub.url}/", record_retention_enabled=True)
    installed.run("telemctl", "opt-in")
    assert send(installed, range(10)) == list(range(10))
    installed.systemctl("start", "hprobe.service")
    for _ in range(2):
        installed.run("telemctl", "opt-out")
        assert states(installed) == {"inactive"}
        assert installed.systemctl("is-enabled", TARGET, good=None) == "disabled"
        assert stored(installed) == []
        assert not installed.path("/run/telem-0").exists()
        assert not installed.systemctl("list-units", "--plain", "--no-legend", "telemd*", "hprobe*")
    installed.shut_down()
    installed.boot()
    assert states(installed) == {"inactive"}


def test_stop_and_start_keep_what_is_stored(installed: Machine) -> None:
    configure(installed)
    installed.run("telemctl", "opt-in")
    assert send(installed, range(4)) == list(range(4))
    installed.run("telemctl", "stop")
    assert states(installed) == {"inactive"}
    assert installed.run("telemctl", "is-active", good=(3,)).stdout == "inactive\n"
    installed.run("telemctl", "start")
    assert states(installed) == {"active"}
    assert installed.run("telemctl", "is-active").stdout == "active\n"
    listed = installed.run("telemctl", "spool", "list").stdout
    assert [number for number in range(4) if record_id(number).hex() not in listed] == []


def test_start_without_consent_starts_nothing(installed: Machine) -> None:
    assert installed.run("telemctl", "start", good=None).returncode == 1
    installed.systemctl("start", TARGET, "telemd.service", "telemd.socket")
    assert states(installed) == {"inactive"}
