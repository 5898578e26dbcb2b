# SPDX-License-Identifier: Apache-2.0
"""telemctl id rotate: another machine id from now on. What waits already goes under the id it was accepted with."""

from __future__ import annotations

import json

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option
from telemd.ctl.statustext import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "id rotate"
SUMMARY = "give this machine another id from now on"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0; 1 where it could not be done."""
    try:
        answer = asking.one(call, "id-rotate", {})
    except asking.Failed as error:
        return failed(str(error))
    before, now = text(answer, "before"), text(answer, "machine_id")
    if call.arguments.json:
        print(json.dumps({"before": before, "machine_id": now}, indent=2))
    else:
        print(f"the machine id is {now} now; it was {before}")
    return 0
