# SPDX-License-Identifier: Apache-2.0
"""telemctl crash status: who is told of a crash, now and after the next boot. Changes nothing."""

from __future__ import annotations

import json

from telemd import optin
from telemd.ctl import corepattern
from telemd.ctl.call import Result, failed, json_option
from telemd.ctl.exitcodes import GOOD
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call
    from telemd.ctl.corepattern import Found

VERB = "crash status"
SUMMARY = "show who is told of crashes"
NEEDS_ROOT = False

IN_JOURNAL = "/systemd-coredump"
"""Who writes a crash to the journal, where journalprobe reads it."""


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0, whoever it is; 1 where that can't be told."""
    found = corepattern.look(call.settings)
    if isinstance(found, Result):
        return failed(found.text)
    opted_in = optin.is_opted_in(call.settings)
    todo = advice(call, found, opted_in)
    if call.arguments.json:
        told = {
            "enabled": found.ours,
            "chained": found.chained,
            "opted_in": opted_in,
            "core_pattern": found.pattern,
            "core_pipe_limit": found.limit,
            "at_boot": found.at_boot,
            "before": found.before,
            "owner": found.owner,
            "advice": todo,
        }
        print(json.dumps(told, indent=2))
        return GOOD
    print("\n".join([*lines(found, opted_in), *(f"-> {each}" for each in todo)]))
    return GOOD


def lines(found: Found, opted_in: bool) -> list[str]:
    """How it is."""
    if found.ours:
        told = ["crashes        are looked at by crashprobe, and reported"]
        if found.chained:
            told[0] += f", then handed on to {plain(found.before.lstrip('|').split(' ', 1)[0])}"
        told.append(f"after a boot   {'the same' if found.at_boot else 'not: the file for that is missing'}")
        told.append(f"at a time      {found.limit}")
        told.append(f"before         {plain(found.before) or 'unknown'}")
    elif found.owner:
        told = [f"crashes        are handled by {found.owner}; not by crashprobe"]
        if found.owner.endswith(IN_JOURNAL):
            told.append("reported       from the journal, by journalprobe")
    else:
        told = [f"crashes        are not looked at; the kernel writes cores as {plain(found.pattern)!r}"]
    told.append(f"core_pattern   {plain(found.pattern)}")
    told.append(f"opted in       {'yes' if opted_in else 'no'}")
    return told


def advice(call: Call, found: Found, opted_in: bool) -> list[str]:
    """What to do."""
    todo = []
    if found.ours and not opted_in:
        todo.append(f"nothing is reported without the opt-in: {call.command('crash disable')}, or opt in")
    if not found.ours:
        if opted_in:
            todo.append(call.command("crash enable --chain" if found.owner else "crash enable"))
        return todo
    if not found.at_boot or found.limit < 1:
        todo.append(f"somebody has changed a part of it; to have it whole: {call.command('crash enable')}")
    program = found.pattern[1:].split(" ", 1)[0]
    doubt = corepattern.distrust(program)
    if doubt:
        todo.append(f"{doubt}: install crashprobe in a place that is root's alone, and {call.command('crash enable')}")
    return todo
