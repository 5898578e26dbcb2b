# SPDX-License-Identifier: Apache-2.0
"""The Debian package: installing starts nothing, upgrading loses nothing, purging leaves nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from booted import Machine, wait_until
from installing import TARGET, UNITS
from sending import account, connected, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installing import Packages

# What apt, journald and other services of the machine change while it runs.
OTHERS = (
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/var/cache",
    "/var/lib/dpkg",
    "/var/log",
    "/var/lib/systemd",
    "/opt",
)
REWRITTEN = (
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/etc/ld.so.cache",
)


def entries(machine: Machine) -> set[str]:
    """Every path that was made on the machine's own disk, and what was taken away from it (whiteouts)."""

    def walk(folder: Path, inside: str) -> Iterator[str]:
        for each in os.scandir(folder):
            path = f"{inside}/{each.name}"
            if path in OTHERS or path in REWRITTEN or path.rstrip("-") in REWRITTEN:
                continue
            kind = each.stat(follow_symlinks=False)
            if each.is_dir(follow_symlinks=False):
                yield from walk(Path(each.path), path)
            else:
                yield f"{path} {'gone' if stat.S_ISCHR(kind.st_mode) else 'there'}"

    return set(walk(machine.changes(), ""))


def own_logs(machine: Machine) -> list[Path]:
    return list(machine.path("/var/log").glob("telemetry*"))


def test_installing_starts_nothing_and_stores_nothing(installed: Machine) -> None:
    assert {installed.state(unit) for unit in UNITS} == {"inactive"}
    assert installed.systemctl("is-enabled", TARGET, good=None) == "disabled"
    assert not installed.path("/run/telem-0").exists()
    assert not installed.path("/run/telemetry/telemd.sock").exists()
    assert list(installed.path("/var/spool/telemetry").iterdir()) == []
    assert installed.run("hprobe", good=None).returncode != 0
    assert list(installed.path("/var/spool/telemetry").iterdir()) == []


def test_programs_start_isolated_and_compiled(installed: Machine) -> None:
    for program in ("hprobe", "telem-record-gen", "telemctl", "telemd", "telemd-courier"):
        assert installed.run("head", "-1", f"/usr/bin/{program}").stdout == "#!/usr/bin/python3 -IS\n"
        assert installed.run(program, "--help").stdout
    assert list(installed.path("/usr/lib/python3/dist-packages/telemd/__pycache__").glob("daemon.*.pyc"))


def test_a_c_program_links_to_the_library(installed: Machine) -> None:
    assert "libtelemetry.so.4" in installed.run("ldconfig", "-p").stdout


def test_upgrading_keeps_records_and_goes_on(installed: Machine, packages: Packages) -> None:
    installed.run("telemctl", "opt-in")
    assert send(installed, range(20)) == list(range(20))
    before = installed.main_pid("telemd.service")
    with connected(installed):
        installed.run("dpkg", "--install", packages.newer, timeout_s=120)
    wait_until(lambda: installed.state("telemd.service") == "active", "telemd runs")
    assert installed.main_pid("telemd.service") != before
    assert account(installed)["pending"] == 20
    assert send(installed, range(20, 25)) == list(range(20, 25))
    assert installed.systemctl("is-enabled", TARGET) == "enabled"
    assert not installed.path("/etc/telemetrics/replaced-units").exists()


def test_upgrading_does_not_enable_what_the_owner_has_disabled(installed: Machine, packages: Packages) -> None:
    installed.run("telemctl", "opt-in")
    installed.run("telemctl", "stop")
    installed.systemctl("disable", TARGET)
    installed.run("dpkg", "--install", packages.newer, timeout_s=120)
    assert {installed.state(unit) for unit in UNITS} == {"inactive"}
    assert installed.systemctl("is-enabled", TARGET, good=None) == "disabled"
    assert not installed.path("/run/telemetrics-stays-off").exists()


def test_upgrading_where_nobody_opted_in_starts_nothing(installed: Machine, packages: Packages) -> None:
    installed.run("dpkg", "--install", packages.newer, timeout_s=120)
    assert {installed.state(unit) for unit in UNITS} == {"inactive"}


def test_removing_keeps_records_and_installing_again_goes_on(installed: Machine, packages: Packages) -> None:
    installed.run("telemctl", "opt-in")
    assert send(installed, range(7)) == list(range(7))
    installed.run("dpkg", "--remove", "telemetrics")
    assert not installed.path("/run/telem-0").exists()
    assert not installed.path("/run/telemetry/telemd.sock").exists()
    assert list(installed.path("/var/spool/telemetry").iterdir()) == []  # another program's garden from now on
    assert not installed.systemctl("list-units", "--all", "--plain", "--no-legend", "telem*", "hprobe*")
    installed.run("dpkg", "--install", packages.current, timeout_s=120)
    assert account(installed)["pending"] == 7
    assert not installed.path("/var/lib/telemetry/spool").exists()


def test_purging_leaves_nothing(system: Machine, packages: Packages) -> None:
    system.run("dpkg", "--purge", "telemetrics", good=None)
    before = entries(system)
    system.run("dpkg", "--install", packages.current, timeout_s=120)
    system.run("telemctl", "opt-in")
    assert send(system, range(3)) == [0, 1, 2]
    system.systemctl("start", "hprobe.service")
    system.run("dpkg", "--purge", "telemetrics")
    assert entries(system) - before == set()
    modules = system.path("/usr/lib/python3/dist-packages")
    assert not [name for name in ("telemd", "libtelemetry", "telemetry_probes") if (modules / name).exists()]
    assert own_logs(system) == []
    assert system.run("getent", "passwd", "telemetry", good=None).stdout == ""
    assert not list(system.path("/run").glob("telem*"))
    assert not list(system.path("/var/lib/systemd/timers").glob("*hprobe*"))
    assert not system.systemctl("list-units", "--all", "--plain", "--no-legend", "telem*", "hprobe*")
