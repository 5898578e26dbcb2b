# SPDX-License-Identifier: Apache-2.0
"""One booted machine for all tests of this folder, and the packages that are installed in it.

A test finds telemetrics installed and nobody opted in, and what it has changed is put back after it. Where no machine
can be had, tests fail and say why (booted.check): none is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from booted import Machine, machine
from installing import ROOT, Packages
from sending import Hub, configure

if TYPE_CHECKING:
    from collections.abc import Iterator

INSIDE = "/opt/packages"


def built(to: Path, version: str) -> dict[str, Path]:
    """By name."""
    command = [sys.executable, str(ROOT / "packaging/deb.py"), str(to), "--version", version]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return {Path(line).name.partition("_")[0]: Path(line) for line in done.stdout.split()}


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Booted; telemetrics isn't installed."""
    with machine(tmp_path_factory.mktemp("machine")) as booted:
        yield booted


@pytest.fixture(scope="session")
def packages(system: Machine, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """In the machine, built from the tree as it is now."""
    folder = tmp_path_factory.mktemp("packages")
    current, newer = built(folder, "0.1.0"), built(folder, "0.1.0+1")
    found = [current["telemetrics"], newer["telemetrics"], current["telemhub"]]
    inside = system.path(INSIDE)
    inside.mkdir(parents=True, exist_ok=True)
    for each in found:
        shutil.copy(each, inside)
    return Packages(*(f"{INSIDE}/{each.name}" for each in found))


@pytest.fixture
def bare(system: Machine) -> Iterator[Machine]:
    """telemetrics isn't installed, and what a test installs and stores without the package goes."""
    system.run("dpkg", "--purge", "telemetrics", good=None)
    yield system
    system.run("telemctl", "opt-out", good=None)
    system.shell("rm -rf /etc/telemetrics /var/spool/telemetry /var/lib/telemetry /var/log/telemetry")


@pytest.fixture
def installed(system: Machine, packages: Packages) -> Iterator[Machine]:
    """Installed; nobody is opted in, and there is no configuration."""
    if system.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "telemetrics", good=None).stdout != (
        "install ok installed 0.1.0"
    ):
        system.run("dpkg", "--purge", "telemetrics", good=None)
        system.run("dpkg", "--install", packages.current, timeout_s=120)
    yield system
    system.run("telemctl", "opt-out", good=None)
    for name in ("telemetrics.conf", "replaced-units"):
        system.path(f"/etc/telemetrics/{name}").unlink(missing_ok=True)
    if system.path("/run/systemd/system").exists():
        for folder in system.path("/run/systemd/system").glob("*.d"):
            shutil.rmtree(folder)
    system.systemctl("daemon-reload")
    system.systemctl("reset-failed")


@pytest.fixture
def running(installed: Machine) -> Machine:
    """Opted in, without a server; telemd runs. No limits of rate: they would defer what a test sends by minutes."""
    configure(installed)
    installed.run("telemctl", "opt-in")
    return installed


@pytest.fixture
def hub(system: Machine, packages: Packages) -> Iterator[Hub]:
    """It runs, and is empty."""
    if system.run("dpkg-query", "-W", "telemhub", good=None).returncode:
        system.run("dpkg", "--install", packages.hub, timeout_s=120)
    made = Hub(system)
    made.start()
    yield made
    made.stop()
    system.systemctl("clean", "--what=state", made.unit)
