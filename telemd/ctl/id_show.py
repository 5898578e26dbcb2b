# SPDX-License-Identifier: Apache-2.0
"""telemctl id show: under which machine id this machine's records go, and went. Reads only, and asks nobody: it works
after an opt-out too.
"""

from __future__ import annotations

import json
import time

from telemd import formerid, machineid, rotations
from telemd.ctl.call import failed, json_option, whole_number
from telemd.ctl.words import duration, utc
from telemd.machineid import PAST_IDS_MAX, MachineIdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "id show"
SUMMARY = "show the machine id, and with --past those before it"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--past N, --json."""
    parser.add_argument(
        "--past",
        type=whole_number(0, PAST_IDS_MAX - 1),
        default=0,
        metavar="N",
        help=f"and the N ids before it (at most {PAST_IDS_MAX - 1}), newest first, for a deletion at a hub",
    )
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0; 1 where there is none, or it can't be told."""
    now_s = time.time()
    try:
        found = machineid.look(call.settings, now_s)
        secret = machineid.read_secret(call.settings.state_dir)
    except MachineIdError as error:
        return failed(str(error))
    if found is None:
        return failed(f"this machine has no id yet: it gets one when telemd runs ({call.command('opt-in')})")
    past: list[str] = []
    if secret is not None and call.arguments.past:
        state_dir, count = call.settings.state_dir, call.arguments.past + 1
        turns, former = rotations.read(state_dir), formerid.read(state_dir)
        changing = machineid.past_ids(secret, now_s, count, turns, former)
        past = [each for each in changing if each != found.machine_id][: call.arguments.past]
    if call.arguments.json:
        until_s = None if found.static else found.valid_until_s
        shown = {"machine_id": found.machine_id, "static": found.static, "valid_until_s": until_s, "past": past}
        print(json.dumps(shown, indent=2))
        return 0
    for warning in found.warnings:
        print(f"({warning})")
    if found.static:
        print(f"{found.machine_id}  lasting: {call.settings.static_machine_id_path} says so")
    else:
        left = duration(found.valid_until_s - now_s)
        print(f"{found.machine_id}  until {utc(found.valid_until_s)}, in {left}; then another")
    for each in past:
        print(each)
    return 0
