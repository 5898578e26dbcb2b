# SPDX-License-Identifier: Apache-2.0
"""telemctl spool show: one record that waits for being sent. Its payload only where that is asked for."""

from __future__ import annotations

import base64
import json
import time

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option
from telemd.ctl.statustext import number, table, text
from telemd.ctl.words import duration, plain, plain_lines, size, utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

    from telemd.ctl.call import Call

VERB = "spool show"
SUMMARY = "show one record that waits for being sent"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """Which, and how much of it."""
    parser.add_argument("id", metavar="ID", type=asking.record_id, help="the record's id, as spool list shows it")
    parser.add_argument("--payload", action="store_true", help="and its payload")
    json_option(parser, "one JSON object; the payload is in base64")


def run(call: Call) -> int:
    """0; 1 where no such record waits, or telemd can't be asked."""
    record_id: str = call.arguments.id
    try:
        answer = asking.until_found(call, "spool-show", {"id": record_id, "payload": call.arguments.payload})
    except asking.Failed as error:
        return failed(str(error))
    record = table(answer, "record")
    if not record:
        return failed(f"no record of this id waits. What became of it: {call.command(f'why {record_id}')}")
    if call.arguments.json:
        print(json.dumps(record, indent=2))
        return 0
    print(rendered(record, time.time_ns() // 1000))
    if call.arguments.payload:
        print()
        print(plain_lines(_payload(record)))
    return 0


def rendered(record: Mapping[str, object], now_us: int) -> str:
    """Header fields and attributes, a line each."""
    before = number(record, "before")
    place = "is being sent" if record.get("with_courier") is True else f"{before:,} of its lane wait before it"
    not_before_us = number(record, "not_before_us")
    if not_before_us > now_us:
        place += f", not before {utc(not_before_us / 1e6)}"
    rows = [
        ("id", asking.shown_id(record)),
        ("class", text(record, "classification")),
        ("severity", asking.severity(record)),
        ("lane", f"{text(record, 'lane')}: {place}"),
        ("event id", text(record, "event_id")),
        ("machine id", text(record, "machine_id")),
        ("created", utc(number(record, "created_us") / 1e6)),
        ("accepted", _when(number(record, "admitted_us"), now_us)),
        ("sent by", f"uid {number(record, 'uid')}, pid {number(record, 'pid')}"),
        ("size", f"{size(number(record, 'bytes'))} in all"),
        (
            "payload",
            f"{text(record, 'payload_kind')}, version {number(record, 'payload_version')}, "
            f"{size(number(record, 'payload_bytes'))}",
        ),
    ]
    rows += [(plain(name, 40), plain(str(value))) for name, value in table(record, "attributes").items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _when(admitted_us: int, now_us: int) -> str:
    return f"{utc(admitted_us / 1e6)}, {duration((now_us - admitted_us) / 1e6)} ago"


def _payload(record: Mapping[str, object]) -> str:
    encoded = record.get("payload_base64")
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "").decode("utf-8", "replace")
    except ValueError:
        return ""
