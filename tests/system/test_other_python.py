# SPDX-License-Identifier: Apache-2.0
"""The services under another release of Python than the system's: installed for it, started by who sends, delivering,
stopped. Where there is no other one it is the system's, and the test's name says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import interpreters
import pytest
from booted import wait_until
from installing import configured, install_py
from sending import account, configure, connected, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine
    from sending import Hub

BUILD = "/opt/build-other"
OTHER = interpreters.other()
NAME = f"python{OTHER.release}" if OTHER is not None else "no other one is here"


@pytest.fixture
def python(bare: Machine) -> Iterator[str]:
    """Its path in the machine."""
    if OTHER is None:
        yield "/usr/bin/python3"
        return
    try:
        yield interpreters.put_into(bare, OTHER)
    finally:
        interpreters.take_out(bare)


@pytest.mark.parametrize("release", [pytest.param(OTHER.release if OTHER is not None else "", id=NAME)])
def test_it_starts_delivers_and_stops(bare: Machine, hub: Hub, python: str, release: str) -> None:
    machine = bare
    configured(machine, BUILD, python)
    install_py(machine, "install", BUILD)
    try:
        configure(machine, server=f"{hub.url}/")
        machine.run("telemctl", "opt-in")
        machine.systemctl("stop", "telemd.service", "telemd.path")
        assert machine.state("telemd.service") == "inactive"
        assert send(machine, range(20)) == list(range(20))  # its socket starts it
        pid = machine.main_pid("telemd.service")
        assert f"python{release}" in machine.run("readlink", f"/proc/{pid}/exe").stdout
        hub.wait_for(range(20))
        machine.systemctl("start", "hprobe.service")
        wait_until(lambda: account(machine)["delivered"] == 21, "hprobe's record is delivered, too")
        machine.systemctl("reload", "telemd.service")
        assert machine.main_pid("telemd.service") == pid
        with connected(machine):
            machine.run("telemctl", "stop")
        assert machine.shown("telemd.service", "Result") == "success"
        assert not machine.systemctl("--failed", "--plain", "--no-legend")
    finally:
        install_py(machine, "uninstall", BUILD)
