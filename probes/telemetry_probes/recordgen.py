# SPDX-License-Identifier: Apache-2.0
"""telem-record-gen: make a record from the command line and send it.

For scripts: everything about the record is given to it. Finding anything out about the machine is for other probes.
"""

from __future__ import annotations

import sys

from libtelemetry import PAYLOAD_MAX, REFUSED, Record, send, telemctl
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Mistake, Program, output

OPTIONS = (
    Option("c", "class", "CLASS", "classification: domain/probe/kind (required)"),
    Option("s", "severity", "N", "severity: 1 (low) to 4 (critical), default 1"),
    Option("p", "payload", "TEXT", f"payload: at most {PAYLOAD_MAX} bytes"),
    Option("P", "payload-file", "FILE", "payload from FILE; without -P and -p, from stdin"),
    Option("R", "record-version", "N", "version of the payload's format, default 1"),
    Option("e", "event-id", "ID", "event id: 32 characters of 0-9a-f, default random"),
    Option("o", "echo", "", "print the record"),
    Option("n", "no-post", "", "don't send it"),
    CONFIG_FILE,
    HELP,
    VERSION,
)
PROGRAM = Program("telem-record-gen", "Makes a telemetry record and sends it.", OPTIONS)

_EVENT_ID_CHARS = frozenset("0123456789abcdef")


def main(argv: list[str] | None = None) -> int:
    """Make and send one record. 0 when telemd has it or none was to be sent, 1 when not."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    classification, severity, version, event_id = _header(given)
    body = _payload(given)
    import time

    created_us = time.time_ns() // 1000
    with Record(
        classification, body, severity=severity, payload_version=version, event_id=event_id, created_us=created_us
    ) as record:
        if "o" in given:
            _echo(record, classification, severity, version, created_us, body)
        if "n" in given:
            return 0
        ack = send(record)
    if ack.verdict == REFUSED:
        return PROGRAM.failed(f"telemd refused the record ({ack.reason_name}): see `{telemctl('status')}`")
    return 0


def _header(given: dict[str, str]) -> tuple[str, int, int, str | None]:
    """Classification, severity, payload version and event id, before any payload is waited for."""
    if "c" not in given:
        raise Mistake("a classification is needed, -c domain/probe/kind; see --help")
    event_id = given.get("e")
    if event_id is not None and (len(event_id) != 32 or not _EVENT_ID_CHARS.issuperset(event_id)):
        raise Mistake("-e: an event id is 32 characters of 0-9a-f")
    severity = _number(given.get("s", "1"), 1, 4, "-s: a severity is a number from 1 to 4")
    version = _number(given.get("R", "1"), 0, 0xFFFFFFFF, "-R: a payload version is a number from 0 to 4294967295")
    return given["c"], severity, version, event_id


def _number(text: str, low: int, high: int, otherwise: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or not low <= int(text) <= high:
        raise Mistake(otherwise)
    return int(text)


def _payload(given: dict[str, str]) -> bytes:
    """-P before -p before standard input. What is over the limit is cut off, and that is said."""
    if "P" in given:
        body = _read(given["P"], given["P"])
    elif "p" in given:
        body = given["p"].encode(sys.getfilesystemencoding(), "surrogateescape")
    else:
        body = _read(0, "standard input")
    if len(body) <= PAYLOAD_MAX:
        return body
    PROGRAM.say(f"the payload is over {PAYLOAD_MAX} bytes, ignoring the rest of it")
    return _cut(body, PAYLOAD_MAX)


def _cut(body: bytes, size: int) -> bytes:
    """The first size bytes, less the part of a UTF-8 character that the cut went through."""
    end = size
    while end > max(size - 4, 0) and body[end] & 0xC0 == 0x80:
        end -= 1
    return body[:end] if body[end] & 0xC0 == 0xC0 else body[:size]


def _read(source: str | int, name: str) -> bytes:
    """At most one byte more than a payload may have."""
    try:
        with open(source, "rb", buffering=0, closefd=not isinstance(source, int)) as stream:
            body = b""
            while len(body) <= PAYLOAD_MAX and (piece := stream.read(PAYLOAD_MAX + 1 - len(body))):
                body += piece
            return body
    except OSError as error:
        raise Mistake(f"{name} can't be read: {error.strerror}") from None


def _echo(record: Record, classification: str, severity: int, version: int, created_us: int, body: bytes) -> None:
    """The record on standard output: its header as `name: value` lines, a blank line, the payload as it is."""
    from libtelemetry import host_facts

    facts = host_facts()
    lines = [
        "record_format_version: 5",
        f"classification: {classification}",
        f"severity: {severity}",
        "machine_id: FFFFFFFF",
        f"creation_timestamp: {created_us // 1_000_000}",
        f"arch: {facts['arch']}",
        f"host_type: {facts['host_type']}",
        f"build: {facts['build']}",
        f"kernel_version: {facts['kernel_version']}",
        f"payload_format_version: {version}",
        f"system_name: {facts['system_name']}",
        f"board_name: {facts['board_name']}",
        f"cpu_model: {facts['cpu_model']}",
        f"bios_version: {facts['bios_version']}",
        f"event_id: {record.event_id.hex()}",
        f"record_id: {record.record_id.hex()}",
    ]
    text = "\n".join(lines).encode() + b"\n\n" + body + (b"" if body.endswith(b"\n") else b"\n")
    output(text)
