# SPDX-License-Identifier: Apache-2.0
"""telemctl top: which classes and users send how much, live.

telemd adds up for as long as somebody asks, from the first question on; what came before isn't in the sums.
"""

from __future__ import annotations

import json
import sys
import time

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option
from telemd.ctl.exitcodes import GOOD
from telemd.ctl.screen import Page, in_colour
from telemd.ctl.screen import size as screen_size
from telemd.ctl.toptext import Snapshot, rates, rendered
from telemd.ctl.users import user_name
from telemd.ctl.words import Paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Final

    from telemd.ctl.call import Call

VERB = "top"
SUMMARY = "show which classes and users send how much, until q"
NEEDS_ROOT = True

INTERVAL_S: Final = 2.0
INTERVAL_S_MIN: Final = 0.1
INTERVAL_S_MAX: Final = 4.0
"""telemd forgets its sums when nobody has asked for 5 s."""


def options(parser: ArgumentParser) -> None:
    """How often, and how."""
    parser.add_argument(
        "-i",
        "--interval",
        type=_seconds,
        default=INTERVAL_S,
        metavar="S",
        help=f"seconds between two pages, {INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g}; {INTERVAL_S:g} if not given",
    )
    parser.add_argument("--once", action="store_true", help="one page, of what comes in one interval")
    json_option(parser, "one JSON object a line instead of a page")


def _seconds(said: str) -> float:
    from argparse import ArgumentTypeError

    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not INTERVAL_S_MIN <= seconds <= INTERVAL_S_MAX:
        raise ArgumentTypeError(f"expected seconds from {INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g}")
    return seconds


def run(call: Call) -> int:
    """0 at q, Ctrl-C, or after --once; 1 where telemd can't be asked, or ends."""
    try:
        if call.arguments.once or call.arguments.json:
            _print(call)
        else:
            with Page() as page:
                _draw(call, page)
    except asking.Failed as error:
        return failed(str(error))
    except KeyboardInterrupt:
        pass  # the way to end it
    return GOOD


def _print(call: Call) -> None:
    before = _look(call)
    while True:
        time.sleep(call.arguments.interval)
        now = _look(call)
        if call.arguments.json:
            rows = [each.as_object() for each in rates(before, now)]
            print(json.dumps({"now_us": now.now_us, "since_us": now.since_us, "passed": now.passed, "sums": rows}))
        else:
            print(rendered(before, now, screen_size()[0], None, Paint(in_colour(sys.stdout)), user_name))
        sys.stdout.flush()
        if call.arguments.once:
            return
        before = now


def _draw(call: Call, page: Page) -> None:
    before = _look(call)
    paint = Paint(in_colour(sys.stdout))
    now = before
    while True:
        columns, lines = screen_size()
        page.draw(rendered(before, now, columns, lines - 1 if page.in_place else None, paint, user_name))
        if not page.wait(call.arguments.interval):
            return
        before, now = now, _look(call)


def _look(call: Call) -> Snapshot:
    return Snapshot(asking.one(call, "top", {}), asking.one(call, "status", {}))
