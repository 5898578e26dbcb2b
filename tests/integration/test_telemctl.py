# SPDX-License-Identifier: Apache-2.0
"""telemctl as a program: its command line, help and exit codes, and who may do what."""

from __future__ import annotations

import json
import os
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from machine import NOBODY, Machine, run, wait_for_end
from running import wait_until

from telemd import __version__
from telemd.ctl import usage as ctl

if TYPE_CHECKING:
    pass


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


PROGRAMS = (
    "bootprobe", "crashprobe", "hprobe", "journalprobe", "klogscanner", "metricprobe", "pstoreclean", "pstoreprobe",
    "telem-record-gen", "telemd", "telemd-courier", "telemhub",
)  # fmt: skip


def test_every_help_fits_a_screen() -> None:
    verbs = [["telemctl", *verb.VERB.split()] for verb in ctl.verbs()]
    groups = [["telemctl", word] for word in ctl.GROUPS]
    for words in (["telemctl"], *groups, *verbs, *([name] for name in PROGRAMS)):
        shown = run(*words, "--help")
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
