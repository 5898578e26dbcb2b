# SPDX-License-Identifier: Apache-2.0
"""The machine itself: nothing of it stays, however the process that made it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from booted import HERE, PREFIX, TIMEOUT_S, cgroup2, sweep, wait_until

if TYPE_CHECKING:
    from booted import Machine

MAKE_ONE = """
import os, sys, tempfile
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from booted import machine
with tempfile.TemporaryDirectory() as folder, machine(Path(folder)) as made:
    print(made.pid, made._disk.pid, flush=True)
    made.run("sleep", "1000", timeout_s=1000)
"""


def test_it_dies_with_a_test_run_that_is_killed() -> None:
    started = subprocess.Popen([sys.executable, "-c", MAKE_ONE, str(HERE)], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    pids = [int(word) for word in started.stdout.readline().split()]
    assert len(pids) == 2
    watched = [os.pidfd_open(pid) for pid in pids]
    started.send_signal(signal.SIGKILL)
    started.wait()
    started.stdout.close()
    for process in watched:
        assert select.select([process], [], [], TIMEOUT_S)[0]
        os.close(process)


def left_behind() -> list[Path]:
    folders = cgroup2().glob(f"{PREFIX}*")
    return [each for each in folders if not Path("/proc", each.name.removeprefix(PREFIX)).exists()]


def test_what_a_killed_run_leaves_is_taken_away() -> None:
    if not left_behind():
        test_it_dies_with_a_test_run_that_is_killed()
    assert left_behind()
    sweep()
    assert left_behind() == []


def test_it_reaches_no_network_but_its_own(system: Machine) -> None:
    assert system.run("ip", "-brief", "link").stdout.split()[0] == "lo"
    assert len(system.run("ip", "-brief", "link").stdout.splitlines()) == 1


def test_its_disk_survives_a_cut_of_power_and_is_not_ours(system: Machine) -> None:
    system.write("/var/lib/test-of-disk", "kept")
    system.cut_power()
    system.boot()
    assert system.run("cat", "/var/lib/test-of-disk").stdout == "kept"
    assert not Path("/var/lib/test-of-disk").exists()
    wait_until(lambda: system.systemctl("is-system-running") == "running", "it is up")
