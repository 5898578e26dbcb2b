# SPDX-License-Identifier: Apache-2.0
"""Every example, run as its page says, through a real telemd to a real hub or to examples/server.py; and the pages,
whose snippets are the files' own text and whose commands are run as they stand."""

from __future__ import annotations

import ast
import gzip
import io
import json
import os
import re
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import tokenize
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
import zstandard
from hubprocess import HubProcess, hub_at
from running import BIN, TIMEOUT_S, Root, Telemd, running, state_root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = ("own-probe", "own-server", "reading")
LIBRARY = BIN.parent / "lib"
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "PKG_CONFIG_PATH": str(LIBRARY / "pkgconfig"),
    "LD_LIBRARY_PATH": str(LIBRARY),
    "LC_ALL": "C.UTF-8",
}
HOST_LINE = json.dumps({"host": {"machine_id": "ab" * 16, "arch": "x86_64"}})


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
    """A copy of examples/: what is run leaves files there."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__")))


def needs(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip(f"needs {name} (apt install it)")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def good(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = run(*command, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


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


class LogProbe:
    """probe.py with a state and a log in a folder of its own."""

    def __init__(self, folder: Path, config_file: Path) -> None:
        self.folder = folder
        self.log = folder / "some.log"
        self.state = folder / "some.state"
        self.command = (sys.executable, "probe.py", "-f", config_file, self.state, self.log)

    def write(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text)

    def run(self) -> None:
        assert good(*self.command, cwd=self.folder) == ""


@pytest.fixture
def log_probe(service: Service, folder: Path) -> LogProbe:
    return LogProbe(folder, service.root.config_file)


def lines_of(records: list[dict[str, Any]], word: str) -> list[str]:
    """The lines among them that a test has marked with its word."""
    lines = [json.loads(each["payload"])["line"] for each in records]
    return sorted(line for line in lines if word in line)


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


# ---- server.py ------------------------------------------------------------------------------------------------------


class Server(NamedTuple):
    url: str
    file: Path

    def post(self, body: bytes, encoding: str = "") -> requests.Response:
        headers = {"Content-Encoding": encoding} if encoding else {}
        return requests.post(f"{self.url}/v1/records", body, headers=headers, timeout=TIMEOUT_S)

    def kept(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.file)) as database:
            rows = database.execute("SELECT host, record FROM record ORDER BY rowid").fetchall()
        return [{**json.loads(record), "host": json.loads(host)} for host, record in rows]


@contextmanager
def serving(file: Path) -> Iterator[Server]:
    with (file.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / "server.py", file, "0"], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], TIMEOUT_S)
        assert readable
        yield Server(process.stdout.readline().strip(), file)
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "records.sqlite") as found:
        yield found


def batch(*ids: str) -> bytes:
    return "\n".join([HOST_LINE, *(json.dumps({"id": each, "payload": "x"}) for each in ids), ""]).encode()


def test_server_takes_what_telemd_delivers_and_goes_on_after_a_kill(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "records.sqlite"
    with serving(file) as server, state_root(server=server.url) as root, running(root) as telemd:
        probe = LogProbe(folder, root.config_file)
        probe.write("".join(f"ERROR kept {number:04}\n" for number in range(1500)))
        probe.run()
        account = telemd.wait_delivered()
        assert account["delivered"] == 1500
        assert account["rejected"] == 0
        machine_id = telemd.status()["machine_id"]
    with serving(file) as server, state_root(server=server.url) as root, running(root) as telemd:
        again = LogProbe(folder, root.config_file)
        again.state.write_text(json.dumps({**json.loads(again.state.read_text()), "offset": 0}))
        again.run()
        telemd.wait_delivered()
        kept = server.kept()
    assert lines_of(kept, "kept") == [f"ERROR kept {number:04}" for number in range(1500)]
    assert {each["host"]["machine_id"] for each in kept} == {machine_id}
    assert {each["host"]["kernel_version"] for each in kept} == {os.uname().release}
    assert file.stat().st_mode & 0o777 == 0o600


def test_server_gives_a_verdict_for_each_record(server: Server) -> None:
    first, second = "1" * 32, "2" * 32
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)):
        answer = server.post(pack(batch(first)), encoding)
        assert answer.status_code == 200, encoding
    assert answer.json() == {"verdicts": ["duplicate"]}
    answer = server.post(batch(first, "zz", second, second))
    assert answer.json() == {"verdicts": ["duplicate", "rejected: record-id", "accepted", "duplicate"]}
    assert [each["id"] for each in server.kept()] == [first, second]


@pytest.mark.parametrize(
    "spoiled",
    [b"", b"{", b"[]", b"1", b'{"no": "id"}', b'{"id": 5}', b"\xff", b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "no id", "wrong id", "not utf-8", "deep"],
)
def test_server_stores_nothing_of_a_batch_that_is_none(server: Server, spoiled: bytes) -> None:
    answer = server.post(batch("1" * 32) + spoiled + b"\n" + batch("2" * 32) if spoiled else b"")
    assert answer.status_code == 400
    assert "message" in answer.json()
    assert server.post(batch("3" * 32)).json() == {"verdicts": ["accepted"]}
    assert [each["id"] for each in server.kept()] == ["3" * 32]


def test_server_has_limits(server: Server) -> None:
    bomb = b"\n".join([HOST_LINE.encode(), json.dumps({"id": "1" * 32, "payload": "x" * (17 << 20)}).encode()])
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)):
        assert server.post(pack(bomb), encoding).status_code == 400
    assert server.kept() == []
    for length in (b"16777217", b"-1"):
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), TIMEOUT_S) as talking:
            talking.sendall(b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
            with talking.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 413 ")  # to the end: the connection is closed


def code_lines(source: str) -> int:
    """Without blank lines, comments, docstrings and imports."""
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if (is_text or isinstance(node, (ast.Import, ast.ImportFrom))) and isinstance(node, ast.stmt):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_server_has_the_forty_lines_it_is_said_to_have() -> None:
    assert 0 < code_lines((EXAMPLES / "server.py").read_text()) <= 40
    assert "in 40 lines" in (ROOT / "docs/own-server.md").read_text()


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


class Block(NamedTuple):
    language: str
    file: str
    text: str


def page(name: str) -> str:
    return (ROOT / f"docs/{name}.md").read_text()


def blocks(name: str) -> list[Block]:
    return [
        Block(*found) for found in re.findall(r"^```(\w*) ?(\S*)\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)
    ]


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


def test_commands_of_own_server(tmp_path: Path) -> None:
    needs("sqlite3")
    (start,) = (block.text for block in blocks("own-server") if block.text.startswith("python server.py"))
    file = re.fullmatch(r"python server\.py (\S+) (\d+) &\n", start)
    assert file is not None
    (setting,) = (block.text for block in blocks("own-server") if block.language == "toml")
    assert f":{file[2]}/" in setting
    with serving(tmp_path / file[1]) as server, state_root(server=server.url) as root, running(root) as telemd:
        good(BIN / "hprobe", "-f", root.config_file, cwd=tmp_path)
        telemd.wait_delivered()
        (ask,) = (block.text for block in blocks("own-server") if block.text.startswith("sqlite3"))
        assert good("bash", "-euc", ask, cwd=tmp_path) == f"org.clearlinux/hello/world|{os.uname().release}\n"


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
