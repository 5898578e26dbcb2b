# SPDX-License-Identifier: Apache-2.0
"""journalprobe as systemd runs it, on the journal that journald writes: units that fail in each way there is, forgers,
and cores as systemd-coredump tells of them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from booted import TIMEOUT_S, wait_until
from sending import starts_after_a_hang

if TYPE_CHECKING:
    from booted import Machine

PROBE = "journalprobe.service"
FORGER = r"""
import socket
fields = {
    "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c", "UNIT": "forged.service", "UNIT_RESULT": "exit-code",
    "MESSAGE": "forged.service: Failed with result 'exit-code'.", "_PID": "1", "_UID": "0", "_TRANSPORT": "journal",
    "COREDUMP_PID": "1", "COREDUMP_EXE": "/usr/bin/forged", "_SYSTEMD_SLICE": "system-systemd\\x2dcoredump.slice",
}
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
    for message_id in (fields["MESSAGE_ID"], "fc2e22bc6ee647b6b90729ab34a250b1"):
        fields["MESSAGE_ID"] = message_id
        text = "".join(f"{name}={value}\n" for name, value in fields.items())
        journald.sendto(text.encode(), "/run/systemd/journal/socket")
"""

DUMPER = r"""
import socket
fields = {
    "MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1", "COREDUMP_PID": "4711", "COREDUMP_UID": "65534",
    "COREDUMP_EXE": "/usr/bin/sleep", "COREDUMP_COMM": "sleep", "COREDUMP_SIGNAL": "11", "COREDUMP_UNIT": "a.service",
    "COREDUMP_PROC_STATUS": "Uid:\t65534\t65534\t65534\t65534", "MESSAGE": "Process 4711 (sleep) dumped core.",
}
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
    fields["MESSAGE"] += "\n\nStack trace of thread 4711:\n#0  0x0000000000001010 nanosleep (libc.so.6 + 0x10)\n"
    fields["COREDUMP_PROC_MAPS"] = "1000-2000 r-xp 00000000 00:01 1 /usr/lib/libc.so.6\n"
    text = b""
    for name, value in fields.items():
        raw = value.encode()
        text += name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
    journald.sendto(text, "/run/systemd/journal/socket")
"""


@pytest.fixture
def machine(running: Machine) -> Machine:
    """In which it runs; in other tests it is masked."""
    running.systemctl("unmask", "--quiet", "--runtime", PROBE)
    running.systemctl("start", PROBE)
    return running


def waiting(machine: Machine) -> list[str]:
    """The ids of the records of the journal that telemd has."""
    listed = json.loads(machine.run("telemctl", "spool", "list", "--json").stdout)
    kinds = ("org.clearlinux/journal/", "org.clearlinux/crash/")
    return [record["id"] for record in listed if record["classification"].startswith(kinds)]


def told(machine: Machine) -> dict[str, dict[str, Any]]:
    """What is in them, by unit or program; each is there once."""
    found: dict[str, dict[str, Any]] = {}
    for record_id in waiting(machine):
        shown = json.loads(machine.run("telemctl", "spool", "show", "--json", "--payload", record_id).stdout)
        line = json.loads(base64.b64decode(shown["payload_base64"]).partition(b"\n")[0])
        name = line["unit"] if "kind" in line else line["process"]
        assert name not in found, (found[name], line)
        found[name] = {**line, "classification": shown["classification"]}
    return found


def failing(machine: Machine) -> None:
    """A unit for each way to fail."""
    for name, lines in {
        "ends": "ExecStart=/bin/sh -c 'echo my own words; exit 3'",
        "is-killed": "Type=oneshot\nExecStart=/bin/sh -c 'kill -9 $$$$'",
        "is-not-there": "ExecStart=/nonexistent/secret",
        "is-late": "Type=notify\nTimeoutStartSec=1\nExecStart=/bin/sleep 100",
        "flaps": "ExecStart=/bin/false\nRestart=always\nRestartSec=20ms\nStartLimitBurst=10",
        "serves@": "ExecStart=/bin/false",
    }.items():
        limit = "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=10\n" if name == "flaps" else ""
        text = lines.replace("\nStartLimitBurst=10", "")
        machine.write(f"/run/systemd/system/{name}.service", f"{limit}[Service]\n{text}\n")
    machine.systemctl("daemon-reload")
    names = ("ends", "is-killed", "is-not-there", "is-late", "flaps", "serves@alice")
    machine.systemctl("start", "--no-block", *(f"{name}.service" for name in names))
    machine.wait_state("flaps.service", "failed")
    machine.wait_state("is-late.service", "failed")


def test_what_fails_is_told_whoever_forges_and_whatever_is_rotated(machine: Machine) -> None:
    since = machine.cursor()
    machine.write("/opt/forge.py", FORGER)
    machine.write("/opt/dump.py", DUMPER)
    machine.shell("setpriv --reuid nobody --clear-groups python3 /opt/forge.py; python3 /opt/forge.py")
    machine.shell("logger -p user.err -i --id=1 \"sshd.service: Failed with result 'exit-code'.\"")
    failing(machine)
    machine.run("systemd-run", "--wait", "--unit=systemd-coredump@1", "--slice", r"system-systemd\x2dcoredump.slice",
                "--uid=nobody", "python3", "/opt/dump.py")  # fmt: skip
    machine.run("journalctl", "--rotate")
    machine.systemctl("kill", "--signal=KILL", PROBE)
    machine.systemctl("reset-failed", PROBE)
    machine.systemctl("start", PROBE)
    expected = {
        "ends.service", "is-killed.service", "is-not-there.service", "is-late.service", "flaps.service",
        "serves@.service", "sleep", PROBE,
    }  # fmt: skip
    wait_until(lambda: len(waiting(machine)) >= len(expected), f"{expected} are told", 2 * TIMEOUT_S)
    found = told(machine)
    assert found.keys() == expected

    assert found["ends.service"]["ends"] == [{"command": "ExecStart", "code": "exited", "status": 3, "count": 1}]
    assert found["is-killed.service"]["ends"][0]["signal"] == "SIGKILL"
    assert found["is-not-there.service"]["ends"][0]["status"] == 203
    assert found["is-late.service"]["result"] == "timeout"
    assert found["flaps.service"]["failures"] == 10
    everything = json.dumps(found)
    for secret in ("my own words", "alice", "secret"):
        assert secret not in everything
    assert any("Failed with result" in line for line in found["ends.service"]["lines_after"])

    crash = found["sleep"]
    assert (crash["classification"], crash["by"]) == ("org.clearlinux/crash/clr", "systemd-coredump")
    assert crash["stacks"][0]["frames"][0]["function"] == "nanosleep"
    assert "Traceback" not in "\n".join(machine.journal(since, unit=PROBE))


def test_it_runs_as_telemds_user_without_a_capability(machine: Machine) -> None:
    assert machine.state(PROBE) == "active"
    pid = machine.main_pid(PROBE)
    wait_until(lambda: "poll" in machine.shell(f"cat /proc/{pid}/wchan"), "it waits for more")
    status = machine.shell(f"cat /proc/{pid}/status")
    capabilities = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
    assert capabilities["CapEff:"] == capabilities["CapBnd:"] == 0
    assert machine.shell(f"stat -c %U /proc/{pid}").strip() == "telemetry"
    (rss_kib,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    assert rss_kib <= 16 * 1024


def test_one_that_hangs_is_killed_by_the_watchdog(machine: Machine) -> None:
    assert starts_after_a_hang(machine, PROBE) >= 1
