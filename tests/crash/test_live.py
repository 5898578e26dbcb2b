# SPDX-License-Identifier: Apache-2.0
"""The real kernel calls the installed crashprobe: what is reported of a process that still exists, by whom, and when it
is let go. Attacks are in test_live_attacks.py, known faults of other handlers in test_live_cves.py.
"""

from __future__ import annotations

import os
import resource
import struct
import subprocess
from pathlib import Path

import kernelcalls
import pytest
from kernelcalls import UID, WAY, compiled, crash, handling

from bench import corepattern
from telemetry_probes.crash import crashloop


@pytest.fixture(name="nested")
def _nested() -> Path:
    return kernelcalls.nested()


def test_a_system_s_program_is_reported_with_what_it_was() -> None:
    with handling() as handled:
        process = crash(["/usr/bin/sleep", "100"], signal=11)
        report = handled.report()
    assert (report.classification, report.severity) == ("org.clearlinux/crash/clr", 3)
    assert report.json["executable"] == "/usr/bin/sleep"
    assert report.json["process"] == "sleep"
    assert report.json["pid"] == process.pid
    assert report.json["signal"]["reason"] == f"sent by process {os.getpid()}"
    assert report.json["package"]["name"] == "coreutils"
    assert report.json["memory_kib"] > 0
    assert "nanosleep" in " ".join(report.functions)
    assert "command_line" not in report.json
    assert "flags" not in report.json


def test_the_command_line_is_sent_where_the_owner_allowed_it() -> None:
    with handling() as handled:
        handled.say("opt-in-crash-command-line")
        crash(["/usr/bin/sleep", "12345"], signal=11)
        assert handled.report().json["command_line"] == "/usr/bin/sleep 12345"


def test_a_program_of_the_user_s_own_is_no_more_than_told(nested: Path) -> None:
    with handling() as handled:
        crash([nested])
        report = handled.report()
    assert (report.classification, report.severity) == ("org.clearlinux/crash/unknown", 2)
    assert report.text == "Crash from third party\n"


def test_of_a_program_of_the_user_s_own_nothing_is_read(nested: Path) -> None:
    """Neither its core nor what /proc says of it, but for the limit that may be an opt-out."""
    text = kernelcalls.launcher(
        "from telemetry_probes.crash import dying, stream\n"
        "def reads(*words, **more):\n    raise AssertionError\n"
        "whole = dying.Dying.text\n"
        "dying.Dying.text = lambda self, name: whole(self, name) if name == 'limits' else reads()\n"
        "stream.read = reads\n"
    )
    with handling(launcher=text) as handled:
        crash([nested])
        assert handled.report().classification == "org.clearlinux/crash/unknown"


def test_frames_where_the_owner_lifted_the_filters(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested], user=UID + 1)
        report = handled.report()
    assert report.functions[:4] == WAY
    assert report.json["signal"]["address"] == "0x0"


def test_a_gibibyte_of_memory_is_neither_read_nor_waited_for(nested: Path) -> None:
    """The kernel would write all of it: what it takes without a handler is the measure."""
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested, "1024"])
        report = handled.report()
    assert report.functions[:4] == WAY
    assert report.json["memory_kib"] > 1 << 20


def test_the_event_id_is_what_others_work_out(nested: Path) -> None:
    from telemetry_probes import eventid

    with handling() as handled:
        process = crash([nested])
        report = handled.report()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    assert report.record.event_id == eventid.of_crash(boot, process.pid)


def test_a_program_that_was_deleted_still_has_its_names(nested: Path, tmp_path: Path) -> None:
    own = tmp_path / "nested"
    own.write_bytes(nested.read_bytes())
    own.chmod(0o755)
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([own, "0", f"rm {own}"])
        report = handled.report()
    assert report.json["executable"] == str(own)
    assert report.functions[:4] == WAY


def test_nothing_without_consent(nested: Path) -> None:
    with handling() as handled:
        (handled.owners / "opt-in").unlink()
        crash([nested])
        handled.wait_idle()
        assert handled.reports() == []
        assert list(handled.state.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "owner_said", "is_reported"),
    [
        ((0, 0), "", False),
        ((0, resource.RLIM_INFINITY), "", True),
        ((0, 0), "crash-ignore-core-limit", True),
        ((0, resource.RLIM_INFINITY), "crash-heed-soft-core-limit", False),
        ((1 << 20, 1 << 20), "crash-heed-soft-core-limit", True),
        ((0, 1 << 20), "", True),
    ],
)
def test_core_limits(nested: Path, limit: tuple[int, int], owner_said: str, is_reported: bool) -> None:
    with handling() as handled:
        if owner_said:
            handled.say(owner_said)
        crash([nested], limit=limit)
        handled.wait_idle()
        assert len(handled.reports()) == is_reported


