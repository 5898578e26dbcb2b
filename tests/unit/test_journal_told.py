# SPDX-License-Identifier: Apache-2.0
"""What of the journal may be told: names of units, systemd's own words, lines of any program, cores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from telemd.ctl import corepattern
from telemetry_probes import journalprobe
from telemetry_probes.journal import coredump, loud, masking, payload, stacktrace
from telemetry_probes.journal.source import Entry

UNITS = [
    ("nginx.service", "nginx.service"),
    ("openvpn@office.service", "openvpn@.service"),
    ("user@1000.service", "user@.service"),
    ("home-alice-secret.mount", "(path).mount"),
    ("boot-efi.mount", "boot-efi.mount"),
    ("-.mount", "-.mount"),
    (r"dev-disk-by\x2duuid-1234.swap", "(path).swap"),
    ("session-c3.scope", "session-c(number).scope"),
    ("user-1000.slice", "user-(number).slice"),
    ("run-u4711.service", "run-u(number).service"),
    ("docker-" + "0123456789abcdef" * 4 + ".scope", "docker-(name).scope"),
    ("machine-alices.scope", "(name).scope"),
    ("a\x1b[31m.service", "a?[31m.service"),
    ("nothing", "nothing"),
]


@pytest.mark.parametrize(("name", "told"), UNITS)
def test_names_of_units(name: str, told: str) -> None:
    assert masking.unit(name) == told


LINES = [
    ("a.service: Failed with result 'exit-code'.", "a.service: Failed with result 'exit-code'."),
    (
        "a.service: Main process exited, code=exited, status=203/EXEC",
        "a.service: Main process exited, code=exited, status=203/EXEC",
    ),
    (
        "a.service: Failed to locate executable /opt/alice/x: No such file",
        "a.service: Failed to locate executable (path): No such file",
    ),
    (
        "a.service: Failed to locate executable /usr/bin/x: No such file",
        "a.service: Failed to locate executable /usr/bin/x: No such file",
    ),
    (
        "a.service: Found left-over process 12 (secret) in control group",
        "a.service: Found left-over process (number) in control group",
    ),
    ('a.service: Got "my password" from it', "a.service: Got (name) from it"),
    ("Started a.service - Alice's own.", "Started a.service"),
    ("Failed to start a.service.", "Failed to start a.service"),
    ("Started Alice's own.", ""),
    ("b.service: about another", ""),
    ("anything else", ""),
]


@pytest.mark.parametrize(("said", "told"), LINES)
def test_lines_of_systemds(said: str, told: str) -> None:
    assert masking.line(said, "a.service") == told


def entry(**fields: str | bytes) -> Entry:
    said = {name: value if isinstance(value, bytes) else value.encode() for name, value in fields.items()}
    return Entry(1, "i=1", 1, 1, "ab" * 16, said)


def test_a_kind_of_line_is_sent_a_few_times_and_then_counted() -> None:
    sieve = loud.Sieve(7, 0.0)
    told = [sieve.admit(entry(MESSAGE=f"disk {number} is gone", _COMM="x"), 0.0) for number in range(50)]
    assert sum(one is not None for one in told) == 3
    later = sieve.admit(entry(MESSAGE="disk 1 is gone", _COMM="x"), 3601.0)
    assert later is not None
    assert later.more == 47


def test_all_kinds_together_have_a_budget() -> None:
    sieve = loud.Sieve(7, 0.0)
    told = [sieve.admit(entry(MESSAGE="x" * size), 0.0) for size in range(200)]
    assert sum(one is not None for one in told) == loud.BURST
    assert sieve.left_out == 200 - loud.BURST


def test_what_has_a_record_of_its_own_is_no_line() -> None:
    sieve = loud.Sieve(7, 0.0)
    assert sieve.admit(entry(MESSAGE="x", _PID="7"), 0.0) is None
    assert sieve.admit(entry(MESSAGE="x", _PID="1", MESSAGE_ID="d9b373ed55a64feb8242e02dbe79a49c"), 0.0) is None


MAPS = b"""400000-401000 r-xp 00000000 08:01 1 /usr/bin/tool
500000-501000 r-xp 00000000 08:01 2 /opt/alice/secret.so
600000-601000 r-xp 00000000 00:00 0
"""
STATUS = b"Name:\ttool\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nThreads:\t2\nVmRSS:\t 12 kB\n"
MESSAGE = """Process 77 (tool) of user 1000 dumped core.

Module /usr/bin/tool with build-id aabbccdd
Stack trace of thread 77:
#0  0x0000000000400010 _ZN1a1bEv (tool + 0x10)
#1  0x0000000000500020 alices_own (secret.so + 0x20)
#2  0x0000000000600030 n/a (n/a + 0x0)
#3  0x0000000000900040 lying (libc.so.6 + 0x40)

