# SPDX-License-Identifier: Apache-2.0
"""Services of a booted systemd crash, and the real kernel calls the handler for each.

The machine has namespaces of its own: to the handler, which the kernel starts among the host's processes, its services
are those of a container. Their files are found below their own root, their unit by their control group.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import corpus
import kernelcalls
import pytest
from booted import wait_until

from bench.corepattern import LIMIT, PATTERN
from telemetry_probes import eventid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine

BOOT = Path("/proc/sys/kernel/random/boot_id")
PROGRAMS = {
    "go_nil": ["main.faulting", "main.middle", "main.main"],
    "rust_fault": ["panics::inner::writing", "panics::middle", "panics::main"],
    "python_abort": ["aborting", "Reader.middle", "main", "<module>"],
}


@pytest.mark.parametrize(("name", "lifted"), [*((name, True) for name in PROGRAMS), ("go_nil", False)])
def test_a_service_s_crash_is_reported_with_its_unit_and_names(system: Machine, name: str, lifted: bool) -> None:
    """And the journal has its pid, so that the failure of the unit is known for the same event."""
    program = next(each for each in corpus.programs() if each.name == name)
    case = corpus.core(program)
    folder, unit = f"/opt/dies/{name}", f"dies-{name.replace('_', '-')}.service"
    python = program.compiler == "python"
    source = program.source if python else case.executable
    target = f"{folder}/{source.name if python else name}"
    inside = system.path(target)
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_bytes(source.read_bytes())
    inside.chmod(0o755)
    command = " ".join([*(["/usr/bin/python3", "-I"] if python else []), target, *program.arguments])
    environment = [f"Environment={pair}" for pair in program.environment]
    lines = ["[Service]", "Type=exec", f"ExecStart={command}", "LimitCORE=infinity", *environment, ""]
    system.write(f"/run/systemd/system/{unit}", "\n".join(lines))
    system.systemctl("daemon-reload")
    with kernelcalls.handling() as handled, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(handled.folder / "journal"))
        (handled.folder / "journal").chmod(0o666)
        journal.settimeout(kernelcalls.WAIT_S)
        telling = f"from telemetry_probes.crash import faults\nfaults.JOURNAL = {journal.getsockname()!r}\n"
        handled.launcher.write_text(kernelcalls.launcher(telling))
        if lifted:
            handled.say("opt-in-no-privacy-filters")
        system.systemctl("start", unit)
        report = handled.report()
        said = dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines())
        system.wait_state(unit, "failed")
    assert system.shown(unit, "Result") == "core-dump"
    inner_pid = int(system.shown(unit, "ExecMainPID"))
    system.systemctl("reset-failed")
    assert said["TELEMETRICS_CRASH_UNIT"] == unit
    assert eventid.of_crash(BOOT.read_text(), int(said["TELEMETRICS_CRASH_PID"])) == report.record.event_id
    if not lifted:
        assert report.classification == "org.clearlinux/crash/unknown"
        return
    assert report.json["unit"] == unit
    assert report.json["inner_pid"] == inner_pid
    assert report.json["signal"]["name"] == program.expect.signal
    rest = iter(report.functions)
    assert all(any(found == wanted for found in rest) for wanted in PROGRAMS[name]), report.functions


def test_telemd_s_own_crash_is_left_for_it_without_asking_it(running: Machine) -> None:
    """Somebody listens where telemd should be, and nobody comes."""
    with kernelcalls.handling() as handled, socket.socket(socket.AF_UNIX) as telemd:
        folder = handled.root / "run/telemetry"
        folder.mkdir(parents=True)
        telemd.bind(str(folder / "telemd.sock"))
        (folder / "telemd.sock").chmod(0o666)
        telemd.listen()
        telemd.setblocking(False)
        before = running.main_pid("telemd.service")
        running.signal("telemd.service", "SEGV")
        report = handled.report()
        with pytest.raises(BlockingIOError):
            telemd.accept()
    assert report.json["unit"] == "telemd.service"
    assert report.json["process"] == "telemd"
    assert report.classification == "org.clearlinux/crash/clr"
    assert any(frame.get("kind") == "python" for frame in report.json["stacks"][0]["frames"])
    wait_until(lambda: running.main_pid("telemd.service") not in (0, before), "telemd is there again")


SYSTEMD_S = "/usr/lib/sysctl.d/50-coredump.conf"
OURS = "/etc/sysctl.d/60-telemetrics-crash.conf"
OTHER = "|/lib/systemd/systemd-coredump %P"
SYSCTL = "/etc/systemd/system/systemd-sysctl.service"


@pytest.fixture(name="booting")
def _booting(installed: Machine) -> Iterator[Machine]:
    """Its boot sets core_pattern, and nothing else of the kernel, which is the real one."""
    only = "--prefix=/kernel/core_pattern --prefix=/kernel/core_pipe_limit"
    with kernelcalls.alone():
        LIMIT.write_text("0")
        installed.path(SYSCTL).unlink()  # elsewhere it doesn't run
        installed.write(
            f"{SYSCTL}.d/test.conf", f"[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-sysctl {only}\n"
        )
        installed.write(SYSTEMD_S, f"kernel.core_pattern={OTHER}\n")
        yield installed
        installed.path(SYSTEMD_S).unlink()
        installed.path(f"{SYSCTL}.d/test.conf").unlink()
        installed.path(SYSCTL).symlink_to("/dev/null")
        installed.systemctl("daemon-reload")


def boot_again(machine: Machine) -> None:
    """And the kernel has forgotten all settings, as a real one has."""
    machine.shut_down()
    PATTERN.write_text("core")
    LIMIT.write_text("0")
    machine.boot()


def test_enabled_it_is_after_a_boot_and_removed_it_is_gone(booting: Machine) -> None:
    """systemd-coredump's file is there, too, and comes before ours."""
    booting.run("telemctl", "opt-in")
    booting.run("telemctl", "crash", "enable")
    ours = PATTERN.read_text()
    assert ours.startswith("|/usr/libexec/crashgate -k %P ")
    boot_again(booting)
    assert (PATTERN.read_text(), LIMIT.read_text()) == (ours, "16\n")
    told = json.loads(booting.run("telemctl", "crash", "status", "--json").stdout)
    assert (told["enabled"], told["at_boot"]) == (True, True)
    program = ours[1:].partition(" ")[0]
    assert booting.path(program).exists()

    booting.run("dpkg", "--remove", "telemetrics")
    assert (PATTERN.read_text(), LIMIT.read_text()) == ("core\n", "0\n")
    assert not booting.path(program).exists()
    assert not booting.path(OURS).exists()
    boot_again(booting)
    assert PATTERN.read_text() == f"{OTHER}\n"


def test_opting_out_holds_after_a_boot_too(booting: Machine) -> None:
    booting.run("telemctl", "opt-in")
    booting.run("telemctl", "crash", "enable")
    booting.run("telemctl", "opt-out")
    assert PATTERN.read_text() == "core\n"
    boot_again(booting)
    assert PATTERN.read_text() == f"{OTHER}\n"
