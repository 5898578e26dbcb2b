# SPDX-License-Identifier: Apache-2.0
"""Real journals, and what becomes of them: what a person reads in each, and the whole of what is sent.

After a change that was meant, `python tests/golden/test_journal_reports.py` writes journal/expected/ anew: read the
difference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from telemetry_probes.crash.demangle import Demangler
from telemetry_probes.journal import coredump, failure, payload, trusted
from telemetry_probes.journal.failure import Failure
from telemetry_probes.journal.incidents import Incidents
from telemetry_probes.journal.source import Entry

HERE = Path(__file__).parent / "journal"
TEXTS = sorted(path.stem for path in (HERE / "texts").glob("*.export"))


def entries(content: bytes) -> list[Entry]:
    """Of the journal's export format (systemd.io/JOURNAL_EXPORT_FORMATS)."""
    found: list[Entry] = []
    fields: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        end = content.index(b"\n", at)
        line, at = content[at:end], end + 1
        name, equals, value = line.partition(b"=")
        if line and not equals:
            size = int.from_bytes(content[at : at + 8], "little")
            value, at = content[at + 8 : at + 8 + size], at + 8 + size + 1
        if line:
            fields[name.decode()] = value
        if fields and (not line or at >= len(content)):
            found.append(_entry(len(found), fields))
            fields = {}
    return found


def _entry(number: int, fields: dict[str, bytes]) -> Entry:
    return Entry(
        number,
        fields["__CURSOR"].decode(),
        int(fields["__REALTIME_TIMESTAMP"]),
        int(fields["__MONOTONIC_TIMESTAMP"]),
        fields["_BOOT_ID"].decode(),
        fields,
    )


def is_followed(entry: Entry) -> bool:
    """As the journal's own index would say it."""
    return any(
        all(
            entry.text(name) in [match.partition("=")[2] for match in group if match.startswith(f"{name}=")]
            for name in {match.partition("=")[0] for match in group}
        )
        for group in trusted.FAILURES
    )


def sent(name: str, lifted: bool = False) -> list[dict[str, Any]]:
    """What golden files hold of each record."""
    incidents = Incidents()
    found: list[dict[str, Any]] = []
    for entry in filter(is_followed, entries((HERE / f"texts/{name}.export").read_bytes())):
        if entry.text("MESSAGE_ID") == trusted.DUMPED:
            crash = coredump.crash(entry, lifted, Demangler().readable)
            assert crash is not None
            found.append(_told(crash.classification, crash.severity, crash.payload(0)[1]))
        else:
            assert incidents.feed(entry) == []
    for incident in incidents.end():
        one = Failure(incident, lifted)
        found.append(_told(failure.CLASS, failure.SEVERITY, payload.payload(one.fields(), one.sentences())))
    return found


def _told(classification: str, severity: int, content: bytes) -> dict[str, Any]:
    fields, _, text = content.decode().partition("\n")
    return {
        "classification": classification,
        "severity": severity,
        "fields": json.loads(fields),
        "text": text.splitlines(),
    }


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_sent(name: str) -> None:
    assert sent(name) == json.loads((HERE / f"expected/{name}.json").read_text())


# By eye: name of the text, unit, result, code, status, failures, restarts.
READ = [
    ("exec", "noexec.service", "exit-code", "exited", 203, 1, None),
    ("exit", "failing.service", "exit-code", "exited", 3, 1, None),
    ("killed", "one.service", "signal", "killed", 9, 1, None),
    ("flapping", "flap.service", "exit-code", "exited", 1, 6, 6),
]


@pytest.mark.parametrize(("name", "unit", "result", "code", "status", "failures", "restarts"), READ)
def test_what_a_person_reads(
    name: str, unit: str, result: str, code: str, status: int, failures: int, restarts: int | None
) -> None:
    (one,) = sent(f"systemd-252-{name}")
    told = one["fields"]
    assert (told["unit"], told["result"], told["failures"], told.get("restarts")) == (unit, result, failures, restarts)
    assert [(end["code"], end["status"], end["count"]) for end in told["ends"]] == [(code, status, failures)]


def test_a_start_that_takes_too_long_has_no_end() -> None:
    (one,) = sent("systemd-252-timeout")
    assert one["fields"]["result"] == "timeout"
    assert "ends" not in one["fields"]
    assert one["fields"]["not_started"] == "failed"


def test_a_core_that_systemd_coredump_looked_at() -> None:
    """By eye: what gdb says of the same core."""
    (one,) = sent("systemd-252-coredump")
    assert (one["classification"], one["severity"]) == ("org.clearlinux/crash/clr", 3)
    told = one["fields"]
    assert (told["process"], told["executable"], told["signal"]["name"]) == ("sleep", "/usr/bin/sleep", "SIGSEGV")
    assert (told["by"], told["unit"], told["threads"], told["arch"]) == (
        "systemd-coredump", "dozing.service", 1, "x86_64",
    )  # fmt: skip
    (stack,) = told["stacks"]
    assert [frame.get("function", "?") for frame in stack["frames"]] == [
        "__GI___clock_nanosleep", "__GI___nanosleep", "?", "?", "?", "__libc_start_call_main", "__libc_start_main_impl",
        "?",
    ]  # fmt: skip
    assert [module["path"] for module in told["modules"]] == ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/sleep"]
    assert (stack["frames"][2]["module"], stack["frames"][2]["offset"]) == (1, "0x64af")
    assert one["text"][5] == "#0 __GI___clock_nanosleep() - [/usr/lib/x86_64-linux-gnu/libc.so.6]"
    everything = json.dumps(one)
    for secret in ("LOGNAME", "INVOCATION_ID", "1000", "core.sleep"):
        assert secret not in everything


if __name__ == "__main__":
    for each in TEXTS:
        (HERE / f"expected/{each}.json").write_text(json.dumps(sent(each), indent=1) + "\n")
    sys.exit(0)
