# SPDX-License-Identifier: Apache-2.0
"""telemctl crash show: a crash report as it was sent: the backtrace, or with --json all of it.

crashprobe keeps the last ones of its own. Any other is shown from the spool while it waits, and when it was sent from
the copies that record_retention_enabled keeps.
"""

from __future__ import annotations

import os

from telemd.ctl import asking, crashes
from telemd.ctl.call import failed, json_option
from telemd.ctl.exitcodes import GOOD
from telemd.ctl.statustext import table, text
from telemd.ctl.words import plain, plain_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Final

    from telemd.ctl.call import Call
    from telemd.ctl.crashes import Reported

VERB = "crash show"
SUMMARY = "show a crash report"
NEEDS_ROOT = True

COPY_BYTES_MAX: Final = 256 * 1024
HEADERS: Final = 15
"""Lines that stand before the payload in a kept copy."""
NUMBER_DIGITS_MAX: Final = 3
"""The journal has fewer lines."""


def options(parser: ArgumentParser) -> None:
    """Which."""
    parser.add_argument(
        "which", metavar="WHICH", nargs="?", default="",
        help="its number in `crash list`, its record's id, or the program; the last one if not given",
    )  # fmt: skip
    json_option(parser, "the report's own JSON object")


def run(call: Call) -> int:
    """0; 1 where there is none, or it isn't here any more."""
    try:
        found = chosen(crashes.reports(call), call.arguments.which)
        if isinstance(found, str):
            return failed(f"{found}: see {call.command('crash list')}")
        record_id = found.record_id
        payload = found.kept.payload if found.kept is not None else b""
        payload = payload or _waiting(call, record_id) or _copy(call, record_id)
    except OSError as error:
        return failed(f"telemd's files can't be read ({error.strerror})")
    if not payload:
        return failed(
            f"the report {record_id} is no longer on this machine; what became of it: "
            f"{call.command(f'why {record_id}')}. Of crashes that the kernel hands to crashprobe the last ones are "
            "kept, of all of them copies where record_retention_enabled is on"
        )
    structured, backtrace = split(payload)
    if call.arguments.json and not structured:
        return failed("the report is text alone")
    print(plain_lines(structured if call.arguments.json else backtrace).rstrip("\n"))
    return GOOD


def chosen(reports: list[Reported], said: str) -> Reported | str:
    """The one that is meant, or the begin of a sentence why there is none; reports: the latest first."""
    record_id = asking.as_id(said)
    if record_id:
        known = [each for each in reports if each.record_id == record_id]
        return known[0] if known else crashes.Reported(record_id, 0, "", None)
    if not said:
        return reports[0] if reports else "the journal tells of no crash"
    if len(said) <= NUMBER_DIGITS_MAX and said.isascii() and said.isdecimal():
        at = int(said)
        return reports[at - 1] if 1 <= at <= len(reports) else f"no report has the number {at}"
    for each in reports:
        if each.kept is not None and each.kept.is_of(said):
            return each
    return f"no report that is kept is of {plain(said)!r}, and an id has 32 hex digits"


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


def _copy(call: Call, record_id: str) -> bytes:
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
