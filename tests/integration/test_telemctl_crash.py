# SPDX-License-Identifier: Apache-2.0
"""core_pattern is taken and given back as it was.

A folder stands in for /proc/sys/kernel: nothing here changes the real one, tests/crash/test_crash_enable.py does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from running import BIN, Root, needs_root, state_root

from telemd import journalfile
from telemd.config import Settings, load
from telemd.ctl import corepattern, crash_enable, crash_show, crash_status, crashes
from telemd.ctl.call import Call, Result
from telemd.ctl.corepattern import Found
from telemd.intake import Mark

SYSTEMD = "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h"
OURS = f"|/usr/bin/crashprobe -k {corepattern.LETTERS}"


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "core_pattern").write_text("core\n")
    (folder / "core_pipe_limit").write_text("0\n")
    return folder


def settings_of(tmp_path: Path) -> Settings:
    file = tmp_path / "conf"
    file.write_text(f'[settings]\nstate_root = "{tmp_path}"\n')
    return load(str(file)).settings


def looked(settings: Settings, kernel: Path) -> Found:
    found = corepattern.look(settings, str(kernel))
    assert isinstance(found, Found)
    return found


def now(kernel: Path) -> tuple[str, str]:
    return (kernel / "core_pattern").read_text().strip(), (kernel / "core_pipe_limit").read_text().strip()


@pytest.mark.parametrize("before", ["core", SYSTEMD, "/var/crash/core.%p", "", "core with blanks  %e"])
def test_it_is_put_back_as_it_was(tmp_path: Path, kernel: Path, before: str) -> None:
    settings = settings_of(tmp_path)
    (kernel / "core_pattern").write_text(before + "\n")
    (kernel / "core_pipe_limit").write_text("3\n")
    assert corepattern.take(settings, OURS, looked(settings, kernel), str(kernel)).good
    found = looked(settings, kernel)
    assert (found.ours, found.before, found.at_boot, found.limit) == (True, before, True, 16)
    boot = (tmp_path / "etc/sysctl.d/60-telemetrics-crash.conf").read_text().splitlines()
    assert boot[1:] == [f"kernel.core_pattern={OURS}", "kernel.core_pipe_limit=16"]
    assert corepattern.is_taken(settings)
    assert corepattern.give_back(settings, str(kernel)).good
    assert now(kernel) == (before, "3")
    assert (list((tmp_path / "etc/sysctl.d").iterdir()), corepattern.is_taken(settings)) == ([], False)
    assert corepattern.give_back(settings, str(kernel)).good


def test_taking_it_twice_remembers_what_was_there_first(tmp_path: Path, kernel: Path) -> None:
    settings = settings_of(tmp_path)
    (kernel / "core_pattern").write_text("first\n")
    for pattern in (OURS, OURS.replace("/usr/bin", "/opt")):
        assert corepattern.take(settings, pattern, looked(settings, kernel), str(kernel)).good
    assert now(kernel)[0] == OURS.replace("/usr/bin", "/opt")
    corepattern.give_back(settings, str(kernel))
    assert now(kernel) == ("first", "0")


def test_who_took_it_over_meanwhile_keeps_it(tmp_path: Path, kernel: Path) -> None:
    settings = settings_of(tmp_path)
    corepattern.take(settings, OURS, looked(settings, kernel), str(kernel))
    (kernel / "core_pattern").write_text(SYSTEMD + "\n")
    assert corepattern.give_back(settings, str(kernel)).good
    assert now(kernel)[0] == SYSTEMD
    assert not corepattern.is_taken(settings)


def test_a_larger_limit_stays(tmp_path: Path, kernel: Path) -> None:
    settings = settings_of(tmp_path)
    (kernel / "core_pipe_limit").write_text("64\n")
    corepattern.take(settings, OURS, looked(settings, kernel), str(kernel))
    assert now(kernel)[1] == "64"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, kernel: Path) -> None:
    settings = settings_of(tmp_path)
    failed = corepattern.take(settings, OURS, looked(settings, kernel), str(tmp_path / "nowhere"))
    assert (failed.good, corepattern.is_taken(settings)) == (False, False)


def test_a_kernel_that_takes_something_else_is_no_success(tmp_path: Path, kernel: Path) -> None:
    settings = settings_of(tmp_path)
    (kernel / "core_pattern").unlink()
    (kernel / "core_pattern").symlink_to("/dev/null")
    failed = corepattern.take(settings, OURS, looked(settings, kernel), str(kernel))
    assert (failed.good, corepattern.is_taken(settings)) == (False, False)
    assert now(kernel)[1] == "0"


def test_a_pattern_the_kernel_would_cut_is_never_written() -> None:
    longest = "/" + "x" * (corepattern.PATTERN_BYTES_MAX - len(f"|/ -k {corepattern.LETTERS}"))
    assert corepattern.wanted(longest, None, chain=False) == f"|{longest} -k {corepattern.LETTERS}"
    refused = corepattern.wanted(longest + "x", None, chain=False)
    assert isinstance(refused, Result) and "128 bytes" in refused.text
    assert isinstance(corepattern.wanted("/a b", None, chain=False), Result)
    assert isinstance(corepattern.wanted("/a%P", None, chain=False), Result)


def test_the_order_of_the_letters_is_that_of_crashprobe() -> None:
    script = "from telemetry_probes.crash import kernelsaid; print(kernelsaid.ORDER)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == corepattern.LETTERS


def enabling(tmp_path: Path, *options: str) -> Call:
    parser = argparse.ArgumentParser()
    crash_enable.options(parser)
    settings_of(tmp_path)
    return Call(None, parser.parse_args(options))


@pytest.mark.parametrize(
    ("pattern", "options", "says"),
    [
        (SYSTEMD, (), "/lib/systemd/systemd-coredump has core_pattern, and keeps it"),
        ("@/run/coredump.socket", ("--chain",), "sends cores to the socket /run/coredump.socket"),
        ("core", ("--chain",), "no other handler"),
        ("core", ("--program", "crashprobe"), "absolute"),
    ],
)
def test_another_handler_is_left_alone(tmp_path: Path, pattern: str, options: tuple[str, ...], says: str) -> None:
    found = crash_enable._pattern(enabling(tmp_path, *options), Found(pattern, 0, "", False))
    assert isinstance(found, Result) and not found.good
    assert says in found.text


def test_going_before_another_handler_is_kept_when_it_is_enabled_again(tmp_path: Path) -> None:
    needs_root()
    program = tmp_path / "c"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o022 and not folder.stat().st_mode & 0o1000:
            pytest.skip(f"{folder} may be written by others")
    call = enabling(tmp_path, "--program", str(program), "--chain")
    chained = crash_enable._pattern(call, Found(SYSTEMD, 16, "", False))
    assert chained == f"|{program} -K {corepattern.LETTERS}"
    again = crash_enable._pattern(enabling(tmp_path, "--program", str(program)), Found(chained, 16, SYSTEMD, True))
    assert again == chained


def test_a_program_that_somebody_else_can_change_is_not_started_as_root(tmp_path: Path) -> None:
    needs_root()
    program = tmp_path / "c"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(program)
    assert corepattern.distrust(str(link)) == ""
    program.chmod(0o775)
    assert "may be written by others" in corepattern.distrust(str(link))
    program.chmod(0o755)
    os.chown(program, 1000, 1000)
    assert "belongs to user 1000" in corepattern.distrust(str(link))
    os.chown(program, 0, 0)
    tmp_path.chmod(0o777)
    assert "may be written by others" in corepattern.distrust(str(program))
    tmp_path.chmod(0o700)
    program.chmod(0o644)
    assert "is no program" in corepattern.distrust(str(program))
    assert "is no file" in corepattern.distrust(str(tmp_path))
    assert "can't be looked at" in corepattern.distrust(str(tmp_path / "missing"))


def ctl(root: Root, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "telemctl"), "-f", str(root.config_file), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_without_consent_nothing_is_taken() -> None:
    with state_root(opted_in=False) as root:
        done = ctl(root, "crash", "enable")
        assert (done.returncode, "not opted in" in done.stderr) == (1, True)
        assert root.files() <= {"etc", "etc/telemetrics"}


def test_status_tells_how_it_is_and_what_to_do(tmp_path: Path) -> None:
    with state_root() as root:
        told: dict[str, Any] = json.loads(ctl(root, "crash", "status", "--json").stdout)
        assert (told["opted_in"], told["at_boot"], told["before"]) == (True, False, "")
        assert ctl(root, "crash", "status").stdout.startswith("crashes ")
    call = enabling(tmp_path)
    assert crash_status.advice(call, Found(SYSTEMD, 16, "", False), True) == ["telemctl crash enable --chain"]
    assert "opt in" in crash_status.advice(call, Found(OURS, 16, "core", True), False)[0]
    by_journalprobe = "reported       from the journal, by journalprobe"
    assert by_journalprobe in crash_status.lines(Found(SYSTEMD, 16, "", False), True)
    assert by_journalprobe not in crash_status.lines(Found("|/usr/share/apport/apport %p", 16, "", False), True)
    assert "a part of it" in crash_status.advice(call, Found(OURS, 0, "core", True), True)[0]


def test_nothing_crashed_yet() -> None:
    with state_root() as root:
        # which of the two depends on whose core_pattern the machine has at the moment
        assert ctl(root, "crash", "list").stdout.startswith(("nothing has crashed", "crashes are not looked at"))
        assert json.loads(ctl(root, "crash", "list", "--json").stdout) == {"programs": [], "reports": []}
        assert "tells of no crash" in ctl(root, "crash", "show").stderr
        assert "32 hex digits" in ctl(root, "crash", "show", "xyz").stderr


def test_who_says_that_it_was_made_in_the_future_is_not_the_latest_for_ever(tmp_path: Path) -> None:
    config = tmp_path / "t.conf"
    config.write_text(f'[settings]\nstate_root = "{tmp_path}"\n')
    call = Call(str(config), argparse.Namespace())
    Path(call.settings.log_dir).mkdir(parents=True)
    marks = [
        Mark(bytes([number] * 16), b"\xbb" * 16, at_s * 1_000_000, classification)
        for number, at_s, classification in [
            (1, 1_700_000_100, "org.clearlinux/crash/clr"),
            (2, 32_503_680_000, "org.clearlinux/crash/clr"),
            (3, 1_700_000_300, "org.clearlinux/crash/unknown"),
            (4, 1_700_000_400, "org.clearlinux/hello/world"),
            (5, 1_700_000_200, "org.clearlinux/crash/clr"),
        ]
    ]
    journalfile.append(call.settings.log_dir, marks)
    assert [each.record_id[:2] for each in crashes.reports(call)] == ["05", "03", "02", "01"]


def test_a_report_is_parted_into_json_and_text() -> None:
    assert crash_show.split(b'{"version":2}\nProcess: x\n') == ('{"version":2}', "Process: x\n")
    assert crash_show.split(b"Crash from third party\n") == ("", "Crash from third party\n")
