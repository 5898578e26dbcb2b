# SPDX-License-Identifier: Apache-2.0
"""The kernel's probes as systemd runs them: they come with the consent and read what is root's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from booted import wait_until
from sending import starts_after_a_hang

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booted import Machine

SCANNER = "klogscanner.service"
PSTORE = "pstoreprobe.service"
STATE = "/var/lib/telemetry-kernel"


@pytest.fixture
def with_log(running: Machine) -> Iterator[Machine]:
    """A container has no kernel's log of its own: it gets that of the machine it runs on."""
    running.shell("mknod -m 644 /dev/kmsg c 1 11")
    yield running
    running.systemctl("stop", SCANNER)
    running.shell("rm /dev/kmsg")


def test_where_there_is_no_log_nothing_fails(running: Machine) -> None:
    assert not running.path("/dev/kmsg").exists()
    running.systemctl("start", SCANNER)
    assert running.shown(SCANNER, "ConditionResult") == "no"
    assert running.state(SCANNER) == "inactive"


def test_klogscanner_runs_as_telemds_user_with_one_capability(with_log: Machine) -> None:
    since = with_log.cursor()
    with_log.systemctl("start", SCANNER)
    wait_until(lambda: with_log.path(f"{STATE}/secret").exists(), "it has its secret")
    assert with_log.state(SCANNER) == "active", with_log.journal(since, unit=SCANNER)
    pid = with_log.main_pid(SCANNER)
    status = with_log.shell(f"cat /proc/{pid}/status")
    capabilities = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
    assert capabilities["CapEff:"] == capabilities["CapBnd:"] == 1 << 34  # CAP_SYSLOG
    assert with_log.shell(f"stat -c %U /proc/{pid}").strip() == "telemetry"
    assert "/dev/kmsg" in with_log.shell(f"readlink /proc/{pid}/fd/* || :")


def test_pstoreprobe_sends_what_was_put_aside_and_removes_it(running: Machine) -> None:
    folder = f"{STATE}/pstore"
    running.shell(f"mkdir -p {folder}")
    text = "Panic#1 Part1\\n<0>[   12.000001] Kernel panic - not syncing: in a test\\n"
    running.shell(f"printf '{text}' > {folder}/dmesg-ramoops-0")
    running.shell(f"chown -R telemetry:telemetry {STATE}")
    since = running.cursor()
    running.systemctl("start", PSTORE)
    assert running.shown(PSTORE, "Result") == "success", running.journal(since, unit=PSTORE)
    assert not running.path(f"{folder}/dmesg-ramoops-0").exists()
    listed = running.run("telemctl", "spool", "list", "--json").stdout
    assert "org.clearlinux/kernel/panic" in listed


def test_klogscanner_that_hangs_is_killed_by_the_watchdog(with_log: Machine) -> None:
    assert starts_after_a_hang(with_log, SCANNER) >= 1
