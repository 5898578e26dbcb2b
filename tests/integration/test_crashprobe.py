# SPDX-License-Identifier: Apache-2.0
"""crashprobe as it is installed: cores that the kernel wrote go in by every way, reports come to a hub through a real
telemd, and what must stay on the machine stays there.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crashing import (
    AS_SYSTEM,
    BUILD,
    ERROR,
    FORMAT4_MAX,
    HEADER,
    PYTHON_VICTIM,
    SECRET,
    SYSTEM,
    THIRD_PARTY,
    VICTIM,
    OlderTelemd,
    Service,
    Victim,
    crashprobe,
    died,
    fed,
    functions,
    printed,
    refused,
    report_of,
    sent,
    without_notes,
)
from hubprocess import hub_at
from running import BIN, NOBODY, TIMEOUT_S, needs_root, running, state_root
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    source = folder / "victim.c"
    source.write_text(VICTIM)
    subprocess.run(["gcc", "-g", "-O0", "-o", folder / "victim", source], check=True, timeout=TIMEOUT_S)
    return folder / "victim"


@pytest.fixture(scope="module")
def victim(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return died(tmp_path_factory.mktemp("died"), program, f"{SECRET}argument", "1")


@pytest.fixture(scope="module")
def deep(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """It died so far down that its frames as text are more than a record of format 4 holds."""
    return died(tmp_path_factory.mktemp("deep"), program, "x", "2000")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """A system's program without being told so: Python, with a script that is somebody's own."""
    folder = tmp_path_factory.mktemp("script")
    (folder / f"{SECRET}script.py").write_text(PYTHON_VICTIM)
    return died(folder, "/usr/bin/python3", folder / f"{SECRET}script.py", f"{SECRET}argument")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("hub")
    with hub_at(data) as hub, state_root(server=hub.url, spool_max_size=1 << 20) as root, running(root) as telemd:
        yield Service(root, telemd, hub, set())


@pytest.fixture
def lifted(service: Service) -> Iterator[None]:
    """The owner lifted the privacy filters."""
    owners = service.root.opt_in_file.with_name("opt-in-no-privacy-filters")
    owners.touch()
    yield
    owners.unlink()


# -- what arrives --


@pytest.mark.usefixtures("lifted")
def test_report_says_where_it_died(service: Service, victim: Victim) -> None:
    record = sent(service, *AS_SYSTEM, "-c", victim.core)
    assert (record["classification"], record["severity"]) == (SYSTEM, 3)
    report = report_of(record)
    assert (report["version"], report["process"], report["executable"]) == (2, "victim", "/usr/bin/victim")
    assert (report["pid"], report["arch"], report["threads"]) == (victim.pid, os.uname().machine, 1)
    assert (report["signal"]["number"], report["signal"]["name"]) == (6, "SIGABRT")
    names = functions(report)
    at = names.index("leaf")
    assert names[at - 1] in ("abort", "__GI_abort")
    assert names[at : at + 4] == ["leaf", "middle", "middle", "main"]
    frames = report["stacks"][0]["frames"][at : at + 4]
    lines = VICTIM.splitlines()
    assert ["abort();" in lines[frame["line"] - 1] for frame in frames] == [True, False, False, False]
    assert all(frame["file"] == str(victim.program.with_suffix(".c")) for frame in frames)
    assert {report["modules"][frame["module"]]["path"] for frame in frames} == {str(victim.program)}
    assert report["stacks"][0]["tids"] == [victim.pid]
    assert report["stacks"][0]["crashed"] is True
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in report["fingerprints"].values())
    assert set(report["fingerprints"]) == {"offset", "name"}
    text = record["payload"].partition("\n")[2]
    assert f"Process: /usr/bin/victim\nPID: {victim.pid}\nSignal: 6\n\nBacktrace (TID {victim.pid}):\n#0 " in text
    source = f"{victim.program.with_suffix('.c')}:{frames[0]['line']}"
    assert f"\n#{at} leaf() - [{victim.program}] - {source}\n" in text


def test_what_is_not_the_systems_own_has_no_name(service: Service, victim: Victim) -> None:
    record = sent(service, *AS_SYSTEM, "-c", victim.core)
    report = report_of(record)
    assert {"abort", "__GI_abort"} & set(functions(report))
    for word in ("leaf", "middle", " main()", "victim.c", str(victim.program.parent)):
        assert word not in record["payload"]
    assert "third party" in [module["path"] for module in report["modules"]]


def test_a_program_of_the_system_needs_no_words(service: Service, script: Victim) -> None:
    record = sent(service, "-c", script.core)
    report = report_of(record)
    assert (record["classification"], report["executable"]) == (SYSTEM, str(Path("/usr/bin/python3").resolve()))
    assert report["process"] == "python3"


def test_every_way_in_comes_to_the_same(service: Service, victim: Victim) -> None:
    raw = victim.core.read_bytes()
    first = report_of(sent(service, *AS_SYSTEM, "-c", victim.core))
    with victim.core.open("rb") as file:
        assert report_of(sent(service, *AS_SYSTEM, stdin=file)) == first
    out, into = os.pipe()
    assert report_of(fed(service, out, os.fdopen(into, "wb"), raw)) == first
    ours, theirs = socket.socketpair()
    with ours:
        assert report_of(fed(service, theirs.detach(), ours.makefile("wb"), raw)) == first


# -- flags --


def test_name_path_and_signal_are_taken_from_the_command_line(service: Service, victim: Victim) -> None:
    report = report_of(sent(service, "-p", "other", "-E", "!usr!bin!other", "-s", "9", "-c", victim.core))
    assert (report["process"], report["executable"]) == ("other", "/usr/bin/other")
    assert report["signal"]["number"] == 6  # the core knows better
    long = ("--process-name=other", "--process-path", "/usr/bin/other", "--signal=9", f"--core-file={victim.core}")
    assert report_of(sent(service, *long)) == report


def test_signal_of_the_command_line_where_the_core_has_none(service: Service, victim: Victim, tmp_path: Path) -> None:
    report = report_of(sent(service, *AS_SYSTEM, "-s", "11", "-c", without_notes(victim.core, tmp_path / "core")))
    assert report["signal"] == {"number": 11, "name": "SIGSEGV", "code": 0}


@pytest.mark.parametrize("wrong", ["0", "65", "x", "-1", "1" * 9999])
def test_a_signal_is_a_number(service: Service, victim: Victim, wrong: str) -> None:
    assert "-s: a signal is a number from 1 to 64" in refused(service, *AS_SYSTEM, f"-s{wrong}", "-c", victim.core)


def test_verbose_prints_what_is_sent(service: Service, victim: Victim) -> None:
    done = crashprobe(service.root, *AS_SYSTEM, "-v", "-c", victim.core)
    (record,) = service.fresh()
    assert (done.returncode, done.stdout, done.stderr) == (0, record["payload"], "")


@pytest.mark.parametrize("flag", ["-x", "--explain"])
@pytest.mark.parametrize("kind", ["filtered", "lifted", "third party"])
def test_explain_prints_exactly_what_is_sent(
    service: Service, victim: Victim, flag: str, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "lifted":
        request.getfixturevalue("lifted")
    path = ("-E", "/opt/own") if kind == "third party" else AS_SYSTEM
    done = crashprobe(service.root, *path, flag, "-c", victim.core)
    assert (done.returncode, done.stderr) == (0, "")
    assert service.fresh() == []
    record = sent(service, *path, "-c", victim.core)
    assert printed(done.stdout) + "\n" == record["payload"]
    assert f"payload    {len(record['payload'].encode())} bytes" in done.stdout
    assert f"class      {record['classification']}\nseverity   {record['severity']}\n" in done.stdout
    assert ("left out   modules that are not the system's" in done.stdout) == (kind == "filtered")
    assert ("the filters are lifted" in done.stdout) == (kind == "lifted")
    assert ("only that it crashed is told" in done.stdout) == (kind == "third party")


@pytest.mark.parametrize("flag", ["-j", "--json"])
def test_json_prints_the_line(service: Service, victim: Victim, flag: str) -> None:
    done = crashprobe(service.root, *AS_SYSTEM, flag, "-c", victim.core)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert service.fresh() == []
    assert json.loads(done.stdout) == report_of(sent(service, *AS_SYSTEM, "-c", victim.core))


def test_json_says_also_of_a_third_partys_program_what_is_sent(service: Service, victim: Victim) -> None:
    done = crashprobe(service.root, "-E", "/opt/own", "-j", "-c", victim.core)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"text": "Crash from third party\n"})


def test_help_and_version(service: Service) -> None:
    shown = crashprobe(service.root, "-h")
    assert (shown.returncode, shown.stderr) == (0, "")
    for option in ("-c, --core-file", "-p, --process-name", "-E, --process-path", "-s, --signal", "-f, --config-file",
                   "-v, --verbose", "-x, --explain", "-j, --json", "-h, --help", "-V, --version"):  # fmt: skip
        assert option in shown.stdout
    version = crashprobe(service.root, "-V")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?\S*\n", version.stdout)


def test_what_it_does_not_know_is_refused(service: Service) -> None:
    assert "unknown option --nonsense; see --help" in refused(service, "--nonsense")
    assert "-c needs a value, FILE" in refused(service, "-c")
    assert "unexpected argument 'core'" in refused(service, "core")


# -- what may not be looked at isn't --


@pytest.mark.parametrize(
    ("path", "classification", "text"),
    [
        ("/opt/own/program", THIRD_PARTY, "Crash from third party\n"),
        ("!opt!own!program", THIRD_PARTY, "Crash from third party\n"),
        ("/usr/local/bin/program", THIRD_PARTY, "Crash from third party\n"),
        ("/home/me/program", THIRD_PARTY, "Crash from third party\n"),
        ("!usr!bin!..!..!opt!program", THIRD_PARTY, "Crash from third party\n"),
        ("program", THIRD_PARTY, "Crash from third party\n"),
        ("/builddir/build/BUILD/x/program", BUILD, "Crash from Clear package build\n"),
        ("!builddir!build!BUILD!x!program", BUILD, "Crash from Clear package build\n"),
    ],
)
def test_path_decides_before_anything_is_read(
    service: Service, tmp_path: Path, path: str, classification: str, text: str
) -> None:
    """Nobody writes into the FIFO: whoever opened or read it would wait for ever."""
    fifo = tmp_path / "core"
    os.mkfifo(fifo)
    out, into = os.pipe()
    try:
        for record in (sent(service, "-E", path, "-c", fifo), sent(service, "-E", path, stdin=out)):
            assert (record["classification"], record["severity"], record["payload"]) == (classification, 2, text)
            assert record["payload_version"] == 1
    finally:
        os.close(out)
        os.close(into)


def test_path_that_the_core_names_decides_as_well(service: Service, victim: Victim) -> None:
    record = sent(service, "-p", "ls", "-c", victim.core)
    assert (record["classification"], record["payload"]) == (THIRD_PARTY, "Crash from third party\n")


@pytest.mark.usefixtures("lifted")
def test_owner_can_have_it_all(service: Service, victim: Victim) -> None:
    record = sent(service, "-c", victim.core)
    assert record["classification"] == SYSTEM
    assert {"leaf", "middle", "main"} <= set(functions(report_of(record)))
    assert report_of(record)["executable"] == str(victim.program)


def secrets_of(program: Victim) -> list[str]:
    """What is in the core, and what nobody may see of it: text, and addresses of the stack and of the heap."""
    raw = program.core.read_bytes()
    planted = [f"{SECRET}argument", f"{SECRET}environment", *{each.decode() for each in re.findall(
        SECRET.encode() + b"[!-~]{1,40}", raw)}]  # fmt: skip
    assert len(planted) > 2
    sp = struct.unpack_from("<Q", raw, raw.index(struct.pack("<I", program.pid), HEADER) - 32 + 112 + 19 * 8)
    return [*planted, SECRET, SECRET.replace("-", "_"), *(f"{value:x}" for value in sp)]


@pytest.mark.parametrize("rules", ["filtered", "lifted"])
@pytest.mark.parametrize("name", ["victim", "script"])
def test_no_payload_has_what_the_program_had(
    service: Service, name: str, rules: str, request: pytest.FixtureRequest
) -> None:
    """Also where the filters are lifted: they are about paths. A script's own name and functions are shown then."""
    program: Victim = request.getfixturevalue(name)
    if rules == "lifted":
        request.getfixturevalue("lifted")
    raw = program.core.read_bytes()
    for planted in ("argument", "environment"):
        assert f"{SECRET}{planted}".encode() in raw
    record = sent(service, *(AS_SYSTEM if name == "victim" else ()), "-c", program.core)
    shown = json.dumps(record)
    if (name, rules) == ("script", "lifted"):
        own_names = (f"{SECRET}script.py", f"{SECRET.replace('-', '_')}function")
        assert all(each in shown for each in own_names)
        for each in own_names:
            shown = shown.replace(each, "")
    for word in secrets_of(program):
        assert word not in shown
    assert report_of(record)["stacks"][0]["frames"]


