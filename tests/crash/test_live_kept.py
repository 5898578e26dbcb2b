# SPDX-License-Identifier: Apache-2.0
"""What stays of a crash on its machine when the real kernel calls: the record that was sent, of the last few, and where
that can't be kept nothing, at no cost."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import kernelcalls
import pytest
from kernelcalls import BIN, UID, WAY, Handled, crash, faulty_launcher, handling, launcher, wait_until

from libtelemetry.wire import decode


@pytest.fixture(name="nested")
def _nested() -> Path:
    return kernelcalls.nested()


def kept(handled: Handled) -> list[Path]:
    """Also what was left unfinished."""
    return sorted(handled.state.glob("crash-last-*"))


def left(handled: Handled) -> list[bytes]:
    """Records in the drop directory."""
    return [file.read_bytes() for file in handled.drop.glob("*.rec")]


def shown(handled: Handled, *words: str) -> str:
    command = [str(BIN / "telemctl"), "-f", str(handled.config), "crash", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_it_is_the_record_that_was_sent(nested: Path) -> None:
    """The handler has all its limits, of files and of system calls. telemd doesn't run."""
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        handled.wait_idle()
        (record,) = left(handled)
        (file,) = kept(handled)
        assert file.read_bytes() == record
        status = file.stat()
        assert (status.st_uid, status.st_mode & 0o777) == (UID, 0o600)
        report = json.loads(shown(handled, "show", "--json"))
        assert [frame["function"] for frame in report["stacks"][0]["frames"]][:4] == WAY
        assert f"{decode(record).record_id.hex()}  org.clearlinux/crash/clr  {nested}\n" in shown(handled, "list")


def test_of_a_program_of_the_user_s_own_no_more_is_kept_than_was_sent(nested: Path) -> None:
    with handling() as handled:
        crash([nested])
        handled.wait_idle()
        (record,) = left(handled)
        assert [file.read_bytes() for file in kept(handled)] == [record]
        assert "nested" not in shown(handled, "show") + shown(handled, "show", "1")


def test_the_handler_s_own_fault_is_kept_as_well(nested: Path) -> None:
    with handling(launcher=faulty_launcher("")) as handled:
        crash(["/usr/bin/sleep", "100"], signal=11)
        handled.wait_idle()
        assert [file.read_bytes() for file in kept(handled)] == left(handled)
        assert "ValueError in c, line" in shown(handled, "show", "sleep", "--json")


def test_crash_loops_leave_eight(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        for user in range(UID + 1, UID + 5):
            for _ in range(4):
                crash([nested], user=user)
        handled.wait_idle()
        assert len(left(handled)) == 12
        assert [file.name for file in kept(handled)] == [f"crash-last-{at}" for at in range(8)]
        assert {file.read_bytes() for file in kept(handled)} < set(left(handled))


def test_a_full_disk_loses_no_report_and_leaves_nothing(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        options = f"size=96k,uid={UID},gid={UID},mode=700"
        subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", options, "none", handled.state], check=True, timeout=30)
        try:
            with pytest.raises(OSError, match="No space"), (handled.state / "filling").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            crash([nested])
            handled.wait_idle()
            assert kept(handled) == []
        finally:
            subprocess.run(["/usr/bin/umount", handled.state], check=True, timeout=30)
        assert handled.report().functions[:4] == WAY
        assert handled.said() == []


def test_who_opts_out_meanwhile_finds_nothing_kept(nested: Path) -> None:
    """When the report is on its way already."""
    with handling(launcher="placeholder") as handled:
        opt_in = handled.owners / "opt-in"
        handled.launcher.write_text(
            launcher(
                "import os, time\nfrom telemetry_probes.crash import lastreports\nkeep = lastreports.keep\n"
                f"def late(*asked):\n    while os.path.exists({str(opt_in)!r}):\n        time.sleep(0.01)\n"
                "    keep(*asked)\n"
                "lastreports.keep = late\n"
            )
        )
        crash([nested])
        handled.report()
        assert kept(handled) == []
        opt_in.unlink()
        handled.wait_idle()
        assert (len(left(handled)), kept(handled)) == (1, [])
        assert handled.said() == []


def test_what_telemd_refused_is_not_kept(nested: Path) -> None:
    """It takes one record in a quarter of an hour."""
    with handling() as handled:
        with handled.config.open("a") as file:
            file.write('record_burst_limit = 1\nrate_limit_strategy = "drop"\n')
        for name in ("run/telemetry", "var/log/telemetry"):
            (handled.root / name).mkdir(parents=True)
        for name in ("run", "run/telemetry", "var/log", "var/log/telemetry"):
            os.chown(handled.root / name, UID, UID)
        telemd = subprocess.Popen(
            [BIN / "telemd", "-f", handled.config], stderr=subprocess.DEVNULL, user=UID, group=UID, extra_groups=[]
        )
        try:
            wait_until((handled.root / "run/telemetry/telemd.sock").exists, "telemd is there")
            crash([nested])
            wait_until(lambda: len(kept(handled)) == 1, "what telemd took is kept")
            crash(["/usr/bin/sleep", "100"], signal=11)
            handled.wait_idle()
        finally:
            telemd.terminate()
            assert telemd.wait(60) == 0
        assert ([file.name for file in kept(handled)], left(handled)) == (["crash-last-0"], [])
        assert any("telemd refused the report" in line for line in handled.said())


def test_without_the_user_telemetry_nothing_is_kept(nested: Path) -> None:
    """No opt-out would delete it in the folder where the limits are then."""
    with handling() as handled:
        for each in (handled.state, handled.drop.parent):
            os.chown(each, 0, 0)
        handled.drop.mkdir()
        os.chown(handled.drop, 65_534, 65_534)
        (handled.root / "run").mkdir(mode=0o755)
        handled.drop.parent.chmod(0o755)
        crash([nested])
        handled.wait_idle()
        assert len(left(handled)) == 1
        own = sorted(os.listdir(handled.root / "run/telemetrics-nobody"))
        assert (own, kept(handled)) == (["crash-loops"], [])
