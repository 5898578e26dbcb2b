# SPDX-License-Identifier: Apache-2.0
"""telemctl opts in and out, with the real telemd: nothing runs without consent; what opt-out deletes and leaves."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from machine import Machine

if TYPE_CHECKING:
    pass


def test_opt_in_and_out_twice(machine: Machine) -> None:
    path = Path(machine.settings.opt_in_path)
    assert machine.good("opt-out") == "already opted out\n"
    assert machine.good("opt-in").startswith(f"opted in ({path})\n")
    assert path.is_file()
    assert machine.good("opt-in") == "already opted in\n"
    assert machine.good("opt-out").startswith("opted out\n")
    assert not path.exists()
    assert machine.good("opt-out") == "already opted out\n"


def test_opt_in_writes_through_no_link(machine: Machine) -> None:
    path = Path(machine.settings.opt_in_path)
    target = machine.root.path / "target"
    path.symlink_to(target)
    done = machine.telemctl("opt-in")
    assert done.returncode == 1
    assert "remove it" in done.stderr
    assert not target.exists()


def test_without_consent_nothing_starts(machine: Machine) -> None:
    for verb in ("start", "restart"):
        done = machine.telemctl(verb)
        assert done.returncode == 1
        assert "opt-in" in done.stderr
    assert machine.telemctl("is-active").returncode == 3
    assert not Path(machine.settings.log_dir).exists()


def test_opt_out_stops_and_deletes_what_was_stored(running: Machine) -> None:
    running.send()
    running.settle(1)
    pid = running.status()["telemd"]["pid"]
    said = running.good("opt-out")
    assert said.startswith("opted out\n")
    assert "files with stored records were deleted" in said
    assert not Path(f"/proc/{pid}/fd/0").exists()
    assert os.listdir(running.settings.spool_dir) == []
    assert sorted(os.listdir(running.settings.log_dir)) == ["telemd.log"]
    assert running.good("opt-out") == "already opted out\n"


def test_a_mistake_in_the_configuration_keeps_nobody_from_opting_out(running: Machine) -> None:
    running.send()
    running.settle(1)
    spool_dir = running.settings.spool_dir
    with Path(running.root.config_file).open("a") as file:
        file.write("sevrer = 'x'\n")
    active = running.telemctl("is-active")
    assert (active.returncode, "sevrer" in active.stderr) == (0, True)
    gone = running.telemctl("opt-out")
    assert gone.returncode == 0 and gone.stdout.startswith("opted out\n") and "sevrer" in gone.stderr
    assert os.listdir(spool_dir) == []
    assert running.telemctl("is-active").returncode == 3
    assert running.telemctl("start").returncode == 1


def test_opt_out_deletes_what_probes_keep(machine: Machine) -> None:
    machine.good("opt-in")
    kept = [
        machine.write(f"{machine.settings.state_dir}-kernel/secret"),
        machine.write(f"{machine.settings.state_dir}-kernel/pstore/dmesg-efi-1"),
        machine.write(f"{machine.settings.state_dir}-journal/place"),
        machine.write(f"{machine.settings.state_dir}/crash-loops"),
        machine.write(f"{machine.settings.state_dir}/crash-last-0"),
        machine.write(f"{machine.settings.state_dir}/crash-last-7"),
        machine.write(f"{machine.settings.state_dir}/crash-last-new"),
    ]
    machine.good("opt-out")
    assert not any(path.exists() for path in kept)
    assert not Path(f"{machine.settings.state_dir}-kernel").exists()
    assert not Path(f"{machine.settings.state_dir}-journal").exists()


def test_a_report_that_was_kept_late_goes_with_the_next_opt_out(machine: Machine) -> None:
    """Its handler was just done with it. The directory may lie on another disk."""
    state_dir = Path(machine.settings.state_dir)
    elsewhere = machine.write(f"{machine.settings.state_root}/disk/crash-last-2").parent
    state_dir.parent.mkdir(parents=True, exist_ok=True)
    state_dir.symlink_to(elsewhere)
    assert machine.good("opt-out") == "already opted out\n1 file with stored records were deleted (1 B)\n"
    assert os.listdir(elsewhere) == []


def test_opt_out_leaves_what_isnt_telemds(machine: Machine) -> None:
    machine.good("opt-in")
    settings = machine.settings
    segment = f"event-{'0' * 15}1.seg"
    gone = [
        machine.write(f"{settings.spool_dir}/{name}")
        for name in ("ledger", "lock", segment, "drop/crash", f"quarantine/{segment}.7")
    ]
    gone += [machine.write(f"{settings.records_dir}/{'a' * 32}"), machine.write(f"{settings.log_dir}/journal")]
    kept = [
        machine.write(f"{settings.spool_dir}/{name}")
        for name in (
            "notes.txt",
            "event-1.seg",
            f"{segment}.bak",
            "ledger.old",
            f"other-{'0' * 16}.seg",
            "drop/sub/file",
        )
    ]
    kept += [machine.write(f"{settings.records_dir}/README"), machine.write(f"{settings.log_dir}/journal.1")]
    kept += [machine.write(f"{settings.state_dir}/{name}") for name in ("crash-last-8", "crash-last-0.bak")]
    kept += [machine.write(f"{settings.state_root}/victim")]
    links = [
        Path(settings.spool_dir, f"vital-{'0' * 16}.seg"),
        Path(settings.drop_dir, "link"),
        Path(settings.records_dir, "b" * 32),
    ]
    for link in links:
        link.symlink_to(f"{settings.state_root}/victim")
    machine.good("opt-out")
    assert [file for file in gone if file.exists()] == []
    assert [file for file in kept if not file.exists()] == []
    assert all(link.is_symlink() for link in links)


def test_opt_out_follows_no_link_to_a_directory(machine: Machine) -> None:
    machine.good("opt-in")
    settings = machine.settings
    elsewhere = machine.write(f"{settings.state_root}/elsewhere/ledger")
    Path(settings.spool_dir).parent.mkdir(parents=True)
    Path(settings.spool_dir).symlink_to(elsewhere.parent)
    done = machine.telemctl("opt-out")
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert elsewhere.exists()
    Path(settings.spool_dir).unlink()


def test_without_a_ledger_drop_and_quarantine_are_somebody_elses(machine: Machine) -> None:
    """spool_dir may name any directory."""
    machine.good("opt-in")
    kept = [machine.write(f"{machine.settings.spool_dir}/{name}/mine") for name in ("drop", "quarantine")]
    machine.good("opt-out")
    assert all(file.exists() for file in kept)


def test_opt_out_deletes_nothing_beneath_a_telemd_that_runs(machine: Machine) -> None:
    machine.good("opt-in")
    segment = machine.write(f"{machine.settings.spool_dir}/event-{'0' * 16}.seg")
    lock = machine.write(f"{machine.settings.spool_dir}/lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = machine.telemctl("opt-out")
    assert done.returncode == 1
    assert "still runs" in done.stderr
    assert not Path(machine.settings.opt_in_path).exists(), "consent ends all the same"
    assert segment.exists()
    assert machine.good("opt-out").startswith("already opted out\n")
    assert not segment.exists()