@pytest.mark.parametrize("rules", ["filtered", "lifted"])
def test_bytes_that_were_taken_for_an_address(
    service: Service, program: Path, tmp_path: Path, rules: str, request: pytest.FixtureRequest
) -> None:
    """It called what it had for a secret. The owner who lifted the filters sees where that leads."""
    if rules == "lifted":
        request.getfixturevalue("lifted")
    victim = died(tmp_path, program, "call", "0", by=signal.SIGSEGV)
    record = sent(service, *AS_SYSTEM, "-c", victim.core)
    report = report_of(record)
    bytes_called = f"{int.from_bytes(SECRET.encode()[:5], 'little'):x}"
    assert (bytes_called in record["payload"]) == (rules == "lifted")
    shown = {"filtered": "nowhere", "lifted": f"0x{bytes_called}"}[rules]
    assert (report["stacks"][0]["frames"][0]["pc"], report["signal"]["address"]) == (shown, shown)
    assert len(report["stacks"][0]["frames"]) > 3
    explained = crashprobe(service.root, *AS_SYSTEM, "-x", "-c", victim.core).stdout
    assert ("addresses where the program had no memory" in explained) == (rules == "filtered")


@pytest.mark.usefixtures("lifted")
def test_of_a_set_id_program_a_kept_core_has_no_names_either(service: Service, victim: Victim, tmp_path: Path) -> None:
    raw = victim.core.read_bytes()
    secure = struct.Struct("<QQ").pack(23, 0)  # AT_SECURE, before AT_RANDOM in the kernel's order
    at = raw.index(secure + struct.pack("<Q", 25))
    (tmp_path / "core").write_bytes(raw[: at + 8] + struct.pack("<Q", 1) + raw[at + 16 :])
    report = report_of(sent(service, *AS_SYSTEM, "-c", tmp_path / "core"))
    assert len(report["stacks"][0]["frames"]) > 4
    assert set(functions(report)) == {""}
    assert any("more rights than its user" in flag for flag in report["flags"])


