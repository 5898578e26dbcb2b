# SPDX-License-Identifier: Apache-2.0
"""telemctl tail: records as they pass telemd, a line each, until Ctrl-C.

telemd keeps the last ones for as long as somebody asks, and waits for nobody: what passed unseen is counted and said. A
payload is shown only where that is asked for.
"""

from __future__ import annotations

import base64
import json
import sys
import time

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option, whole_number
from telemd.ctl.exitcodes import GOOD
from telemd.ctl.journal import class_matches
from telemd.ctl.screen import in_colour
from telemd.ctl.statustext import number, text
from telemd.ctl.users import user_name
from telemd.ctl.words import Paint, clock, plain_lines, size, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Mapping
    from typing import Final

    from telemd.ctl.call import Call

VERB = "tail"
SUMMARY = "show records as they pass, until Ctrl-C"
NEEDS_ROOT = True

POLL_S: Final = 0.2
LIMIT_MAX: Final = 1_000_000_000
HEADING: Final = (
    f"{'Time (UTC)':<12}  {'Record':<32}  {'Severity':<8}  {'Size':>8}  {'From':<14}  {'Verdict':<9}  Class"
)


def options(parser: ArgumentParser) -> None:
    """Which, how many, how much of each."""
    parser.add_argument("-c", "--class", dest="pattern", metavar="CLASS", help="of this class; a/* takes all below a/")
    parser.add_argument(
        "-n", "--limit", type=whole_number(1, LIMIT_MAX), default=0, metavar="N", help="end after so many"
    )
    parser.add_argument("--payload", action="store_true", help="and the first 1,024 bytes of each payload")
    json_option(parser, "one JSON object a line; a payload is in base64")


def run(call: Call) -> int:
    """0 at Ctrl-C or after --limit; 1 where telemd can't be asked, or ends."""
    try:
        _follow(call)
    except asking.Failed as error:
        return failed(str(error))
    except KeyboardInterrupt:
        print(file=sys.stderr)
    return GOOD


def _follow(call: Call) -> None:
    wanted = call.arguments
    paint = Paint(not wanted.json and in_colour(sys.stdout))
    answer = asking.one(call, "tail", {"payload": wanted.payload})
    if not wanted.json and sys.stdout.isatty():
        print(paint.bold(HEADING), flush=True)
    left = wanted.limit
    since_us = number(answer, "since_us")
    while True:
        following = number(answer, "next")
        found = answer.get("records")
        records = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        if number(answer, "since_us") != since_us:
            since_us = number(answer, "since_us")
            _say_lost(wanted.json, "telemd began anew, or was not asked for a while: some may be missing", None)
        elif number(answer, "lost"):
            missed = number(answer, "lost")
            _say_lost(wanted.json, f"{some(missed, 'record')} passed unseen", missed)
        for record in records:
            if wanted.pattern and not class_matches(text(record, "classification"), wanted.pattern):
                continue
            print(json.dumps(record) if wanted.json else line(record, paint, user_name))
            if wanted.payload and not wanted.json:
                print(payload(record))
            left -= 1
            if left == 0:
                return
        sys.stdout.flush()
        if not records:
            time.sleep(POLL_S)
        answer = asking.one(call, "tail", {"payload": wanted.payload, "from": following})


def _say_lost(as_json: bool, sentence: str, count: int | None) -> None:
    """In its place among the records."""
    print(json.dumps({"lost": count, "message": sentence}) if as_json else f"... {sentence}")


def line(record: Mapping[str, object], paint: Paint, user: Callable[[int], str]) -> str:
    """One record."""
    verdict = text(record, "verdict")
    reason = text(record, "reason") if verdict == "refused" else ""
    shown = f"{verdict:<9}"
    shown = paint.bad(shown) if verdict == "refused" else paint.odd(shown) if verdict == "duplicate" else shown
    sender = f"{user(number(record, 'uid'))}/{number(record, 'pid')}"
    told = asking.severity(record) if number(record, "severity") else "?"
    return (
        f"{clock(number(record, 'when_us') / 1e6)}  {text(record, 'id') or '?':<32}  {told:<8}  "
        f"{size(number(record, 'bytes')):>8}  {sender:<14}  {shown}  {text(record, 'classification') or '?'}"
        f"{f'  ({reason})' if reason else ''}"
    )


def payload(record: Mapping[str, object]) -> str:
    """What is known of it, set in."""
    encoded = record.get("payload_base64")
    try:
        shown = base64.b64decode(encoded if isinstance(encoded, str) else "")
    except ValueError:
        shown = b""
    lines = plain_lines(shown.decode("utf-8", "replace")).splitlines()
    left = number(record, "payload_bytes") - len(shown)
    if left > 0:
        lines.append(f"... {size(left)} more")
    return "\n".join(f"    {each}" for each in lines)