NET_RAW = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)
"""capabilities(7), of a file: CAP_NET_RAW, in force at once."""
DUMPABLE_AGAIN = kernelcalls.NESTED.replace("first(NULL)", "prctl(PR_SET_DUMPABLE, 1);\n        first(NULL)")


@pytest.mark.parametrize(
    "kind", ["set-user-id", "unreadable", "set-user-id, dumpable by its own word", "capable, dumpable"]
)
def test_a_guarded_program_has_no_names_and_no_addresses(nested: Path, kind: str) -> None:
    """fs.suid_dumpable 2, otherwise the kernel calls nobody."""
    own = nested.with_name(kind)
    if "dumpable" in kind:
        compiled(own, DUMPABLE_AGAIN)
    else:
        own.write_bytes(nested.read_bytes())
    os.chown(own, UID + 2, UID + 2)
    own.chmod({"unreadable": 0o711, "capable, dumpable": 0o755}.get(kind, 0o4755))
    if "capable" in kind:
        os.setxattr(own, "security.capability", NET_RAW)
    with handling() as handled:
        corepattern.SUID_DUMPABLE.write_text("2")
        for name in ("opt-in-no-privacy-filters", "opt-in-crash-command-line"):
            handled.say(name)
        crash([own], user=UID + 1)
        report = handled.report()
    frames = report.json["stacks"][0]["frames"]
    assert len(frames) >= 4
    assert all(set(frame) <= {"module", "offset", "pc", "found_by"} for frame in frames)
    assert all(frame.get("pc", "0x0") == "0x0" for frame in frames)
    assert "address" not in report.json["signal"]
    assert "command_line" not in report.json
    assert "main" not in report.text


def test_a_container_s_files_are_its_own(nested: Path) -> None:
    """In namespaces of its own, where the program's path leads to something else than on the host."""
    inside = f"mount -t tmpfs none /mnt && cp {nested} /mnt/inner && exec /mnt/inner"
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash(["/usr/bin/unshare", "--pid", "--mount", "--fork", "/bin/sh", "-c", inside])
        report = next(each for each in handled.wait(2) if each.json["process"] == "inner")  # unshare dies likewise
    assert report.json["executable"] == "/mnt/inner"
    assert report.json["inner_pid"] == 1
    assert report.json["pid"] > 1
    assert report.functions[:4] == WAY
    assert "package" not in report.json


def test_the_process_is_let_go_before_the_report_is_sent(nested: Path) -> None:
    """Somebody who answers nothing listens where telemd should be."""
    import socket

    with handling() as handled, socket.socket(socket.AF_UNIX) as telemd:
        handled.say("opt-in-no-privacy-filters")
        run = handled.root / "run/telemetry"
        run.mkdir(parents=True)
        telemd.bind(str(run / "telemd.sock"))
        telemd.listen()
        (run / "telemd.sock").chmod(0o666)
        crash([nested])
        assert handled.reports() == []  # it is gone, and its report still on its way
        assert handled.report().functions[:4] == WAY


def test_telemd_takes_what_was_left_and_what_comes(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested])
        handled.report()
        for folder in ("run", "run/telemetry", "var/log", "var/log/telemetry"):
            (handled.root / folder).mkdir(exist_ok=True)
            os.chown(handled.root / folder, UID, UID)
        telemd = subprocess.Popen(
            [kernelcalls.BIN / "telemd", "-f", handled.config], stderr=subprocess.DEVNULL,
            user=UID, group=UID, extra_groups=[],
        )  # fmt: skip
        try:
            kernelcalls.wait_until(lambda: handled.reports() == [], "telemd takes what was dropped")
            crash(["/usr/bin/sleep", "100"], signal=11)
            journal = handled.root / "var/log/telemetry/journal"
            kernelcalls.wait_until(
                lambda: journal.exists() and journal.read_text().count("org.clearlinux/crash/clr") == 2,
                "both are there",
            )
        finally:
            telemd.terminate()
            assert telemd.wait(60) == 0
        assert handled.reports() == []


def test_where_live_reading_fails_the_stream_does(nested: Path) -> None:
    """A handler that finds no /proc/PID/mem: as on a kernel that forbids it."""
    launcher = kernelcalls.launcher(
        "from telemetry_probes.crash import dying\n"
        "whole = dying._open\n"
        "dying._open = lambda path, flags: -1 if path.endswith('/mem') else whole(path, flags)\n"
    )
    with handling(launcher=launcher) as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([nested, "64"])
        assert handled.report().functions[:4] == WAY


