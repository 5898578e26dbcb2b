# SPDX-License-Identifier: Apache-2.0
"""telemctl journal: the records accepted last, and on request what was kept of them. Reads only, and runs nothing."""

from __future__ import annotations

import json
import os
import stat
import sys

from telemd import controlclient, journalfile, optin
from telemd.ctl import service
from telemd.ctl.call import failed, json_option
from telemd.ctl.words import plain_lines, some, utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Final

    from telemd.ctl.call import Call
    from telemd.journalfile import Entry

VERB = "journal"
SUMMARY = "list the records accepted last"
NEEDS_ROOT = True

RECORD_BYTES_MAX: Final = 128 * 1024
_HEADINGS: Final = ("Classification", "Time stamp", "Record ID", "Event ID", "Boot ID")


def options(parser: ArgumentParser) -> None:
    """What to list, and how."""
    parser.add_argument("-r", "--record_id", "--record-id", metavar="ID", help="the record of this id")
    parser.add_argument("-e", "--event_id", "--event-id", metavar="ID", help="the records of this event")
    parser.add_argument("-c", "--classification", metavar="CLASS", help="records of this class; a/* takes all below a/")
    parser.add_argument("-b", "--boot_id", "--boot-id", metavar="ID", help="records of this boot")
    parser.add_argument(
        "-i", "--include_record", "--include-record", action="store_true", help="and what was kept of each"
    )
    parser.add_argument("-V", "--verbose", action="store_true", help="headings and a total")
    json_option(parser, "a JSON list of objects")


def run(call: Call) -> int:
    """0, also where none matches; 1 where the journal can't be read."""
    wanted = call.arguments
    controlclient.ask(call.settings.control_socket_path, "journal")  # it writes about once a second
    try:
        listed = journalfile.read(call.settings.log_dir)
    except OSError as error:
        advice = call.advice(VERB, error, "move it out of the way")
        return failed(f"{call.settings.journal_path} can't be read ({error.strerror}): {advice}")
    entries = [
        entry
        for entry in listed
        if matches(entry, wanted.record_id, wanted.event_id, wanted.classification, wanted.boot_id)
    ]
    if wanted.json:
        print(json.dumps([_object(call, entry) for entry in entries], indent=2))
        return 0
    widths = [max([len(_HEADINGS[i]), *(len(_row(entry)[i]) for entry in entries)]) for i in range(len(_HEADINGS))]
    if wanted.verbose or sys.stdout.isatty():
        print(_line(_HEADINGS, widths))
    for entry in entries:
        print(_line(_row(entry), widths))
        if wanted.include_record:
            kept = _kept(call, entry)
            print(f"  ({_why_not_kept(call)})" if kept is None else kept.rstrip("\n"))
            print()
    if wanted.verbose:
        print(f"Total records: {len(entries)}")
    if not entries:
        print(f"telemctl: {_why_empty(call, len(listed))}", file=sys.stderr)
    return 0


def _why_empty(call: Call, listed: int) -> str:
    if listed:
        return f"none of the {some(listed, 'record')} in the journal is one of those"
    if not optin.is_opted_in(call.settings):
        return f"the journal is empty: not opted in, so that no record is taken. To opt in: {call.command('opt-in')}"
    if not service.is_active(call):
        return f"the journal is empty, and telemd is not running: {call.command('start')}"
    return (
        "the journal is empty: no record was accepted since it was begun (what waits is another matter: "
        f"{call.command('spool list')})"
    )


def _why_not_kept(call: Call) -> str:
    if call.settings.record_retention_enabled:
        return "nothing was kept of it: it came before record_retention_enabled was on"
    return "nothing was kept of it: record_retention_enabled is off"


def matches(
    entry: Entry,
    record_id: str | None = None,
    event_id: str | None = None,
    classification: str | None = None,
    boot_id: str | None = None,
) -> bool:
    """Everything that is asked for holds. Boot ids with and without hyphens are the same; a class may end in *."""
    if record_id is not None and entry.record_id != record_id.lower():
        return False
    if event_id is not None and entry.event_id != event_id.lower():
        return False
    if boot_id is not None and entry.boot_id.replace("-", "") != boot_id.lower().replace("-", ""):
        return False
    return classification is None or class_matches(entry.classification, classification)


def class_matches(classification: str, pattern: str) -> bool:
    """The class itself, or with * at its end how it begins."""
    if pattern.endswith("*"):
        return classification.startswith(pattern[:-1])
    return classification == pattern


def _row(entry: Entry) -> tuple[str, ...]:
    return entry.classification, utc(entry.timestamp_s), entry.record_id, entry.event_id, entry.boot_id


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _object(call: Call, entry: Entry) -> dict[str, object]:
    described: dict[str, object] = {
        "record_id": entry.record_id,
        "timestamp_s": entry.timestamp_s,
        "classification": entry.classification,
        "event_id": entry.event_id,
        "boot_id": entry.boot_id,
    }
    if call.arguments.include_record:
        described["record"] = _kept(call, entry)
    return described


def _kept(call: Call, entry: Entry) -> str | None:
    """The copy that record_retention_enabled makes telemd keep."""
    try:
        path = f"{call.settings.records_dir}/{entry.record_id}"
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = b""
        while len(data) < RECORD_BYTES_MAX and (piece := os.read(fd, RECORD_BYTES_MAX - len(data))):
            data += piece
    except OSError:
        return None
    finally:
        os.close(fd)
    return plain_lines(data.decode("utf-8", "replace"))
