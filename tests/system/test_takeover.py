# SPDX-License-Identifier: Apache-2.0
"""From telemetrics-client and back: what it had goes on here, and going back loses nothing that was acknowledged."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import original
import pytest
from booted import wait_until
from installing import TARGET
from sending import Hub, account, configure, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine
    from installing import Packages

STATIC_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="session")
def client(system: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its package, in the machine."""
    inside = system.path("/opt/original")
    inside.mkdir(parents=True)
    made = original.package(tmp_path_factory.mktemp("original"))
    shutil.copy(made, inside)
    return f"/opt/original/{made.name}"


@pytest.fixture
def without(system: Machine, packages: Packages) -> Iterator[Machine]:
    """Neither of the two is installed; and so it is left."""

    def remove() -> None:
        system.run("dpkg", "--purge", "telemetrics", "telemetrics-client", good=None)
        for folder in ("/etc/telemetrics", "/var/spool/telemetry", "/var/lib/telemetry", "/var/log/telemetry"):
            shutil.rmtree(system.path(folder), ignore_errors=True)
        names = " ".join(f"/etc/systemd/system/*/{unit} /etc/systemd/system/{unit}" for unit in original.UNITS)
        system.shell(
            f"systemctl stop {' '.join(original.UNITS)} 2>/dev/null || :; rm -f {names}; systemctl daemon-reload"
        )

    remove()
    yield system
    remove()


def records(hub: Hub, machine: Machine) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        machine.run("curl", "--silent", "--fail", f"{hub.url}/api/v1/records?limit=1000").stdout
    )["records"]
    return found


def test_what_it_had_goes_on(without: Machine, packages: Packages, client: str, hub: Hub) -> None:
    machine = without
    machine.run("dpkg", "--install", client)
    machine.systemctl("stop", "telempostd.path", "telempostd.service")  # the stand-in delivers nothing, and spins
    original.lives(machine, f"{hub.url}/", 12)
    machine.systemctl("start", "telemprobd.service")

    machine.run("dpkg", "--install", packages.current, timeout_s=120)

    assert machine.run("dpkg-query", "-W", "-f", "${Status}", "telemetrics-client", good=None).stdout.split()[-1:] != [
        "installed"
    ]
    assert {machine.state(unit) for unit in original.UNITS} <= {"inactive", "failed"}
    assert machine.state("telemd.service") == "active"
    assert machine.systemctl("is-enabled", TARGET) == "enabled"
    wait_until(lambda: len(records(hub, machine)) == 12, "its records arrive")
    assert {str(each["classification"]) for each in records(hub, machine)} == {"org.test/old/record"}
    assert send(machine, [1]) == [1]
    hub.wait_for([1])
    assert STATIC_ID in machine.run("telemctl", "id", "show").stdout
    wait_until(lambda: "org.test/unit/record" in machine.run("telemctl", "journal").stdout, "the journal goes on")
    assert "org.test/old/sent" in machine.run("telemctl", "journal").stdout
    assert machine.path(f"/var/log/telemetry/records/{original.JOURNAL_ID}").read_text() == "kept copy"
    assert f"{hub.url}/" in machine.run("telemctl", "status").stdout


def test_its_machine_id_goes_on(without: Machine, packages: Packages, client: str, hub: Hub) -> None:
    machine = without
    machine.run("dpkg", "--install", client)
    original.lives(machine, f"{hub.url}/", 1)
    machine.path("/etc/telemetrics/opt-in-static-machine-id").unlink()

    machine.run("dpkg", "--install", packages.current, timeout_s=120)

    assert send(machine, [1]) == [1]
    hub.wait_for([1])
    assert {each["machine_id"] for each in records(hub, machine)} == {original.MACHINE_ID}
    assert machine.run("telemctl", "id", "show").stdout.startswith(f"{original.MACHINE_ID}  until ")
    machine.run("telemctl", "id", "rotate")
    shown = json.loads(machine.run("telemctl", "id", "show", "--past", "3", "--json").stdout)
    assert shown["machine_id"] != original.MACHINE_ID
    assert shown["past"][0] == original.MACHINE_ID


def test_one_that_no_package_manager_knows_is_stopped_and_masked(
    without: Machine, packages: Packages, client: str
) -> None:
    machine = without
    machine.shell(f"dpkg-deb -x {client} /opt/tree; cp /opt/tree/usr/lib/systemd/system/* /usr/lib/systemd/system/")
    machine.shell("cp /opt/tree/usr/bin/telemp* /usr/bin; useradd --system telemetry; systemctl daemon-reload")
    try:
        machine.systemctl("start", "telemprobd.socket", "telemprobd.service")
        machine.run("dpkg", "--install", packages.current, timeout_s=120)
        said = json.loads(machine.run("telemctl", "opt-in", "--json").stdout)
        assert said["ok"]
        assert [each for each in said["messages"] if "telemprobd.socket" in each and "\n" not in each]
        assert {machine.shown(unit, "LoadState") for unit in original.UNITS} == {"masked"}
        assert {machine.state(unit) for unit in original.UNITS} <= {"inactive", "failed"}
        assert send(machine, [1]) == [1]
        machine.systemctl("stop", "telemd.service", "telemd.path")
        machine.shell("python3 -c 'import socket; s = socket.socket(1); s.connect(\"/run/telem-0\")'")
        machine.wait_state("telemd.service", "active")  # the socket is ours
        assert "telemprobd" not in machine.run("telemctl", "opt-in").stdout

        machine.run("dpkg", "--remove", "telemetrics")
        assert {machine.shown(unit, "LoadState") for unit in original.UNITS} == {"loaded"}
    finally:
        machine.shell("rm -f /usr/lib/systemd/system/telemp* /usr/bin/telemp*; systemctl daemon-reload")


def test_going_back_loses_nothing_that_was_acknowledged(
    without: Machine, packages: Packages, client: str, hub: Hub
) -> None:
    machine = without
    hub.stop()
    machine.run("dpkg", "--install", packages.current, timeout_s=120)
    configure(machine, server=f"{hub.url}/", retry_max_s=1)
    machine.run("telemctl", "opt-in")
    assert send(machine, range(25)) == list(range(25))

    machine.run("dpkg", "--remove", "telemetrics")
    machine.run("dpkg", "--install", client)
    machine.write("/var/spool/telemetry/foreign", "what it can't read")
    machine.systemctl("start", "telempostd.service")
    wait_until(lambda: not machine.path("/var/spool/telemetry/foreign").exists(), "it has gone through its spool")
    machine.write("/var/spool/telemetry/000001", original.RECORD.format(created_s=1_700_000_000, payload="x\n"))
    machine.shell("chown telemetry:telemetry /var/spool/telemetry/000001")

    machine.run("dpkg", "--install", packages.current, timeout_s=120)
    assert account(machine)["admitted"] >= 25
    hub.start()
    hub.wait_for(range(25))
    wait_until(lambda: len(records(hub, machine)) == 26, "what it had collected meanwhile arrives, too")
