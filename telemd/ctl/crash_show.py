# SPDX-License-Identifier: Apache-2.0
"""telemctl crash show: a crash report as it was sent: the backtrace, or with --json all of it.

A report that waits is shown from the spool, one that was sent from the copies that record_retention_enabled keeps.
"""

from __future__ import annotations

import os

from telemd.ctl import asking, crashes
from telemd.ctl.call import failed, json_option
from telemd.ctl.exitcodes import GOOD
from telemd.ctl.statustext import table, text
from telemd.ctl.words import plain_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Final

    from telemd.ctl.call import Call

VERB = "crash show"
SUMMARY = "show a crash report"
NEEDS_ROOT = True

COPY_BYTES_MAX: Final = 256 * 1024
HEADERS: Final = 15
"""Lines that stand before the payload in a kept copy."""


def options(parser: ArgumentParser) -> None:
    """Which."""
    parser.add_argument("id", metavar="ID", nargs="?", default="", help="its record's id; the last one if not given")
    json_option(parser, "the report's own JSON object")


def run(call: Call) -> int:
    """0; 1 where there is none, or it isn't here any more."""
    record_id = asking.as_id(call.arguments.id)
    if call.arguments.id and not record_id:
        return failed(f"an id has 32 hex digits: see {call.command('crash list')}")
    try:
        if not record_id:
            found = crashes.reports(call)
            if not found:
                return failed(f"the journal tells of no crash: see {call.command('crash list')}")
            record_id = found[0].record_id
        payload = _waiting(call, record_id) or _kept(call, record_id)
    except OSError as error:
        return failed(f"telemd's files can't be read ({error.strerror})")
    if not payload:
        return failed(
            f"the report {record_id} is no longer on this machine; what became of it: "
            f"{call.command(f'why {record_id}')}. Copies are kept where record_retention_enabled is on"
        )
    structured, backtrace = split(payload)
    if call.arguments.json and not structured:
        return failed("the report is text alone")
    print(plain_lines(structured if call.arguments.json else backtrace).rstrip("\n"))
    return GOOD


def split(payload: bytes) -> tuple[str, str]:
    """The line of JSON, "" where there is none, and the text behind it."""
    first, _, rest = payload.decode("utf-8", "replace").partition("\n")
    return (first, rest) if first.startswith("{") else ("", f"{first}\n{rest}")


def _waiting(call: Call, record_id: str) -> bytes:
    try:
        answer = asking.until_found(call, "spool-show", {"id": record_id, "payload": True})
    except asking.Failed:
        return b""
    record = table(answer, "record")
    if not text(record, "classification").startswith(crashes.CLASSES):
        return b""
    return crashes.payload(record)


def _kept(call: Call, record_id: str) -> bytes:
    """OSError where it can't be read though it is there."""
    try:
        path = f"{call.settings.records_dir}/{record_id}"
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(fd, "rb") as file:
        parts = file.read(COPY_BYTES_MAX).split(b"\n", HEADERS)
    is_crash = any(line == b"" or line.partition(b": ")[2].startswith(crashes.CLASSES.encode()) for line in parts[:-1])
    return parts[-1] if len(parts) > HEADERS and is_crash else b""