# -- nothing to unwind, nothing to read --


def test_core_of_which_nothing_is_left(service: Service, victim: Victim, tmp_path: Path) -> None:
    record = sent(service, *AS_SYSTEM, "-c", without_notes(victim.core, tmp_path / "core"))
    assert (record["classification"], record["severity"]) == (ERROR, 4)
    report = report_of(record)
    assert (report["stacks"], report["threads"]) == ([], 0)
    assert any("no thread's registers" in flag for flag in report["flags"])
    assert "the core was cut" in report["flags"]


@pytest.mark.parametrize(
    ("at", "byte", "why"), [(4, 1, "32 bit"), (18, 243, r"this machine \(RISC-V"), (18, 21, r"\(PowerPC 64")]
)
def test_core_of_another_machine(
    service: Service, victim: Victim, tmp_path: Path, at: int, byte: int, why: str
) -> None:
    raw = bytearray(victim.core.read_bytes())
    raw[at] = byte
    (tmp_path / "core").write_bytes(raw)
    record = sent(service, *AS_SYSTEM, "-c", tmp_path / "core")
    assert (record["classification"], record["severity"]) == (ERROR, 4)
    assert any(re.search(why, flag) for flag in report_of(record)["flags"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the core is empty"),
        (b"a text\n" * 1000, "not a core file"),
        (b"\x7fELF", "not a core file"),
        (Path("/usr/bin/python3").resolve().read_bytes()[:9999], "an ELF file, but not a core"),
        (gzip.compress(bytes(range(256))), "packed, and has to come unpacked (gzip -dc)"),
        (b"\x28\xb5\x2f\xfd" + bytes(999), "packed, and has to come unpacked (zstd -dc)"),
    ],
    ids=["empty", "text", "cut", "a program", "gzip", "zstd"],
)
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_what_is_no_core(service: Service, tmp_path: Path, content: bytes, why: str, way: str) -> None:
    file = tmp_path / "core"
    file.write_bytes(content)
    if way == "file":
        assert f"{file}: {why}; " in refused(service, "-c", file)
        return
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat:
        assert f"standard input: {why}; " in refused(service, stdin=cat.stdout)


