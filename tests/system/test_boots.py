# SPDX-License-Identifier: Apache-2.0
"""bootprobe as systemd runs it, over boots that really end: in order, and by a cut of the power."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from booted import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine

UNIT = "bootprobe.service"
STATE = "/var/lib/telemetry-kernel"
MASKED = [f"/etc/systemd/system/{unit}" for unit in (UNIT, "systemd-update-utmp.service")]
"""By disk.sh."""


@pytest.fixture
def watched(running: Machine) -> Iterator[Machine]:
    """Opted in, with wtmp, and bootprobe has told of this boot."""
    for unit in MASKED:
        running.path(unit).unlink()
    running.write("/var/log/wtmp", "")
    running.systemctl("daemon-reload")
    running.systemctl("start", "systemd-update-utmp.service", UNIT)
    told(running)
    yield running
    for unit in MASKED:
        running.shell(f"ln -sfn /dev/null {unit}")
    running.shell("truncate -s 0 /var/log/wtmp; journalctl --quiet --rotate; journalctl --quiet --vacuum-time=1ms")


def records(machine: Machine) -> list[dict[str, Any]]:
    """Those of boots that wait in the spool, in the order in which they came."""
    listed = json.loads(machine.run("telemctl", "spool", "list", "--json").stdout)
    found = [each for each in listed if each["classification"] == "org.clearlinux/boot/end"]
    found.sort(key=lambda each: each["admitted_us"])
    return [
        json.loads(machine.run("telemctl", "spool", "show", each["id"], "--payload", "--json").stdout) for each in found
    ]


def payload(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(record["payload_base64"]))
    return found


def told(machine: Machine) -> dict[str, Any]:
    """Once bootprobe is done: what the newest record says."""
    wait_until(
        lambda: machine.shown(UNIT, "SubState") in ("exited", "failed", "dead"), f"{UNIT} has sent this boot's record"
    )
    assert machine.shown(UNIT, "SubState") == "exited", machine.journal(unit=UNIT)
    return payload(records(machine)[-1])


def test_ends_in_order_by_a_cut_and_with_another_kernel(watched: Machine) -> None:
    before = len(records(watched))

    watched.end("systemctl", "reboot")
    watched.boot()
    said = told(watched)
    assert said["end"]["reason"] == "clean", said["end"]
    assert (said["end"]["how"], said["end"]["confidence"]) == ("reboot", "certain")
    assert said["evidence"]["mark"] == "reboot"
    assert said["evidence"]["journal"]["stage"] in ("stopped", "going-down")
    assert said["evidence"]["wtmp"] == "shutdown"
    assert said["timing"]["userspace_ms"] > 0
    assert said["timing"]["state"] == "running"
    assert said["command_line"]["changed"] is False

    watched.end("systemctl", "poweroff")
    watched.boot()
    said = told(watched)
    assert (said["end"]["reason"], said["end"]["how"]) == ("clean", "poweroff")

    watched.cut_power()
    watched.boot()
    said = told(watched)
    assert (said["end"]["reason"], said["end"]["confidence"]) == ("power-loss", "likely"), said
    assert said["evidence"]["mark"] == "none"
    assert said["evidence"]["journal"]["stage"] == "cut"
    assert said["evidence"]["wtmp"] == "boot alone"

    # the machine's kernel can't be changed: what is kept of the one before is
    kept = json.loads(watched.path(f"{STATE}/boot-last").read_text())
    watched.write(f"{STATE}/boot-last", json.dumps({**kept, "release": "5.10.0-1-amd64"}))
    line = "2026-01-01 00:00:00 upgrade linux-image-amd64:amd64 5.10.1-1 6.1.2-1"
    watched.shell(f"echo '{line}' | sed \"s/2026-01-01 00:00:00/$(date '+%F %T' -d '1 minute')/\" >>/var/log/dpkg.log")
    watched.end("systemctl", "reboot")
    watched.boot()
    said = told(watched)
    assert (said["end"]["reason"], said["kernel"]["release_before"]) == ("kernel-update", "5.10.0-1-amd64")
    assert len(records(watched)) == before + 4


def test_a_panic_has_the_event_of_pstoreprobes_record(watched: Machine) -> None:
    watched.cut_power()
    text = "Panic#1 Part1\\n<0>[   12.000001] Kernel panic - not syncing: in a test\\n"
    folder = watched.path(f"{STATE}/pstore")
    folder.mkdir(mode=0o755, exist_ok=True)
    (folder / "dmesg-ramoops-0").write_text(text.replace("\\n", "\n"))
    watched.boot()
    said = told(watched)
    assert (said["end"]["reason"], said["end"]["confidence"]) == ("panic", "certain"), said
    assert "in a test" in said["end"]["because"][0]
    wait_until(lambda: not (watched.path(f"{STATE}/pstore") / "dmesg-ramoops-0").exists(), "pstoreprobe has sent it")
    listed = json.loads(watched.run("telemctl", "spool", "list", "--json").stdout)
    shown = [
        json.loads(watched.run("telemctl", "spool", "show", each["id"], "--json").stdout)
        for each in listed
        if each["classification"] in ("org.clearlinux/kernel/panic", "org.clearlinux/boot/end")
    ]
    events = {each["classification"]: each["event_id"] for each in shown}
    assert events["org.clearlinux/kernel/panic"] == records(watched)[-1]["event_id"]


def test_again_in_one_boot_and_stopped_alone(watched: Machine) -> None:
    watched.systemctl("restart", UNIT)
    told(watched)
    assert not watched.path(f"{STATE}/boot-end").exists()
    watched.systemctl("stop", UNIT)
    assert " stopped " in watched.path(f"{STATE}/boot-end").read_text()
    watched.shut_down()
    watched.boot()
    said = told(watched)
    assert said["evidence"]["mark"] == "stopped"
    assert said["end"]["reason"] == "clean"  # by the journal's word and wtmp's


def test_after_an_opt_out_nothing_is_kept_of_boots(watched: Machine) -> None:
    assert watched.path(f"{STATE}/boot-last").exists()
    watched.run("telemctl", "opt-out")
    wait_until(lambda: watched.state(UNIT) == "inactive", f"{UNIT} is stopped")
    assert [path.name for path in watched.path(STATE).glob("boot-*")] == []


def test_runs_as_telemds_user_without_a_capability(watched: Machine) -> None:
    assert watched.shown(UNIT, "CapabilityBoundingSet") == ""
    assert watched.shown(UNIT, "User") == "telemetry"
    status = watched.shell(f"stat -c '%U %a' {STATE}/boot-last")
    assert status.split() == ["telemetry", "600"]
