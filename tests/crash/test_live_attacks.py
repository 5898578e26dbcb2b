# SPDX-License-Identifier: Apache-2.0
"""Who crashes may do so on purpose: names, files and timing are the attacker's, and the handler begins as root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import kernelcalls
import pytest
from kernelcalls import (
    UID,
    WAY,
    crash,
    faulty_launcher,
    handling,
    launcher,
    reported_when_taken_over,
    until_it_dumps,
    wait_until,
)

from telemetry_probes.crash import steps

HOSTILE = [") R 1", "a\nb\nc", "\x1b[2J\x1b]0;x\x07\x1b[H", "%P %s !!", ".. / x -k -f"]
WITHOUT_PIDFD = "sys.argv[11] = ''\n"


@pytest.fixture(name="nested")
def _nested() -> Path:
    return kernelcalls.nested()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name(nested: Path, name: str) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        process = crash([nested, "0", "true", name])
        report = handled.report()
    assert report.functions[:4] == WAY
    assert report.json["pid"] == process.pid
    assert report.json["uptime_s"] < 60
    assert report.json["process"].isprintable()
    assert all(line.isprintable() for line in report.text.splitlines())
    assert report.text.count("Process: ") == 1


@pytest.mark.parametrize("instead", ["mkfifo {0}", "ln -s /dev/zero {0}", "ln -s {0} {0}", "mkdir {0}"])
def test_its_file_became_something_else(nested: Path, tmp_path: Path, instead: str) -> None:
    own = tmp_path / "program"
    own.write_bytes(nested.read_bytes())
    own.chmod(0o755)
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([own, "0", f"rm {own}; {instead.format(own)}"])
        assert handled.report().functions[:4] == WAY


def test_a_planted_libc_below_its_root(nested: Path) -> None:
    """Its own mounts show another file where its libc was: no name comes out of that."""
    libc = next(
        line.split()[2]
        for line in subprocess.check_output(["ldd", nested], text=True).splitlines()
        if "libc.so" in line
    )
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash(["/usr/bin/unshare", "--mount", nested, "0", f"mount --bind /usr/bin/gdb {libc}"])
        report = handled.report()
    assert report.functions[:4] == WAY
    module = next(each for each in report.json["modules"] if "libc.so" in each["path"])
    assert module["unread"] == "the file has another build-id"
    assert not any(report.functions[4:-1])


@pytest.mark.parametrize("pidfd", [True, False])
def test_its_pid_is_another_s_when_the_handler_looks(nested: Path, pidfd: bool) -> None:
    text = launcher(kernelcalls.WAITS + ("" if pidfd else WITHOUT_PIDFD))
    with handling(launcher=text) as handled:
        handled.say("opt-in-no-privacy-filters")
        handled.say("opt-in-crash-command-line")
        first = until_it_dumps([nested, "4"])
        report = reported_when_taken_over(handled, first, ["/usr/bin/sleep", "1000"])
    assert report.json["executable"] == str(nested)
    assert not {"command_line", "memory_kib", "uptime_s"} & set(report.json)
    assert any(
        "the process that crashed is gone" in flag or "the pid of the one" in flag for flag in report.json["flags"]
    )


def test_without_a_pidfd_the_right_process_is_known(nested: Path) -> None:
    """As before Linux 6.16."""
    with handling(launcher=launcher(WITHOUT_PIDFD)) as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        report = handled.report()
    assert report.functions[:4] == WAY
    assert "flags" not in report.json


@pytest.mark.parametrize("step", steps.ALL[:-1])
def test_the_handler_is_killed_in_each_step(nested: Path, step: str) -> None:
    """The other of its two processes reports what the kernel said, and why there is no more."""
    with handling(launcher=at_step(step, "os.kill(os.getpid(), 9)")) as handled:
        handled.say("opt-in-no-privacy-filters")
        process = crash([nested])
        report = handled.report()
        handled.wait_idle()
        said = handled.said()
    assert (report.classification, report.severity) == ("org.clearlinux/crash/error", 4)
    assert report.json["executable"] == str(nested)
    assert report.json["pid"] == process.pid
    assert report.json["signal"]["name"] == "SIGSEGV"
    assert any(f"while {step}: SIGKILL" in flag for flag in report.json["flags"])
    assert any(f"process {process.pid} crashed; while {step}: SIGKILL" in line for line in said), said


@pytest.mark.parametrize("step", steps.ALL[:-1])
def test_the_one_that_waits_is_killed_in_each_step(nested: Path, step: str) -> None:
    with handling(launcher=at_step(step, "while os.getppid() == waiting: time.sleep(0.01)")) as handled:
        handled.say("opt-in-no-privacy-filters")
        process = subprocess.Popen([nested], stdin=subprocess.DEVNULL)
        wait_until(lambda: len(kernelcalls.handlers(handled.launcher)) == 2, "both are there")
        one, other = kernelcalls.handlers(handled.launcher)
        os.kill(other if f"PPid:\t{other}\n" in Path(f"/proc/{one}/status").read_text() else one, signal.SIGKILL)
        process.wait(60)
        assert handled.report().functions[:4] == WAY


def at_step(step: str, action: str) -> str:
    """A handler that does something at the beginning of a step."""
    return launcher(
        "import os, time\nfrom telemetry_probes.crash import handler\nwhole, waiting = handler.handle, os.getpid()\n"
        f"def acts(step):\n    if step == {step!r}:\n        {action}\n"
        "handler.handle = lambda said, now: whole(said, now, acts)\n"
    )


def test_a_fault_of_the_handler_s_own_is_reported_with_its_place(nested: Path) -> None:
    with handling(launcher=faulty_launcher("a secret")) as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        report = handled.report()
        handled.wait_idle()
        said = handled.said()
    assert report.classification == "org.clearlinux/crash/error"
    assert "ValueError in c, line" in report.json["flags"][0]
    assert any("ValueError in c, line" in line for line in said), said
    assert "secret" not in report.text + str(report.json) + str(said)


def test_a_handler_that_waits_for_ever_is_ended(nested: Path) -> None:
    text = launcher(
        "import time\nfrom telemetry_probes.crash import circumstances, handler\n"
        "handler.SECONDS_MAX = 1\ncircumstances.uptime_s = lambda stat, uptime: time.sleep(1000)\n"
    )
    with handling(launcher=text) as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        assert any("it took too long" in flag for flag in handled.report().json["flags"])


def test_a_handler_that_crashes_itself_calls_no_handler(nested: Path) -> None:
    text = launcher(
        "import os, signal\nfrom telemetry_probes.crash import circumstances\n"
        "circumstances.uptime_s = lambda stat, uptime: os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    with handling(launcher=text) as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        handled.wait_idle()
        report = handled.report()
    assert any("SIGSEGV" in flag for flag in report.json["flags"])


def test_two_hundred_crashes_at_once(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        processes = [subprocess.Popen([nested], preexec_fn=os.setsid, stdin=subprocess.DEVNULL) for _ in range(200)]
        most = 0
        while any(process.poll() is None for process in processes):
            most = max(most, len(kernelcalls.handlers(handled.launcher)))
        handled.wait_idle()
        found = handled.reports()
    assert all(process.returncode == -signal.SIGSEGV for process in processes)
    assert 1 <= len(found) <= 10
    assert all(report.functions[:4] == WAY for report in found if report.json["stacks"])
    assert most <= 3 * 16  # two processes each, and one that is about to be gone


def test_a_full_disk_is_told_and_leaves_nothing(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        spool = handled.drop.parent
        options = f"size=64k,uid={UID},gid={UID},mode=700"
        subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", options, "none", spool], check=True, timeout=30)
        try:
            handled.drop.mkdir()
            os.chown(handled.drop, UID, UID)
            with pytest.raises(OSError, match="No space"), (spool / "filling").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            crash([nested])
            handled.wait_idle()
            assert list(handled.drop.iterdir()) == []
        finally:
            subprocess.run(["/usr/bin/umount", spool], check=True, timeout=30)
        said = handled.said()
    assert any("No space left on device" in line for line in said), said


def test_a_full_drop_directory_is_told(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        handled.drop.mkdir()
        os.chown(handled.drop, UID, UID)
        for number in range(64):
            (handled.drop / f"{number}").touch()
        crash([nested])
        handled.wait_idle()
        assert handled.reports() == []
        said = handled.said()
    assert any("is full: start telemd" in line for line in said), said


def test_what_the_worker_may_do_no_more(nested: Path) -> None:
    """As it looks at a crash: not root, no program, no network, no file outside of its own two folders."""
    text = launcher(
        "import os, json, _socket\nfrom telemetry_probes.crash import atwork\n"
        "def trial(action):\n"
        "    try:\n        action()\n        return 'done'\n"
        "    except OSError as error:\n        return error.strerror\n"
        "def look(stat):\n"
        "    fd = lambda path: os.open(path, os.O_WRONLY | os.O_CREAT)\n"
        "    found = {\n"
        "        'status': open('/proc/self/status').read(),\n"
        "        'exec': trial(lambda: os.execv('/bin/true', ['true'])),\n"
        "        'inet': trial(lambda: _socket.socket(_socket.AF_INET)),\n"
        "        'write': trial(lambda: fd('/var/tmp/tm-planted')),\n"
        "        'kill': trial(lambda: os.kill(1, 0)),\n"
        "        'root': trial(lambda: os.setuid(0)),\n"
        "        'shadow': trial(lambda: open('/etc/shadow')),\n"
        "    }\n"
        "    state = atwork.SEEN + '/trial'\n"
        "    os.write(os.open(state, os.O_WRONLY | os.O_CREAT, 0o600), json.dumps(found).encode())\n"
        "    return b''.decode()\n"
        "atwork.circumstances.name = look\n"
    )
    with handling(launcher="") as handled:
        text = text.replace("atwork.SEEN", repr(str(handled.state)))
        handled.launcher.write_text(text)
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        handled.report()
        handled.wait_idle()
        found = json.loads((handled.state / "trial").read_text())
    status = dict(line.split(":\t", 1) for line in found["status"].splitlines() if ":\t" in line)
    assert {status["Uid"], status["Gid"]} == {f"{UID}\t{UID}\t{UID}\t{UID}"}
    assert status["Groups"].strip() == ""
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16)) == ("1", "2", 0)
    for name in ("exec", "inet", "write", "root"):
        assert found[name] in ("Operation not permitted", "Permission denied"), (name, found[name])
    assert found["kill"] == "Operation not permitted"
    assert found["shadow"] == "Permission denied"