Stack trace of thread 78:
#0  0x0000000000400010 main (tool + 0x10)
"""


def core(**fields: str | bytes) -> Entry:
    given: dict[str, str | bytes] = {
        "MESSAGE": MESSAGE, "COREDUMP_PID": "77", "COREDUMP_EXE": "/usr/bin/tool", "COREDUMP_COMM": "tool",
        "COREDUMP_SIGNAL": "11", "COREDUMP_PROC_MAPS": MAPS, "COREDUMP_PROC_STATUS": STATUS, **fields,
    }  # fmt: skip
    return entry(**given)


def crash(**fields: str | bytes) -> tuple[coredump.Crash, dict[str, Any], str]:
    found = coredump.crash(core(**fields), False, lambda names: [name.replace("_ZN1a1bEv", "a::b()") for name in names])
    assert found is not None
    version, content = found.payload(0)
    head, _, text = content.decode().partition("\n")
    return found, json.loads(head) if version == 2 else {}, text or head


def test_where_a_frame_is_the_process_says_and_not_the_trace() -> None:
    found, told, text = crash()
    assert found.classification == "org.clearlinux/crash/clr"
    modules = told["modules"]
    assert modules == [{"path": "/usr/bin/tool", "build_id": "aabbccdd"}, {"path": "third party"}]
    (first, second) = told["stacks"]
    assert [frame.get("function") for frame in first["frames"]] == ["a::b()", None, None, None]  # no file, no name
    assert first["frames"][3]["pc"] == "nowhere"
    assert second["tids"] == [78]
    assert told["threads"] == 2
    for secret in ("alice", "secret.so", "alices_own", "lying"):
        assert secret not in text + json.dumps(told)


@pytest.mark.parametrize(
    ("executable", "classification"),
    [
        ("/opt/tool", "org.clearlinux/crash/unknown"),
        ("/usr/local/bin/tool", "org.clearlinux/crash/unknown"),
        ("/builddir/build/BUILD/x/tool", "org.clearlinux/crash/clr-build"),
        ("", "org.clearlinux/crash/unknown"),
    ],
)
def test_of_what_is_not_the_systems_only_that_it_crashed(executable: str, classification: str) -> None:
    found, told, text = crash(COREDUMP_EXE=executable)
    assert (found.classification, told) == (classification, {})
    assert text.startswith("Crash from ")


def test_of_a_program_with_more_rights_than_its_user_no_names() -> None:
    for status in (STATUS.replace(b"Uid:\t1000\t1000", b"Uid:\t1000\t0"), b""):
        _, told, text = crash(COREDUMP_PROC_STATUS=status)
        assert "a::b()" not in text
        assert all("function" not in frame for frame in told["stacks"][0]["frames"])
    secure = (23).to_bytes(8, "little") + (1).to_bytes(8, "little") + bytes(16)
    assert "a::b()" not in crash(COREDUMP_PROC_AUXV=secure)[2]
    assert "a::b()" in crash(COREDUMP_PROC_AUXV=secure[:8] + bytes(24))[2]


def test_without_a_stack_it_is_an_error() -> None:
    found, told, _ = crash(MESSAGE="Process 77 (tool) of user 1000 dumped core.")
    assert (found.classification, found.severity) == ("org.clearlinux/crash/error", 4)
    assert "systemd-coredump made no stack trace" in told["flags"]


def test_no_process_no_crash() -> None:
    assert coredump.crash(core(COREDUMP_PID="x"), False, list) is None


def test_traces_of_old_and_new_versions() -> None:
    old = "Stack trace of thread 5:\n                #0  0x00007f001 raise (libc.so.6)\n"
    assert stacktrace.read(old).threads[0].lines == []  # indented by journalctl alone
    (trace,) = stacktrace.read("Stack trace of thread 5:\n#0  0x00007f0012345678 raise (libc.so.6)\n").threads
    assert (trace.tid, trace.lines[0].function, trace.lines[0].offset) == (5, "raise", None)
    many = "Stack trace of thread 1:\n" + "#1 0x1 f (m + 0x1)\n" * 1000
    (trace,) = stacktrace.read(many).threads
    assert (len(trace.lines), trace.left_out) == (stacktrace.FRAMES_MAX, 1000 - stacktrace.FRAMES_MAX)
    crowd = stacktrace.read("".join(f"Stack trace of thread {number}:\n" for number in range(600)))
    assert crowd.threads_left_out == 600 - stacktrace.THREADS_MAX


def test_build_ids_of_later_versions() -> None:
    packages = json.dumps(
        {"elfType": "coredump", "/usr/bin/tool": {"type": "deb", "buildId": "0123"}, "x": {"buildId": 5}}
    )
    _, told, _ = crash(MESSAGE=MESSAGE.replace("Module ", "M "), COREDUMP_PACKAGE_JSON=packages)
    assert told["modules"][0] == {"path": "/usr/bin/tool", "build_id": "0123"}
    for broken in ("{buildId", "[" * 5000 + "buildId", '["buildId"]'):
        assert crash(COREDUMP_PACKAGE_JSON=broken)[1]["modules"]


def test_a_payload_is_never_too_long() -> None:
    lines = ["x" * 300] * 300
    content = payload.payload({"lines_before": lines, "lines_after": lines, "kind": "x"}, ["y" * 100] * 1000)
    assert len(content) <= payload.PAYLOAD_MAX
    head, _, text = content.decode().partition("\n")
    assert json.loads(head)["left_out"] in ("lines_before", "lines_after")
    assert len(text) <= payload.TEXT_MAX
    assert text.endswith("y\n")


def test_who_hands_crashes_on_has_told_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pattern = tmp_path / "core_pattern"
    monkeypatch.setattr(journalprobe, "CORE_PATTERN", str(pattern))
    assert not journalprobe._hands_on()
    for chain in (True, False):
        pattern.write_text(str(corepattern.wanted("/usr/libexec/crashgate", None, chain=chain)))
        assert journalprobe._hands_on() == chain
    pattern.write_text("|/lib/systemd/systemd-coredump %P %u %g %s %t %c %h\n")
    assert not journalprobe._hands_on()