def test_python_frames_come_from_the_memory_of_the_living(tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import os\ndef inner():\n    os.abort()\ndef outer():\n    inner()\nouter()\n")
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash(["/usr/bin/python3", "-I", script])
        report = handled.report()
    found = [frame.get("function") for frame in report.json["stacks"][0]["frames"] if frame.get("kind") == "python"]
    assert found == ["inner", "outer", "<module>"]


def test_names_of_cplusplus_are_readable(tmp_path: Path) -> None:
    """Another process makes them so, which has no more rights than this one."""
    program = compiled(
        tmp_path / "shapes",
        "namespace outer { struct Inner { __attribute__((noinline)) void dies(volatile int *p) { *p = 1; } }; }\n"
        "int main() { outer::Inner inner; inner.dies(nullptr); return 0; }\n",
        compiler="/usr/bin/g++",
        options=("-x", "c++"),
    )
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        crash([program])
        assert handled.report().functions[:2] == ["outer::Inner::dies(int volatile*)", "main"]


def test_six_programs_at_once_are_six_reports(tmp_path: Path) -> None:
    """With kernel.core_pipe_limit 1 there would be one."""
    source = "int main(void) { return *(volatile int *)NUMBER; }\n"
    programs = [
        compiled(tmp_path / f"dies{number}", source, options=(f"-DNUMBER={number}",)) for number in range(1, 7)
    ]  # fmt: skip
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        processes = [subprocess.Popen([program], stdin=subprocess.DEVNULL) for program in programs]
        for process in processes:
            process.wait(60)
        found = handled.wait(6)
    assert sorted(report.json["pid"] for report in found) == sorted(process.pid for process in processes)
    assert all("main" in report.functions for report in found)


@pytest.mark.parametrize(("name", "user"), [("nested", None), ("telemctl-test", UID + 1)])
def test_a_crash_loop_is_counted_and_not_sent(nested: Path, name: str, user: int | None) -> None:
    """Whoever isn't root and calls himself a test is none."""
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        for _ in range(8):
            crash([nested, "0", "true", name], user=user)
        handled.wait_idle()
        found = handled.reports()
    # the handler lets the process go before it sends: the next one's may be there first
    assert sorted(report.json.get("seen_before", 0) for report in found) == [0, 1, 2]


def test_the_next_report_says_how_many_were_counted(nested: Path) -> None:
    """Hours later, to the handler."""
    ahead = (
        "import os, time\nfrom telemetry_probes.crash import handler\n"
        "if os.path.exists(os.path.dirname(sys.argv[0]) + '/later'):\n"
        "    handler.time = lambda: time.time() + 4 * 3600\n"
    )
    with handling(launcher=kernelcalls.launcher(ahead)) as handled:
        handled.say("opt-in-no-privacy-filters")
        for _ in range(5):
            crash([nested])
        handled.wait_idle()
        assert len(handled.reports()) == 3
        (handled.folder / "later").touch()
        crash([nested])
        last = handled.wait(4)[-1]
    assert (last.json["seen_before"], last.json["not_sent_since"]) == (5, 2)
    assert "and 2 more since the last report" in last.text.splitlines()


def test_without_the_user_telemetry_it_is_nobody_and_said(nested: Path) -> None:
    """Its directory belongs to root: no own user."""
    with handling() as handled:
        for each in (handled.state, handled.drop.parent):
            os.chown(each, 0, 0)
        crash([nested])
        handled.wait_idle()
        said = handled.said()
    assert any("run `systemd-sysusers`" in line for line in said), said
    assert any("nothing can be" in line or "can't be used" in line for line in said), said


def test_without_the_user_telemetry_the_limits_hold(nested: Path) -> None:
    """They are nobody's then, in a folder that others can't put there for it."""
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        for each in (handled.state, handled.drop.parent):
            os.chown(each, 0, 0)
        run = handled.root / "run"
        crash([nested])
        handled.wait_idle()
        assert any("without limits" in line for line in handled.said())
        run.mkdir(mode=0o755)
        for _ in range(12):
            crash([nested])
        handled.wait_idle()
        own = run / "telemetrics-nobody"
        assert (own.stat().st_uid, own.stat().st_mode & 0o777) == (65_534, 0o700)
        (program,) = [each for each in crashloop.counted(str(own)) if each.name == os.fsencode(nested)]
    assert (program.seen, program.more) == (12, 2)