def test_what_is_no_file(service: Service, tmp_path: Path) -> None:
    assert "can't be opened: No such file or directory" in refused(service, "-c", tmp_path / "none")
    assert "can't be opened" in refused(service, "-c", "")
    assert f"{tmp_path} is a folder" in refused(service, "-c", tmp_path)


# -- who takes it --


def test_root_is_left_before_a_core_is_read(victim: Victim) -> None:
    """It becomes telemd's user, whose reports are taken; the core is opened by root."""
    needs_root()
    with state_root() as root:
        root.hand_to(NOBODY)
        with running(root, user=NOBODY) as telemd:
            command: list[str | Path] = [BIN / "crashprobe", "-f", root.config_file, *AS_SYSTEM]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as reader:
                rights = Path(f"/proc/{reader.pid}/status")
                wait_until(lambda: "Seccomp:\t2\n" in rights.read_text(), "it has given up its rights")
                found = dict(line.split(":\t", 1) for line in rights.read_text().splitlines() if ":\t" in line)
                reader.communicate(victim.core.read_bytes(), TIMEOUT_S)
            assert reader.returncode == 0
            assert found["Uid"].split() + found["Gid"].split() == [str(NOBODY)] * 8
            assert (found["Groups"].strip(), int(found["CapEff"], 16), found["NoNewPrivs"]) == ("", 0, "1")
            assert telemd.account()["pending"] == 1
            assert victim.core.stat().st_mode & 0o077 == 0
            shown = crashprobe(root, *AS_SYSTEM, "-j", "-c", victim.core)
            assert {"abort", "__GI_abort"} & set(functions(json.loads(shown.stdout)))


