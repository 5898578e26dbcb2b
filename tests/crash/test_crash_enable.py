# SPDX-License-Identifier: Apache-2.0
"""telemctl crash with the real kernel: taken, tested, looked at, handed on to the handler of before, given back."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import kernelcalls
import pytest

sys.path.append(str(Path(__file__).parents[1] / "integration"))
from hubprocess import HubProcess, hub_at
from installed import PREFIX
from running import BIN, Root, Telemd, running, state_root, wait_until

from bench.corepattern import LIMIT, PATTERN

UID = 61_735
"""Nobody's number on any machine; telemd's and the handler's here."""
CRASHING = "int leaf(int *p) { return *p; }\nint main(void) { return leaf((int *)16); }\n"


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tm", dir="/run"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


class Machine(NamedTuple):
    root: Root
    telemd: Telemd
    hub: HubProcess
    gate: Path
    """crashgate by a short path: a checkout may lie anywhere, and core_pattern takes 127 bytes."""

    def ctl(self, *words: str, code: int = 0) -> str:
        """What it prints."""
        command = [str(BIN / "telemctl"), "-f", str(self.root.config_file), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, (done.stdout, done.stderr, self.telemd.log())
        return done.stdout + done.stderr

    def enable(self) -> str:
        return self.ctl("crash", "enable", "--program", str(self.gate))

    def object(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ctl(*words, "--json"))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """With a plain core_pattern; whatever is done to that is undone."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(kernelcalls.alone())
        hub = stack.enter_context(hub_at(tmp_path / "hub"))
        root = stack.enter_context(state_root(server=hub.url))
        gate = stack.enter_context(short_folder()) / "gate"
        gate.symlink_to(PREFIX / "libexec/crashgate")
        LIMIT.write_text("0")
        for name in ("var/lib/telemetry", "var/spool/telemetry", "var/log/telemetry", "run/telemetry"):
            (root.path / name).mkdir(parents=True)
        for name in ("var", "run"):
            for each in (root.path / name, *(root.path / name).rglob("*")):
                os.chown(each, UID, UID)
        with running(root, user=UID) as telemd:
            yield Machine(root, telemd, hub, gate)


def crashing_program(folder: Path) -> Path:
    (folder / "crashing.c").write_text(CRASHING)
    subprocess.run(["gcc", "-g", "-O0", "-o", folder / "crashing", folder / "crashing.c"], check=True)
    return folder / "crashing"


def test_a_real_crash_is_followed_to_the_hub(machine: Machine) -> None:
    assert "crashes are not looked at" in machine.ctl("crash", "test", code=1)
    assert f"to have them again: telemctl -f {machine.root.config_file} crash disable\n" in machine.enable()
    assert PATTERN.read_text().startswith(f"|{machine.gate} -f {machine.root.config_file} -k %P ")
    assert LIMIT.read_text().strip() == "16"
    told = machine.object("crash", "status")
    assert (told["enabled"], told["at_boot"], told["before"]) == (True, True, "core")
    assert machine.enable().startswith("crashes are looked at already")

    test = machine.object("crash", "test")
    assert test["ok"] is True
    assert [(each["name"], each["ok"]) for each in test["stations"]] == [
        ("crashed", True), ("durable", True), ("answered", True),
    ]  # fmt: skip
    (record,) = machine.hub.records(classification="org.clearlinux/crash/*")
    assert record["id"].replace("-", "") == test["id"]

    wait_until((machine.root.path / "var/lib/telemetry/crash-last-0").exists, "the report is kept")
    listed = machine.object("crash", "list")
    assert [(each["name"], each["seen"], each["not_reported"]) for each in listed["programs"]] == [
        (os.path.realpath(sys.executable), 1, 0)
    ]
    assert [each["record_id"] for each in listed["reports"]] == [test["id"]]
    assert os.path.realpath(sys.executable) in machine.ctl("crash", "list")
    assert [(each["program"], each["kept"]) for each in listed["reports"]] == [(os.path.realpath(sys.executable), True)]
    assert "Backtrace (TID " in machine.ctl("crash", "show")
    report = machine.object("crash", "show", test["id"])
    assert report == json.loads(record["payload"].partition("\n")[0])
    for which in ("1", os.path.realpath(sys.executable), "telemctl-test"):
        assert machine.object("crash", "show", which) == report
    for file in (machine.root.path / "var/lib/telemetry").glob("crash-last-*"):
        file.unlink()
    assert "no longer on this machine" in machine.ctl("crash", "show", code=1)

    for _ in range(4):  # a crash that was asked for is counted, and never too many
        assert machine.object("crash", "test")["ok"] is True
    ((seen, left),) = [(each["seen"], each["not_reported"]) for each in machine.object("crash", "list")["programs"]]
    assert (seen, left) == (5, 0)

    machine.ctl("crash", "disable")
    assert (PATTERN.read_text(), LIMIT.read_text()) == ("core\n", "0\n")


def test_a_report_that_waits_is_shown(machine: Machine) -> None:
    machine.root.configure(server="http://127.0.0.1:1/")
    machine.telemd.reload()
    machine.telemd.wait_log("configuration")
    machine.enable()
    assert "the test failed at the station `answered`" in machine.ctl("crash", "test", "--wait", "12", code=1)
    assert "Backtrace (TID " in machine.ctl("crash", "show")
    (machine.root.path / "var/lib/telemetry/crash-last-0").unlink()  # so that the spool alone has it
    assert "Backtrace (TID " in machine.ctl("crash", "show")
    report = machine.object("crash", "show")
    assert (report["version"], report["signal"]["name"]) == (2, "SIGSEGV")


def test_opting_out_gives_it_back(machine: Machine) -> None:
    machine.enable()
    assert PATTERN.read_text().startswith("|")
    assert machine.object("crash", "test")["ok"] is True
    state = machine.root.path / "var/lib/telemetry"
    wait_until(lambda: list(state.glob("crash-last-*")) == [state / "crash-last-0"], "the report is kept")
    machine.ctl("opt-out")
    assert (PATTERN.read_text(), LIMIT.read_text()) == ("core\n", "0\n")
    machine.telemd.wait()
    assert list(state.glob("crash-last-*")) == []


def test_the_handler_of_before_gets_the_whole_core_after_us(machine: Machine) -> None:
    with short_folder() as folder:
        program = crashing_program(folder)
        other = folder / "other"
        other.write_text(
            f'#!/bin/sh\numask 022\ncat >{shlex.quote(str(folder))}/new\necho "$@" >{shlex.quote(str(folder))}/said\n'
            f"mv {shlex.quote(str(folder))}/new {shlex.quote(str(folder))}/core\n"
        )
        other.chmod(0o755)
        PATTERN.write_text(f"|{other} %P %u %s %E")
        assert "keeps it" in machine.ctl("crash", "enable", code=1)
        os.symlink(BIN / "crashprobe", folder / "c")
        machine.ctl("crash", "enable", "--chain", "--program", str(folder / "c"))
        dead = subprocess.Popen([program])
        assert dead.wait(60) == -11
        wait_until((folder / "core").exists, "the other handler has its core")
        assert (folder / "said").read_text().split() == [str(dead.pid), "0", "11", str(program).replace("/", "!")]
        done = subprocess.run(["eu-readelf", "-n", folder / "core"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, f"pid: {dead.pid}" in done.stdout, done.stderr) == (0, True, "")
        size = (folder / "core").stat().st_size
        segments = subprocess.run(
            ["readelf", "-lW", folder / "core"], capture_output=True, text=True, timeout=60
        ).stdout
        loads = [line.split() for line in segments.splitlines() if line.split()[:1] == ["LOAD"]]
        assert size == max(int(each[1], 16) + int(each[4], 16) for each in loads)
        machine.telemd.wait_account("the report is delivered", lambda account: account["delivered"] >= 1)
        (record,) = machine.hub.records(classification="org.clearlinux/crash/*")
        assert record["classification"] == "org.clearlinux/crash/unknown"
        machine.ctl("crash", "disable")
        assert PATTERN.read_text() == f"|{other} %P %u %s %E\n"


def test_a_chained_system_program_s_stack_is_read_from_the_living(machine: Machine) -> None:
    with short_folder() as folder:
        machine.root.opt_in_file.with_name("opt-in-no-privacy-filters").touch()
        program = crashing_program(folder)
        other = folder / "other"
        other.write_text(f"#!/bin/sh\ncat >/dev/null\necho done >{shlex.quote(str(folder))}/done\n")
        other.chmod(0o755)
        PATTERN.write_text(f"|{other} %P")
        os.symlink(BIN / "crashprobe", folder / "c")
        machine.ctl("crash", "enable", "--chain", "--program", str(folder / "c"))
        assert subprocess.Popen([program]).wait(60) == -11
        wait_until((folder / "done").exists, "the other handler ran")
        machine.telemd.wait_account("the report is delivered", lambda account: account["delivered"] >= 1)
        (record,) = machine.hub.records(classification="org.clearlinux/crash/*")
        assert "#0 leaf() - " in record["payload"] and "crashing.c:1" in record["payload"]
