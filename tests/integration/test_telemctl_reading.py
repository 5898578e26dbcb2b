# SPDX-License-Identifier: Apache-2.0
"""What telemctl reads and prints: the journal and the configuration, the latter as the C library reads it too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from installed import PREFIX
from machine import BIN, NOBODY, Machine, run

from telemd import config

if TYPE_CHECKING:
    pass


# ---- journal --------------------------------------------------------------------------------------------------------

BOOT = "12a62978-b309-4b35-a7be-90876e311a93"


@pytest.fixture
def journal(machine: Machine) -> Machine:
    def line(digit: str, second: int, name: str) -> str:
        return "\x1e".join((digit * 32, str(1_525_799_004 + second), name, "e" * 32, BOOT)) + "\n"

    text = line("1", 0, "a/b/c") + "garbage \x1b[2J\n" + line("2", 1, "a/b/d") + line("3", 2, "x/y/z")
    machine.write(machine.settings.journal_path, text)
    machine.write(f"{machine.settings.records_dir}/{'2' * 32}", "header: \x1b[31m\n\npayload\n")
    return machine


def ids(listed: str) -> list[str]:
    return [found["record_id"][0] for found in json.loads(listed)]


def test_journal_lists_oldest_first(journal: Machine) -> None:
    lines = [
        f"{name:<14} Tue 2018-05-08 17:03:2{4 + at} UTC {str(at + 1) * 32} {'e' * 32} {BOOT}\n"
        for at, name in enumerate(("a/b/c", "a/b/d", "x/y/z"))
    ]
    assert journal.good("journal") == "".join(lines)
    heading = f"Classification {'Time stamp':<27} {'Record ID':<32} {'Event ID':<32} Boot ID\n"
    assert journal.good("journal", "-V") == f"{heading}{''.join(lines)}Total records: 3\n"


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ([], ["1", "2", "3"]),
        (["-r", "2" * 32], ["2"]),
        (["--record_id", "2" * 32], ["2"]),
        (["-e", "e" * 32], ["1", "2", "3"]),
        (["-c", "a/*"], ["1", "2"]),
        (["-c", "a/b/d"], ["2"]),
        (["-c", "a"], []),
        (["-b", BOOT, "-c", "x/*"], ["3"]),
        (["-b", "0" * 32], []),
        (["-r", "$(touch /tmp/x); 1"], []),
    ],
)
def test_journal_query(journal: Machine, arguments: list[str], listed: list[str]) -> None:
    assert ids(journal.good("journal", "--json", *arguments)) == listed


def test_journal_with_what_was_kept(journal: Machine) -> None:
    text = journal.good("journal", "-i", "-c", "a/*")
    assert "header: ?[31m\n\npayload\n" in text
    assert "nothing was kept" in text
    found = json.loads(journal.good("journal", "-i", "--json"))
    assert [each["record"] for each in found] == [None, "header: ?[31m\n\npayload\n", None]


def test_kept_copy_that_is_a_link_is_not_shown(journal: Machine) -> None:
    secret = journal.write(f"{journal.root.path}/secret", "secret text")
    Path(journal.settings.records_dir, "1" * 32).symlink_to(secret)
    assert "secret text" not in journal.good("journal", "-i")


def test_journal_of_what_telemd_accepts(running: Machine) -> None:
    running.send()
    running.settle(1)
    (found,) = json.loads(running.good("journal", "--json", "-c", "org.clearlinux/hello/*"))
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert abs(found["timestamp_s"] - time.time()) < 3600


def test_journal_that_isnt_there_is_empty(machine: Machine) -> None:
    assert machine.good("journal", "--json") == "[]\n"


def test_empty_journal_says_why(journal: Machine) -> None:
    def said(*arguments: str) -> str:
        done = journal.telemctl("journal", *arguments)
        assert (done.returncode, done.stdout) == (0, ""), done
        return str(done.stderr)

    assert "none of the 3 records" in said("-c", "no/such/class")
    Path(journal.settings.journal_path).unlink()
    assert f"not opted in, so that no record is taken. To opt in: {journal.command('opt-in')}" in said()
    journal.good("opt-in")
    assert f"telemd is not running: {journal.command('start')}" in said()
    journal.good("start")
    assert "no record was accepted" in said()
    journal.send()
    assert "org.clearlinux/hello/world" in journal.good("journal"), "it doesn't lag behind"


def test_reader_that_leaves_is_no_fault(journal: Machine) -> None:
    for _ in range(3):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = journal.telemctl("journal", capture_output=False, stdout=writing, stderr=subprocess.PIPE)
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (1, "")


# ---- config ---------------------------------------------------------------------------------------------------------


def test_config_check(machine: Machine) -> None:
    said = machine.good("config", "check")
    assert said.startswith(f"{machine.root.config_file}: good, 1 setting in force\n")
    assert "nothing is sent anywhere" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("recrod_expiry = 1", "recrod_expiry: this is not a setting; did you mean record_expiry?"),
        ("spool_process_time = 1", "spool_process_time: 1 is below 120; write a whole number from 120 to 300 (s)"),
        ('transport = "pigeon"', "transport: there is no transport of this name; write"),
        ('cainfo = "/nowhere/ca.pem"', "cainfo: there is no such file"),
        ('client_certificate = "/nowhere/own.pem"', "client_certificate: there is no such file; name one with this"),
        ('client_key = "/etc/passwd"', "client_key: it has no certificate; write client_certificate, too"),
        ('proxy = "squid:3128"', "proxy: this is no http or https URL"),
    ],
)
def test_config_check_finds(machine: Machine, line: str, said: str) -> None:
    good = machine.root.config_file.read_text()
    machine.root.config_file.write_text(f"{good}{line}\n")
    done = machine.telemctl("config", "check")
    machine.root.config_file.write_text(good)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"telemctl: {machine.root.config_file}:3: {said}" in done.stderr


def test_config_check_finds_all_at_once(machine: Machine) -> None:
    good = machine.root.config_file.read_text()
    lines = ("recrod_expiry = 1", "spool_process_time = 1", 'transport = "pigeon"', "connections_max = 'many'")
    machine.root.config_file.write_text("\n".join([good.strip(), *lines, "[other]", "x = 1", ""]))
    done = machine.telemctl("config", "check")
    found = json.loads(machine.telemctl("config", "check", "--json").stdout)
    machine.root.config_file.write_text(good)
    assert (done.returncode, done.stdout) == (1, "")
    told = done.stderr.splitlines()
    places = [line.removeprefix(f"telemctl: {machine.root.config_file}:").partition(": ")[0] for line in told]
    assert sorted(places) == ["3", "4", "5", "6", "7"], told
    assert (found["ok"], len(found["mistakes"])) == (False, 5)


def test_config_check_of_what_is_said_of_metrics(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    file = machine.root.config_file
    good = file.read_text()
    monkeypatch.setenv("TELEMETRICS_CPU_INTERVAL_S", "of the service, which has another environment")
    file.write_text(f"{good}[metrics]\ncollectors = '-gpu'\n[metrics.cpu]\ninterval_s = 5\n")
    assert machine.good("config", "check").startswith(f"{file}: good, ")
    file.write_text(f"{good}recrod_expiry = 1\n[metrics.cpu]\ninterval_s = 0\n[metrics.memroy]\n")
    done = machine.telemctl("config", "check")
    found = json.loads(machine.telemctl("config", "check", "--json").stdout)
    of_telemd = json.loads(machine.telemctl("config", "check", "--settings", "--json").stdout)
    said = [
        f"{file}:3: recrod_expiry: this is not a setting; did you mean record_expiry?",
        f"{file}:5: [metrics.cpu] interval_s: this can't be its value; write a number of seconds from 1 to 86400",
        f"{file}:6: [metrics.memroy]: there is no such collector; did you mean memory?",
    ]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "".join(f"telemctl: {each}\n" for each in said)
    assert (found["ok"], found["mistakes"]) == (False, said)
    assert of_telemd["mistakes"] == said[:1], "telemd takes all else"


def test_config_check_tells_once_what_is_no_table(machine: Machine) -> None:
    file = machine.root.config_file
    file.write_text(f"metrics = 3  # [metrics]\n{file.read_text()}")
    assert len(json.loads(machine.telemctl("config", "check", "--json").stdout)["mistakes"]) == 1
    file.write_text("[settings\n[metrics]\nx")
    [said] = json.loads(machine.telemctl("config", "check", "--json").stdout)["mistakes"]
    assert "this is not TOML" in said


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "ended with exit code 3, and without an answer"),
        ("echo '[1]'", "gave an answer that isn't understood"),
        ("head -c 2000000 /dev/zero", "without an answer"),
        ("echo '{\"mistakes\": 5}'", ""),
    ],
)
def test_config_check_with_a_metricprobe_that_does_not_check(
    machine: Machine, tmp_path: Path, script: str, said: str
) -> None:
    (tmp_path / "metricprobe").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "metricprobe").chmod(0o755)
    # telemctl looks beside the name that it was called by.
    code = (
        f"import sys; sys.argv[0] = {str(tmp_path / 'telemctl')!r}; from telemd.ctl.main import main; sys.exit(main())"
    )
    command = [f"{BIN}/python", "-I", "-c", code, "-f", str(machine.root.config_file), "config"]
    for verb in ("check", "show"):
        done = subprocess.run([*command, verb], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == (1 if said else 0), done
        assert said in done.stderr
        assert not said or "run `" in done.stderr


def test_config_check_of_telemetrics_clients_form_warns(machine: Machine) -> None:
    machine.root.config_file.write_text(f"state_root={machine.root.path}\nspool_process_time=1\n")
    done = machine.telemctl("config", "check")
    assert done.returncode == 0
    assert f"{machine.root.config_file}:2: spool_process_time: 1 is below 120, taking 120" in done.stderr


def test_config_show(machine: Machine) -> None:
    with machine.root.config_file.open("a") as file:
        file.write('server = "https://user:hunter2@hub.example/"\nproxy = "http://user:hunter2@proxy.example:3128"\n')
    shown = machine.good("config", "show")
    lines = dict(line.split(" = ", 1) for line in shown.splitlines()[1:])
    assert shown.startswith("[settings]\n")
    assert set(lines) == set(machine.settings.values())
    assert lines["server"].endswith(f"# {machine.root.config_file}")
    assert lines["record_expiry"].split() == ["1200", "#", "min,", "built-in"]
    assert "hunter2" not in shown
    found = json.loads(machine.good("config", "show", "--json"))
    assert found["server"] == {
        "value": "https://hub.example/",
        "origin": str(machine.root.config_file),
        "unit": "",
    }
    assert found["spool_dir"]["value"] == machine.settings.spool_dir


def test_config_show_of_metrics(machine: Machine) -> None:
    """What is set, and of addresses what may be seen."""
    with machine.root.config_file.open("a") as file:
        file.write("""
