# SPDX-License-Identifier: Apache-2.0
"""Every example, run as its page says, through a real telemd to a real hub; and the pages, whose snippets are the
files' own text and whose commands are run as they stand. examples/server.py: test_example_server.py."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from exampleruns import EXAMPLES, PAGES, ROOT, LogProbe, blocks, copied, good, lines_of, needs, page, run
from hubprocess import HubProcess, hub_at
from running import Root, Telemd, running, state_root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Service(NamedTuple):
    root: Root
    telemd: Telemd
    hub: HubProcess
    data: Path

    def arrived(self, classification: str) -> list[dict[str, Any]]:
        """All records of that class at the hub, oldest first, once nothing waits any more."""
        self.telemd.wait_delivered()
        return self.hub.records(classification=classification)[::-1]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("hub")
    with (
        hub_at(data) as hub,
        state_root(server=hub.url, record_retention_enabled=True) as root,
        running(root) as telemd,
    ):
        yield Service(root, telemd, hub, data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied(tmp_path)


# ---- probe.c --------------------------------------------------------------------------------------------------------


@pytest.fixture
def probe_c(folder: Path) -> Path:
    needs("cc", "pkg-config")
    flags = good("pkg-config", "--cflags", "--libs", "libtelemetry", cwd=folder).split()
    good("cc", "-Wall", "-Wextra", "-Werror", "probe.c", *flags, "-o", "probe", cwd=folder)
    return folder / "probe"


def test_probe_in_c(service: Service, probe_c: Path, tmp_path: Path) -> None:
    before = len(service.arrived("example.org/disk/fill"))
    config = service.root.config_file
    good(probe_c, "-f", config, "/", tmp_path, cwd=tmp_path)
    good(probe_c, "-f", config, "-n", "guest-os", tmp_path, cwd=tmp_path)
    first, second, guest = service.arrived("example.org/disk/fill")[before:]
    assert {each["payload"].partition(":")[0] for each in (first, second)} == {"/", str(tmp_path)}
    assert guest["facts"]["system_name"] == "guest-os"
    assert first["facts"]["system_name"] == second["facts"]["system_name"] != "guest-os"
    for each in (first, second, guest):
        percent = re.fullmatch(r"/.*: (\d+) % used\n", each["payload"])
        assert percent is not None
        assert 0 <= int(percent[1]) <= 100
        assert each["severity"] == (3 if int(percent[1]) == 100 else 2 if int(percent[1]) >= 90 else 1)
        assert (each["payload_kind"], each["payload_version"]) == ("text", 1)


def test_probe_in_c_goes_on_beside_a_path_that_is_none(service: Service, probe_c: Path, tmp_path: Path) -> None:
    before = len(service.arrived("example.org/disk/fill"))
    done = run(probe_c, "-f", service.root.config_file, tmp_path / "missing", "/proc", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"probe: {tmp_path}/missing: No such file or directory, ignoring",
        "probe: /proc: No such device, ignoring",
    ]
    assert len(service.arrived("example.org/disk/fill")) == before + 1


def test_probe_in_c_without_opt_in_or_telemd(probe_c: Path, tmp_path: Path) -> None:
    with state_root(opted_in=False) as root:
        assert good(probe_c, "-f", root.config_file, "/", cwd=tmp_path) == ""
        root.opt_in()
        done = run(probe_c, "-f", root.config_file, "/", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing was sent" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["-x", "/"], ["-f", "relative.conf", "/"], ["/"] * 65])
def test_probe_in_c_refuses_wrong_arguments(probe_c: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert run(probe_c, *arguments, cwd=tmp_path).returncode == 2


# ---- probe.py -------------------------------------------------------------------------------------------------------


@pytest.fixture
def log_probe(service: Service, folder: Path) -> LogProbe:
    return LogProbe(folder, service.root.config_file)


def test_probe_in_python_sends_each_error_once(service: Service, log_probe: LogProbe) -> None:
    def sent() -> list[str]:
        return lines_of(service.arrived("example.org/log/error"), "once")

    log_probe.write("INFO once\nERROR once 1\nFATAL once 2\nERROR once 3, still being wri")
    log_probe.run()
    assert sent() == ["ERROR once 1", "FATAL once 2"]
    log_probe.run()
    log_probe.write("tten\n")
    log_probe.run()
    assert sent() == ["ERROR once 1", "ERROR once 3, still being written", "FATAL once 2"]
    severities = {
        json.loads(each["payload"])["line"]: each["severity"] for each in service.arrived("example.org/log/error")
    }
    assert (severities["ERROR once 1"], severities["FATAL once 2"]) == (2, 3)
    assert log_probe.state.stat().st_mode & 0o777 == 0o600


def test_probe_in_python_that_loses_its_place_sends_nothing_twice(service: Service, log_probe: LogProbe) -> None:
    """As after a kill between the answer and the new place."""
    count = 2500  # several batches
    log_probe.write("".join(f"ERROR place {number:04}\n" for number in range(count)))
    log_probe.run()
    expected = [f"ERROR place {number:04}" for number in range(count)]
    assert lines_of(service.arrived("example.org/log/error"), "place") == expected
    before = service.telemd.account()["admitted"]
    state = json.loads(log_probe.state.read_text())
    log_probe.state.write_text(json.dumps({**state, "offset": 0}))
    log_probe.run()
    assert json.loads(log_probe.state.read_text()) == state
    assert service.telemd.account()["admitted"] == before + count
    assert lines_of(service.arrived("example.org/log/error"), "place") == expected


def test_probe_in_python_with_other_secrets_sends_other_records(service: Service, log_probe: LogProbe) -> None:
    log_probe.write("ERROR secret\n")
    log_probe.run()
    log_probe.state.unlink()
    log_probe.run()
    assert lines_of(service.arrived("example.org/log/error"), "secret") == ["ERROR secret"] * 2


def test_probe_in_python_follows_a_rotated_log_and_cuts_long_lines(service: Service, log_probe: LogProbe) -> None:
    log_probe.write("ERROR rotated " + "x" * 5000 + "\n")
    log_probe.run()
    log_probe.log.unlink()
    log_probe.write("ERROR rotated 2\n")
    log_probe.run()
    short, long = sorted(lines_of(service.arrived("example.org/log/error"), "rotated"), key=len)
    assert (short, len(long)) == ("ERROR rotated 2", 4096)


def test_probe_in_python_waits_for_opt_in_and_telemd(folder: Path, tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub") as hub, state_root(opted_in=False, server=hub.url) as root:
        probe = LogProbe(folder, root.config_file)
        probe.write("ERROR late\n")
        probe.run()
        assert not probe.state.exists()
        root.opt_in()
        done = run(*probe.command, cwd=folder)
        assert done.returncode == 1
        assert f"telemctl -f {root.config_file} start" in done.stderr
        assert "Traceback" not in done.stderr
        assert json.loads(probe.state.read_text())["offset"] == 0
        with running(root) as telemd:
            probe.run()
            telemd.wait_delivered()
        assert lines_of(hub.records(), "late") == ["ERROR late"]


def test_probe_in_python_says_what_it_cannot_read(log_probe: LogProbe) -> None:
    done = run(*log_probe.command, cwd=log_probe.folder)
    assert done.returncode == 1
    assert done.stderr == f"probe: {log_probe.log}: No such file or directory\n"


# ---- probe.sh -------------------------------------------------------------------------------------------------------


def test_probe_in_shell(service: Service, folder: Path) -> None:
    before = len(service.arrived("example.org/job/failed"))
    command = ("./probe.sh", "-f", service.root.config_file, "sh", "-c")
    assert good(*command, "echo all is well", cwd=folder) == "all is well\n"
    assert len(service.arrived("example.org/job/failed")) == before
    done = run(*command, "echo began; echo no space >&2; exit 7", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (7, "began\nno space\n", "")
    (failed,) = service.arrived("example.org/job/failed")[before:]
    assert failed["payload"] == "command: sh\nexit code: 7\nbegan\nno space\n"
    assert failed["severity"] == 2
    (disks,) = service.hub.records(event=failed["event_id"], classification="example.org/job/disks")
    assert disks["payload"].startswith("Filesystem")
    assert disks["severity"] == 1


def test_probe_in_shell_never_changes_the_exit_code(folder: Path) -> None:
    with state_root() as root:  # without a telemd
        done = run("./probe.sh", "-f", root.config_file, "sh", "-c", "exit 9", cwd=folder, TMPDIR=str(folder))
    assert done.returncode == 9
    assert done.stderr.count("the record was not taken, ignoring\n") == 2
    assert {each.name for each in folder.iterdir()} == {each.name for each in EXAMPLES.glob("*.*")}
    assert run("./probe.sh", cwd=folder).returncode == 2


# ---- read.py --------------------------------------------------------------------------------------------------------


def test_reading_page_after_page(service: Service, folder: Path, log_probe: LogProbe) -> None:
    count = 1001  # one more than a page
    log_probe.write("".join(f"ERROR page {number:04} \x1b[2J\n" for number in range(count)))
    log_probe.run()
    service.telemd.wait_delivered()
    said = good(sys.executable, "read.py", service.hub.url, "example.org/log/*", cwd=folder)
    found = [line for line in said.splitlines() if " page " in line]
    assert len(found) == len(set(found)) == count
    assert "\x1b" not in said
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 2 example\.org/log/error ", found[0])


# ---- the pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_snippets_are_the_files_own_text(name: str) -> None:
    named = [block for block in blocks(name) if block.file]
    assert named
    for block in named:
        assert f"\n{block.text}" in (ROOT / block.file).read_text(), (block.file, block.text)


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_links_to_is_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", page(name))
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_every_example_and_every_page_is_pointed_to() -> None:
    linked = set(re.findall(r"\]\(\.\./examples/([\w.]+)\)", "".join(map(page, PAGES))))
    assert linked == {each.name for each in EXAMPLES.glob("*.*")}
    readme = (ROOT / "README.md").read_text()
    assert [name for name in PAGES if f"](docs/{name}.md)" not in readme] == []


def typed(name: str, cwd: Path, **environment: str) -> str:
    """What bash says to all commands of a page, one after the other; it stops at the first failure."""
    text = "\n".join(block.text for block in blocks(name) if block.language == "sh" and not block.file)
    assert text
    done = run("bash", "-euc", text, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_commands_of_own_probe(service: Service, folder: Path) -> None:
    needs("cc", "pkg-config")
    said = typed("own-probe", folder, conf=str(service.root.config_file))
    assert said == "No space left on device\nthe exit code is the job's own: 3\n"
    errors = lines_of(service.arrived("example.org/log/error"), "")
    assert errors.count("ERROR disk sda1 is full") == errors.count("FATAL giving up") == 1
    names = {each["facts"]["system_name"] for each in service.arrived("example.org/disk/fill")}
    assert "my-container" in names


def test_commands_of_reading(service: Service, folder: Path, log_probe: LogProbe) -> None:
    needs("curl", "jq", "sqlite3")
    log_probe.write("ERROR reading\n")
    log_probe.run()
    service.telemd.wait_delivered()
    logs = service.root.path / "var/log/telemetry"
    newest = service.hub.records(classification="example.org/log/error")[0]["id"]
    journal = logs / "journal"
    wait_until((logs / "records" / newest).exists, "the copy is written")
    wait_until(lambda: journal.exists() and newest in journal.read_text(), "the journal is written")
    said = typed("reading", folder, conf=str(service.root.config_file), hub=service.hub.url, data=str(service.data))
    assert said.count("ERROR reading") >= 4, said  # telemctl, curl, read.py, sqlite3
    assert re.search(r"^event_id: [0-9a-f]{32}$", said, re.MULTILINE)
    assert "delivered" in said
    assert "\nexample.org/log/error|2|" in said
    assert "classification: example.org/try/out\n" in said
    assert service.hub.records(classification="example.org/try/out") == []
