# SPDX-License-Identifier: Apache-2.0
"""telemctl spool purge: drops records that wait, at the owner's word. They count as purged; what is being sent is not
touched, and everything else stays as it is.
"""

from __future__ import annotations

import json
import time

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option
from telemd.ctl.statustext import number
from telemd.ctl.words import some
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from typing import Final

    from telemd.ctl.call import Call

VERB = "spool purge"
SUMMARY = "drop records that wait for being sent"
NEEDS_ROOT = True

PATIENCE_S: Final = 45.0
"""The courier gives its answer within 30 s, or is ended."""

AGAIN_S: Final = 0.05


def options(parser: ArgumentParser) -> None:
    """Which, and that it is meant."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--class", dest="pattern", metavar="CLASS", help="records of this class; a/* takes all below a/")
    which.add_argument("--lane", choices=LANES, metavar="LANE", help=f"the records of this lane: {', '.join(LANES)}")
    which.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--yes", action="store_true", help="do it; without this it only tells how many there are")
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0 where it is done, or was only counted; 1 where it isn't, or not all of it."""
    wanted = call.arguments
    lanes = [wanted.lane] if wanted.lane else LANES
    purged = 0
    try:
        found = {lane: asking.matching(call, lane, wanted.pattern or "*") for lane in lanes}
        count = sum(matching for matching, _ in found.values())
        if wanted.yes:
            for lane, (matching, last) in found.items():
                if matching:
                    purged += _purge(call, lane, last + 1)
    except asking.Failed as error:
        before = f" ({some(purged, 'record')} dropped before that)" if purged else ""
        return failed(f"{error}{before}")
    if wanted.json:
        print(json.dumps({"matching": count, "purged": purged}, indent=2))
    elif wanted.yes:
        print(f"{some(purged, 'record')} dropped")
    else:
        print(f"{some(count, 'record')} would be dropped: say --yes to do it")
    return 0


def _purge(call: Call, lane: str, until: int) -> int:
    """How many were dropped. Failed where the courier doesn't let go of what it has."""
    asked: dict[str, object] = {"lane": lane, "until": until}
    if call.arguments.pattern:
        asked["class"] = call.arguments.pattern
    purged = 0
    patience_end = time.monotonic() + PATIENCE_S
    while True:
        answer = asking.one(call, "spool-purge", asked)
        purged += number(answer, "purged")
        if answer.get("done") is True:
            return purged
        if number(answer, "purged") or number(answer, "kept"):
            patience_end = time.monotonic() + PATIENCE_S
            continue
        if time.monotonic() > patience_end:
            raise asking.Failed("records of this lane are still being sent: try again later")
        time.sleep(AGAIN_S)  # telemd starts nothing new of the lane; the courier's answer is what is waited for