[metrics]
collectors = "-gpu"
[metrics.cpu]
enabled = false
interval_s = 7.5
[metrics.http]
endpoints = ["shop=http://127.0.0.1:8080/ping?key=hunter2"]
""")
    file_name = str(machine.root.config_file)
    shown = machine.good("config", "show")
    assert "hunter2" not in shown
    lines = [line.partition("  #") for line in shown.partition("\n\n")[2].splitlines()]
    assert [line.rstrip() for line, _, _ in lines] == [
        "[metrics]", 'collectors = "-gpu"', "",
        "[metrics.cpu]", "enabled = false", "interval_s = 7.5", "",
        "[metrics.http]", 'endpoints = ["shop=http://127.0.0.1:8080/ping"]',
    ]  # fmt: skip
    assert {origin.strip() for _, _, origin in lines if origin} == {file_name}
    found = json.loads(machine.good("config", "show", "--json"))
    assert found["metrics.cpu.interval_s"] == {"value": 7.5, "origin": file_name, "unit": ""}
    assert found["metrics.http.endpoints"]["value"] == ["shop=http://127.0.0.1:8080/ping"]

    with machine.root.config_file.open("a") as file:
        file.write("[metrics.memory]\nintervall_s = 1\n")
    done = machine.telemctl("config", "show")
    assert done.returncode == 1
    assert "[metrics.memory] intervall_s: this is not a setting" in done.stderr
    assert 'collectors = "-gpu"' in done.stdout


def test_what_config_show_prints_is_a_configuration(machine: Machine) -> None:
    with machine.root.config_file.open("a") as file:
        file.write('[metrics]\ncollectors = "cpu"\n[metrics.memory]\ninterval_s = 60\n')
    shown = machine.good("config", "show")
    copy = machine.write(f"{machine.root.path}/copy.conf", shown)
    again = run("telemctl", "-f", str(copy), "config", "show")
    assert again.returncode == 0, again.stderr
    strip = [line.partition("#")[0].rstrip() for line in shown.splitlines()]
    assert [line.partition("#")[0].rstrip() for line in again.stdout.splitlines()] == strip


def test_config_needs_no_rights() -> None:
    options: dict[str, Any] = {"user": NOBODY} if os.geteuid() == 0 else {}
    assert run("telemctl", "config", "show", **options).returncode == 0


# ---- the C library reads the same ---------------------------------------------------------------------------------

LIBRARY = PREFIX / "lib/libtelemetry.so.4"
C_KEYS = ("state_root", "socket_path", "telemd_socket_path", "opt_in_path")


def read_by_c(file: Path) -> dict[str, str]:
    """In a process of its own: the choice of a file is the process's."""
    code = """
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
assert library.tm_set_config_file(sys.argv[2].encode()) == 0
found = {}
for name in sys.argv[3:]:
    value = ctypes.create_string_buffer(4096)
    assert library.tm_get_setting(name.encode(), value, ctypes.c_size_t(4096)) >= 0
    found[name] = value.value.decode()
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(LIBRARY), str(file), *C_KEYS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[settings]\nstate_root = "/tmp/x"\n',
        "[settings]\nstate_root = '/tmp/x/' # mine\n",
        '[settings]\nstate_root = "/"\n',
        '[settings]\nstate_root = "/tmp/x"\nsocket_path = "/run/telem-0"\n',
        '[settings]\nstate_root = ""\ntelemd_socket_path = ""\n',
        '[settings]\n"state_root" = "/tmp/\\u00e4 b#c"\n',
        '[ settings ]\nstate_root = "/tmp/x"\n',
        "[settings] # x\n'state_root' = '/tmp/x'\n",
        '[settings]\ntidheader = """X: \\\nstate_root = "/no" """\nstate_root = "/tmp/x"\n',
        "[settings]\nstate_root=/tmp/x\nserver=http://h/\n",
        "[settings]\nsocket_path=/tmp/a\\sb\nserver=http://h/\n",
        "state_root=/tmp/x\nserver=http://h/\n",
        "; old\n[settings]\nstate_root = /tmp/x\nstate_root = /tmp/y\n",
        "[settings]\r\nstate_root=/tmp/x\r\n",
    ],
)
def test_c_library_reads_the_same(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.conf"
    file.write_bytes(text.encode())
    settings = config.load(str(file)).settings
    assert read_by_c(file) == {name: getattr(settings, name) for name in C_KEYS}
