# SPDX-License-Identifier: Apache-2.0
"""telemctl spool list: the records that wait for being sent, oldest first. Changes nothing, shows no payload."""

from __future__ import annotations

import json
import time

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option, whole_number
from telemd.ctl.statustext import number, text
from telemd.ctl.words import duration, size, some
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call

VERB = "spool list"
SUMMARY = "list the records that wait for being sent, oldest first"
NEEDS_ROOT = True

RECORDS_MAX: Final = 1000
RECORDS: Final = 100


def options(parser: ArgumentParser) -> None:
    """Which, and how many."""
    parser.add_argument("--lane", choices=LANES, metavar="LANE", help=f"those of this lane alone: {', '.join(LANES)}")
    parser.add_argument(
        "--limit",
        type=whole_number(1, RECORDS_MAX),
        default=RECORDS,
        metavar="N",
        help=f"the oldest N, at most {RECORDS_MAX}; {RECORDS} if not given",
    )
    json_option(parser, "a JSON list of objects")


def run(call: Call) -> int:
    """0; 1 where telemd can't be asked."""
    lanes = [call.arguments.lane] if call.arguments.lane else LANES
    try:
        found = [record for lane in lanes for record in asking.waiting(call, lane, call.arguments.limit)]
    except asking.Failed as error:
        return failed(str(error))
    found.sort(key=lambda record: number(record, "admitted_us"))
    shown = found[: call.arguments.limit]
    if call.arguments.json:
        print(json.dumps(shown, indent=2))
        return 0
    now_us = time.time_ns() // 1000
    for record in shown:
        print(line(record, now_us))
    if not shown:
        print("nothing waits")
    elif len(shown) == call.arguments.limit:
        print(f"These are the oldest {some(len(shown), 'record')}; there may be more: --limit")
    return 0


def line(record: Mapping[str, object], now_us: int) -> str:
    """One record."""
    age = duration((now_us - number(record, "admitted_us")) / 1e6)
    more = ""
    if record.get("with_courier") is True:
        more = ", being sent"
    elif number(record, "not_before_us") > now_us:
        more = f", not before {duration((number(record, 'not_before_us') - now_us) / 1e6)} from now"
    return (
        f"{asking.shown_id(record)} {text(record, 'lane'):<6} {asking.severity(record):<8} "
        f"{text(record, 'classification')}  {size(number(record, 'bytes'))}, {age} old{more}"
    )
