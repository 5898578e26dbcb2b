# SPDX-License-Identifier: Apache-2.0
"""telemctl crash list: which programs crashed here, how often, and the reports that were made of it. Reads only."""

from __future__ import annotations

import json
import sys

from telemd.ctl import corepattern, crashes
from telemd.ctl.call import failed, json_option
from telemd.ctl.exitcodes import GOOD
from telemd.ctl.screen import in_colour
from telemd.ctl.users import user_name
from telemd.ctl.words import Paint, count, plain, utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Sequence

    from telemd.ctl.call import Call
    from telemd.ctl.crashes import Counted, Reported

VERB = "crash list"
SUMMARY = "list the programs that crashed, and the reports"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object: programs, reports")


def run(call: Call) -> int:
    """0, also where nothing crashed; 1 where that can't be read."""
    counted = crashes.counted(call)
    if isinstance(counted, str):
        return failed(counted)
    programs = [each for each in counted if each.kind == crashes.PROGRAM]
    try:
        reports = crashes.reports(call)
    except OSError as error:
        return failed(f"{call.settings.journal_path} can't be read ({error.strerror})")
    if call.arguments.json:
        told = {
            "programs": [each.object() for each in programs],
            "reports": [each.object() for each in reports],
        }
        print(json.dumps(told, indent=2))
        return GOOD
    if not programs and not reports and not _looked_at(call):
        print(f"crashes are not looked at: {call.command('crash status')}")
    else:
        print(rendered(programs, reports, user_name, Paint(in_colour(sys.stdout))))
    return GOOD


def _looked_at(call: Call) -> bool:
    found = corepattern.look(call.settings)
    return isinstance(found, corepattern.Found) and found.ours


def rendered(
    programs: Sequence[Counted], reports: Sequence[Reported], user: Callable[[int], str], paint: Paint
) -> str:  # fmt: skip
    """Two tables. Times counted and not reported are those since the last report: the next one tells of them. A report
    with a program is kept; by its number, too, `crash show` finds it."""
    if not programs and not reports:
        return "nothing has crashed here since crashes are looked at"
    lines = []
    if programs:
        lines.append(paint.bold(f"{'Crashed last':<27}  {'Times':>7}  {'Unreported':>10}  {'User':<12}  Program"))
        lines += [
            f"{utc(each.last_s):<27}  {count(each.seen):>7}  {count(each.not_reported):>10}  {user(each.uid):<12}  "
            f"{plain(each.name)}"
            for each in programs
        ]
    if programs and reports:
        lines.append("")
    if reports:
        wide = max(len(plain(each.classification)) for each in reports)
        lines.append(paint.bold(f"{'No.':>3}  {'Reported':<27}  {'Record':<32}  {'Class':<{wide}}  Program"))
        lines += [
            f"{at:>3}  {utc(each.timestamp_s):<27}  {each.record_id}  {plain(each.classification):<{wide}}  "
            f"{plain(each.program)}".rstrip()
            for at, each in enumerate(reports, 1)
        ]
    return "\n".join(lines)
