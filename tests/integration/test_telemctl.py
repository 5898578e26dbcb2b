# SPDX-License-Identifier: Apache-2.0
"""telemctl as a program, with the real telemd: exit codes, starting and stopping, what opt-out deletes and leaves."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machine import BIN, NOBODY, TIMEOUT_S, Machine, a_machine, run, wait_for_end
from running import wait_until

from telemd import __version__
from telemd.ctl import usage as ctl

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def machine() -> Iterator[Machine]:
    with a_machine() as found:
        yield found


@pytest.fixture
def running(machine: Machine) -> Machine:
    machine.good("opt-in")
    machine.good("start")
    return machine


# ---- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a command"),
        (["frobnicate"], "unknown command: frobnicate"),
        (["config"], "config check or config show"),
        (["config", "frob"], "config check or config show"),
        (["opt_in"], "unknown command"),
        (["main"], "unknown command"),
        (["call"], "unknown command"),
        (["--frob", "stop"], "unknown option"),
        (["--json", "status"], "stands behind the command"),
        (["-f"], "its value is missing"),
        (["help", "frob"], "unknown command"),
        (["\x1b[31m"], "unknown command: ?[31m"),
        (["stats"], "did you mean status?"),
    ],
)
def test_misuse_is_2_and_says_what_there_is(arguments: list[str], said: str) -> None:
    done = run("telemctl", *arguments)
    assert done.returncode == 2
    problem, hint = done.stderr.splitlines()
    assert said in problem
    assert hint.startswith("try: telemctl help")
    assert run(*hint.removeprefix("try: ").split()).returncode == 0
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        *(["stop", "--frob"], ["journal", "-r"], ["status", "too", "many"], ["tail", "-n", "0"], ["top", "-i", "x"]),
        *(["spool list", "--limit", "1001"], ["spool purge"], ["selftest", "--wait", "-1"], ["why"]),
    ],
)
def test_misused_verb_is_2(machine: Machine, arguments: list[str]) -> None:
    verb, *rest = arguments
    done = machine.telemctl(*verb.split(), *rest)
    assert (done.returncode, done.stdout) == (2, "")
    problem, hint = done.stderr.splitlines()
    assert problem.startswith("telemctl: ")
    assert "invalid _" not in problem, "no name of a function"
    assert hint == f"try: telemctl help {verb}"


def test_help_lists_every_verb() -> None:
    listed = run("telemctl", "--help")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert run("telemctl", "help").stdout == listed.stdout
    names = [verb.VERB for verb in ctl.verbs()]
    assert set(names) >= {
        *("opt-in", "opt-out", "start", "stop", "restart", "is-active", "status", "journal"),
        *("config check", "config show"),
    }
    for verb in ctl.verbs():
        first, _, second = verb.VERB.partition(" ")
        line = next(line for line in listed.stdout.splitlines() if line.split()[:1] == [first])
        assert second in line.split()[1].split("|") if second else verb.SUMMARY in line
        assert ctl.verb_named(verb.VERB.split()) is verb, "its file's name is not the verb's"
        shown = run("telemctl", "help", *verb.VERB.split())
        assert (shown.returncode, shown.stderr) == (0, "")
        assert verb.SUMMARY[1:] in " ".join(shown.stdout.split())


def test_every_help_fits_a_screen() -> None:
    names = [verb.VERB for verb in ctl.verbs()]
    for words in ([], *([word] for word in ctl.GROUPS), *(name.split() for name in names)):
        shown = run("telemctl", *words, "--help")
        assert (shown.returncode, shown.stderr) == (0, ""), words
        lines = shown.stdout.splitlines()
        assert len(lines) <= 24, (words, len(lines))
        assert max(map(len, lines)) <= 80, (words, max(lines, key=len))


@pytest.mark.parametrize("words", [["help", "spool"], ["spool", "--help"], ["spool", "-h"], ["help", "spool", "-h"]])
def test_help_of_a_group(words: list[str]) -> None:
    shown = run("telemctl", *words)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "telemctl [-f FILE] spool COMMAND" in shown.stdout
    assert all(f"  spool {verb}  " in shown.stdout for verb in ("purge",))
    assert "  spool list " in shown.stdout


def test_help_of_help() -> None:
    usage = run("telemctl", "--help").stdout
    for words in (["help", "--help"], ["help", "help"], ["help", "-h"]):
        shown = run("telemctl", *words)
        assert (shown.returncode, shown.stdout) == (0, usage)


def test_every_group_has_a_line_of_its_own() -> None:
    assert {verb.VERB.split()[0] for verb in ctl.verbs() if " " in verb.VERB} == ctl.GROUPS.keys()


def test_whatever_prints_prints_json(machine: Machine) -> None:
    """In an order in which each has something to say."""
    opted_in = json.loads(machine.good("opt-in", "--json"))
    assert (opted_in["ok"], opted_in["messages"][0]) == (True, f"opted in ({machine.settings.opt_in_path})")
    for words in ("start", "is-active", "restart", "limits", "status", "config check", "config show", "id show"):
        assert isinstance(json.loads(machine.good(*words.split(), "--json")), dict), words
    for words in ("spool list", "journal"):
        assert json.loads(machine.good(*words.split(), "--json")) == [], words
    assert json.loads(machine.good("stop", "--json"))["messages"] == ["telemd was stopped"]
    inactive = machine.telemctl("is-active", "--json")
    assert (inactive.returncode, json.loads(inactive.stdout)) == (3, {"active": False})
    assert json.loads(machine.good("opt-out", "--json"))["ok"] is True
    refused = machine.telemctl("start", "--json")
    assert (refused.returncode, refused.stderr) == (1, "")
    assert "not opted in" in json.loads(refused.stdout)["messages"][0]
    for verb in ctl.verbs():
        parser = ArgumentParser()
        verb.options(parser)
        assert "--json" in parser.format_help(), verb.VERB


def test_who_may_not_ask_telemd_still_sees_whether_it_is_there(running: Machine) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user: run as root")
    running.root.path.chmod(0o755)
    active = running.telemctl("is-active", user=NOBODY)
    assert (active.returncode, active.stdout) == (0, "active\n")
    assert "restart" not in running.telemctl("status", user=NOBODY).stdout
    pidfd = os.pidfd_open(running.status()["telemd"]["pid"])
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # its sockets stay in the file system
    assert wait_for_end(pidfd)
    assert running.telemctl("is-active", user=NOBODY).returncode == 3


def test_without_consent_nobody_is_sent_to_start_it(machine: Machine) -> None:
    for verb in ("tail", "send-now", "limits", "selftest"):
        done = machine.telemctl(verb)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert machine.command("opt-in") in said and machine.command("start") not in said, said


def test_who_has_no_right_is_told_to_be_root(machine: Machine) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user: run it as root, or in CI")
    machine.root.path.chmod(0o755)
    for verb, done in (
        ("opt-in", machine.telemctl("opt-in", user=NOBODY)),
        ("opt-out", (machine.good("opt-in"), machine.telemctl("opt-out", user=NOBODY))[1]),
    ):
        assert done.returncode == 1
        assert f"run it as root: sudo {machine.command(verb)}" in done.stderr
    machine.good("start")
    machine.good("stop")
    shown = machine.telemctl("status", user=NOBODY)
    assert "can't be looked at: be root" in shown.stdout


def test_telemd_without_consent_says_what_it_does_and_what_to_do(machine: Machine) -> None:
    machine.good("opt-in")
    machine.good("start")
    log = Path(machine.settings.daemon_log_path)
    assert "not opted in" not in log.read_text()
    Path(machine.settings.opt_in_path).unlink()
    wait_until(lambda: run("hprobe", "-f", str(machine.root.config_file)).returncode == 1, "telemd has seen it")
    sentence = f"not opted in: every record is refused, and nothing is kept; `{machine.command('opt-in')}`"
    wait_until(lambda: machine.good("status") and sentence in log.read_text(), "telemd, which sleeps, is asked")
    assert json.loads(machine.good("status", "--json"))["opted_in"] is False
    machine.good("opt-in")
    wait_until(lambda: run("hprobe", "-f", str(machine.root.config_file)).returncode == 0, "telemd has seen that")
    wait_until(lambda: "opted in: records are taken now" in log.read_text(), "telemd says so")


def test_version() -> None:
    assert run("telemctl", "--version").stdout == f"telemctl {__version__}\n"


def test_configuration_may_be_named_before_and_after_the_verb(machine: Machine) -> None:
    for done in (
        machine.telemctl("is-active"),
        run("telemctl", "is-active", "-f", str(machine.root.config_file)),
        run("telemctl", f"--config-file={machine.root.config_file}", "is-active"),
        run("telemctl", "-f", machine.root.config_file.name, "is-active", cwd=machine.root.config_file.parent),
    ):
        assert (done.returncode, done.stdout) == (3, "inactive\n")


@pytest.mark.parametrize("verb", ["opt-in", "opt-out", "start", "stop", "restart", "is-active", "status", "journal"])
def test_who_isnt_root_may_not_touch_the_system(verb: str) -> None:
    done = run("telemctl", verb, user=NOBODY) if os.geteuid() == 0 else run("telemctl", verb)
    assert done.returncode == 1
    assert "must be root" in done.stderr


def test_configuration_with_a_mistake_stops_most_verbs(machine: Machine) -> None:
    good = machine.root.config_file.read_text()
    machine.root.config_file.write_text("[settings]\nrecord_expiry = 0\n")
    for verb in ("opt-in", "start", "config show", "config check"):
        done = machine.telemctl(*verb.split())
        assert done.returncode == 1
        assert done.stderr.startswith(f"telemctl: {machine.root.config_file}:2: record_expiry: 0 is below 1")
    assert not Path(machine.settings.opt_in_path).exists()
    machine.root.config_file.write_text(good)


def test_status_of_a_configuration_with_a_mistake(machine: Machine) -> None:
    good = machine.root.config_file.read_text()
    bad = f"{good}record_expiry = 0\n"
    machine.good("opt-in")
    machine.root.config_file.write_text(bad)
    away = machine.telemctl("status")
    assert (away.returncode, away.stderr) == (3, "")
    assert "record_expiry: 0 is below 1" in away.stdout and str(machine.settings.spool_dir) in away.stdout
    assert machine.status()["config_mistake"].startswith(str(machine.root.config_file))
    machine.root.config_file.write_text(good)

    machine.good("start")
    machine.send()
    machine.root.config_file.write_text(bad)
    page = machine.good("status")
    assert "running" in page and "1 admitted" in page and "goes on with what it had read before" in page
    told = machine.status()
    assert (told["telemd"]["accounting"]["pending"], told["telemd"]["spool_dir"]) == (1, machine.settings.spool_dir)
    machine.root.config_file.write_text(good)
    assert machine.status()["config_mistake"] == ""


# ---- consent --------------------------------------------------------------------------------------------------------


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


# ---- start, stop, status --------------------------------------------------------------------------------------------


def test_a_whole_life(machine: Machine) -> None:
    machine.good("opt-in")
    assert "telemd.log" in machine.good("start")
    assert machine.good("is-active") == "active\n"
    first = machine.status()["telemd"]["pid"]
    assert machine.good("start") == "telemd is running already\n"
    assert machine.status()["telemd"]["pid"] == first

    machine.send()
    told = machine.status()
    assert (told["running"], told["opted_in"]) == (True, True)
    assert (told["telemd"]["accounting"]["admitted"], told["telemd"]["accounting"]["pending"]) == (1, 1)
    assert told["spool_bytes"] > 0
    page = machine.good("status")
    assert "running" in page
    assert "1 received: 1 admitted" in page
    assert "No server" in page

    assert machine.good("restart").startswith("telemd was stopped\ntelemd was started")
    again = machine.status()["telemd"]
    assert again["pid"] != first
    assert again["accounting"]["pending"] == 1

    assert machine.good("stop") == "telemd was stopped\n"
    assert not Path(f"/proc/{again['pid']}/fd/0").exists()
    assert machine.telemctl("is-active").returncode == 3
    away = machine.telemctl("status")
    assert away.returncode == 3
    assert "not running" in away.stdout
    assert f"telemctl -f {machine.root.config_file} start" in away.stdout
    assert machine.status()["spool_bytes"] > 0
    assert machine.good("stop") == "telemd is not running\n"


def test_started_telemd_is_nobodys_child_and_holds_no_terminal(running: Machine) -> None:
    pid = running.status()["telemd"]["pid"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    session, terminal = int(fields[3]), int(fields[4])
    assert (session, terminal) == (pid, 0)
    assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
    for number, place in (
        (0, "/dev/null"),
        (1, running.settings.daemon_log_path),
        (2, running.settings.daemon_log_path),
    ):
        assert str(Path(f"/proc/{pid}/fd/{number}").resolve()) == place


def test_started_telemd_takes_nothing_from_a_service_manager(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.good("opt-in")
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "JOURNAL_STREAM"):
        monkeypatch.setenv(name, "1")
    machine.good("start")
    environment = Path(f"/proc/{machine.status()['telemd']['pid']}/environ").read_bytes().split(b"\0")
    names = {each.partition(b"=")[0] for each in environment}
    assert b"PATH" in names
    assert not names & {b"NOTIFY_SOCKET", b"LISTEN_FDS", b"LISTEN_PID", b"WATCHDOG_USEC", b"JOURNAL_STREAM"}


def test_after_a_kill_it_starts_again(running: Machine) -> None:
    pid = running.status()["telemd"]["pid"]
    process = os.pidfd_open(pid)
    running.send()
    signal.pidfd_send_signal(process, signal.SIGKILL)
    assert wait_for_end(process)
    assert running.telemctl("is-active").returncode == 3
    running.good("start")
    assert running.status()["telemd"]["accounting"]["pending"] == 1


def test_telemd_that_hangs_is_reported(running: Machine) -> None:
    process = os.pidfd_open(running.status()["telemd"]["pid"])
    signal.pidfd_send_signal(process, signal.SIGSTOP)
    try:
        stopped = running.telemctl("stop")
        assert stopped.returncode == 1
        assert "doesn't answer" in stopped.stderr
        page = running.telemctl("status").stdout
        assert "doesn't answer" in page
        assert "restart" in page
    finally:
        signal.pidfd_send_signal(process, signal.SIGCONT)
        os.close(process)


def test_telemd_that_cant_start_says_why_and_where(machine: Machine) -> None:
    machine.good("opt-in")
    spool = Path(machine.settings.spool_dir)
    spool.parent.mkdir(parents=True)
    spool.symlink_to("/tmp")
    done = machine.telemctl("start")
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert machine.settings.daemon_log_path in done.stderr


def test_large_log_makes_room(machine: Machine) -> None:
    log = machine.write(machine.settings.daemon_log_path, "old\n" * 300_000)
    machine.good("opt-in")
    machine.good("start")
    assert log.stat().st_size < 10_000
    assert Path(f"{log}.1").read_text().startswith("old\n")


def test_log_is_written_through_no_link(machine: Machine) -> None:
    target = machine.write(f"{machine.root.path}/target", "precious")
    Path(machine.settings.log_dir).mkdir(parents=True)
    Path(machine.settings.daemon_log_path).symlink_to(target)
    machine.good("opt-in")
    done = machine.telemctl("start")
    assert done.returncode == 1
    assert machine.settings.daemon_log_path in done.stderr
    assert target.read_text() == "precious"


def test_status_has_colours_on_a_terminal_alone(machine: Machine) -> None:
    command = [str(BIN / "telemctl"), "-f", str(machine.root.config_file), "status"]

    def on_terminal(**environment: str) -> bytes:
        ours, theirs = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        subprocess.run(command, stdout=theirs, env={**kept, "TERM": "xterm", **environment}, timeout=TIMEOUT_S)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:
            pass  # how a terminal says that its other side is gone
        os.close(ours)
        return shown

    assert b"\x1b[31mnot running" in on_terminal()
    assert b"\x1b" not in on_terminal(NO_COLOR="1")
    assert "\x1b" not in machine.telemctl("status").stdout


# ---- opt-out --------------------------------------------------------------------------------------------------------


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
        machine.write(f"{machine.settings.state_dir}/crash-loops"),
    ]
    machine.good("opt-out")
    assert not any(path.exists() for path in kept)
    assert not Path(f"{machine.settings.state_dir}-kernel").exists()


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