def test_not_opted_in(victim: Victim, tmp_path: Path) -> None:
    fifo = tmp_path / "core"
    os.mkfifo(fifo)
    with state_root(opted_in=False) as root:
        done = crashprobe(root, *AS_SYSTEM, "-c", fifo)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"not opted in, nothing was looked at: run `telemctl -f {root.config_file} opt-in`" in done.stderr
        shown = crashprobe(root, *AS_SYSTEM, "-x", "-c", victim.core)
        assert (shown.returncode, shown.stderr) == (0, "")
        root.opt_in_file.parent.mkdir(parents=True, exist_ok=True)
        root.opt_in_file.with_name("opt-in-no-privacy-filters").touch()
        assert crashprobe(root, *AS_SYSTEM, "-x", "-c", victim.core).stdout == shown.stdout


def test_no_telemd(victim: Victim) -> None:
    with state_root() as root:
        done = crashprobe(root, *AS_SYSTEM, "-c", victim.core)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"start it with `telemctl -f {root.config_file} start`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_older_telemd_gets_the_text(victim: Victim, deep: Victim) -> None:
    for core, is_cut in ((victim, False), (deep, True)):
        with state_root() as root:
            root.opt_in_file.with_name("opt-in-no-privacy-filters").touch()
            older = OlderTelemd(root.socket4)
            done = crashprobe(root, *AS_SYSTEM, "-c", core.core)
            header, payload = older.record()
        assert (done.returncode, done.stderr) == (0, "")
        assert (header["classification"], header["severity"], header["payload_format_version"]) == (SYSTEM, "3", "1")
        lines = payload.decode("ascii").splitlines()
        assert lines[:3] == ["Process: /usr/bin/victim", f"PID: {core.pid}", "Signal: 6"]
        assert any(re.fullmatch(r"#\d+ leaf\(\) - \[.*/victim\] - .*victim\.c:\d+", line) for line in lines)
        assert len(payload) < FORMAT4_MAX
        assert (re.fullmatch(r"\(cut here: \d+ more frames\)", lines[-1]) is not None) == is_cut
        assert not is_cut or len(payload) > FORMAT4_MAX // 2


def test_deep_recursion_fits(service: Service, deep: Victim) -> None:
    report = report_of(sent(service, *AS_SYSTEM, "-c", deep.core))
    assert report["stacks"][0]["frames_left_out"] > 1000


def test_what_is_said_has_an_end_when_nobody_listens(service: Service, victim: Victim) -> None:
    """--verbose into a pipe that is closed: the report is sent all the same."""
    out, into = os.pipe()
    os.close(out)
    arguments: Sequence[str | Path] = (*AS_SYSTEM, "-v", "-c", victim.core)
    done = subprocess.run(
        [BIN / "crashprobe", "-f", service.root.config_file, *arguments], stdout=into, timeout=TIMEOUT_S
    )
    os.close(into)
    assert done.returncode == 0
    assert len(service.fresh()) == 1
