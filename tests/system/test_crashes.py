# SPDX-License-Identifier: Apache-2.0
"""Services of a booted systemd crash, and the real kernel calls the handler for each.

The machine has namespaces of its own: to the handler, which the kernel starts among the host's processes, its services
are those of a container. Their files are found below their own root, their unit by their control group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import corpus
import kernelcalls
import pytest

if TYPE_CHECKING:
    from booted import Machine

PROGRAMS = {
    "go_nil": ["main.faulting", "main.middle", "main.main"],
    "rust_fault": ["panics::inner::writing", "panics::middle", "panics::main"],
    "python_abort": ["aborting", "Reader.middle", "main", "<module>"],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_service_s_crash_is_reported_with_its_unit_and_names(system: Machine, name: str) -> None:
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
    with kernelcalls.handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        system.systemctl("start", unit)
        report = handled.report()
        system.wait_state(unit, "failed")
    assert system.shown(unit, "Result") == "core-dump"
    system.systemctl("reset-failed")
    assert report.json["unit"] == unit
    assert report.json["inner_pid"] < report.json["pid"]
    assert report.json["signal"]["name"] == program.expect.signal
    rest = iter(report.functions)
    assert all(any(found == wanted for found in rest) for wanted in PROGRAMS[name]), report.functions
