# SPDX-License-Identifier: Apache-2.0
"""`make install` on a running system: works from /usr/local as from a package, and `make uninstall` takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernelcalls
from installing import UNITS, configured, install_py
from sending import account, configure, send

from bench.corepattern import LIMIT, PATTERN

if TYPE_CHECKING:
    from booted import Machine

BUILD = "/opt/build"


def below_local(machine: Machine) -> set[str]:
    return set(machine.shell("find /usr/local ! -type d").splitlines())


def test_it_runs_and_goes_without_a_trace(bare: Machine) -> None:
    before = below_local(bare)
    configured(bare, BUILD, "/usr/bin/python3")
    install_py(bare, "install", BUILD)
    assert {bare.state(unit) for unit in UNITS} == {"inactive"}
    assert bare.shown("telemd.service", "FragmentPath") == "/usr/local/lib/systemd/system/telemd.service"
    assert any("telemd/__pycache__/daemon." in path for path in below_local(bare))

    configure(bare)
    bare.run("telemctl", "opt-in")
    assert {bare.state(unit) for unit in UNITS} == {"active"}
    assert send(bare, range(5)) == list(range(5))
    bare.run("hprobe")
    assert account(bare)["pending"] == 6

    with kernelcalls.alone():
        as_before = PATTERN.read_text(), LIMIT.read_text()
        bare.run("telemctl", "crash", "enable")
        assert PATTERN.read_text().startswith("|/usr/local/libexec/")
        install_py(bare, "uninstall", BUILD)
        assert (PATTERN.read_text(), LIMIT.read_text()) == as_before
        assert not list(bare.path("/etc/sysctl.d").glob("*telemetrics*"))
    assert below_local(bare) == before
    assert not bare.systemctl(
        "list-units", "--all", "--plain", "--no-legend", "telemd*", "hprobe*", "telemetrics.target"
    )
    assert not bare.path("/etc/systemd/system/multi-user.target.wants/telemetrics.target").is_symlink()
    assert not bare.path("/run/telem-0").exists()
    assert list(bare.path("/var/spool/telemetry").glob("*.seg"))  # what was acknowledged stays
