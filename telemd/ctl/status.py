# SPDX-License-Identifier: Apache-2.0
"""telemctl status: asks telemd how it is, and says what to do where something is wrong. Changes nothing."""

from __future__ import annotations

import json
import os
import sys
import time

from telemd import controlclient, optin
from telemd.answers import shown_server
from telemd.controlclient import Unavailable
from telemd.ctl import service, stored
from telemd.ctl.statustext import Found, account_differs, advice, rendered, table
from telemd.ctl.words import Paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "status"
SUMMARY = "show what telemd does, and what to do where something is wrong"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(call: Call) -> int:
    """0 where it runs, or will for the next record; 3 where it doesn't, as is-active has it."""
    found = _look(call)
    todo = advice(found, {verb: call.command(verb) for verb in ("opt-in", "start", "restart")})
    if call.arguments.json:
        print(json.dumps(_object(found, todo), indent=2))
    else:
        print(rendered(found, todo, time.time_ns() // 1000, Paint(_in_colour())))
    return 0 if found.telemd is not None or found.on_demand else 3


def _look(call: Call) -> Found:
    settings = call.settings
    answer = controlclient.ask(settings.control_socket_path, "status")
    silence = answer if isinstance(answer, Unavailable) else None
    telemd = None if isinstance(answer, Unavailable) else answer
    if telemd is not None and isinstance(telemd.get("server"), str):
        telemd["server"] = shown_server(str(telemd["server"]))
    away = silence is not None and silence.kind == controlclient.NOT_RUNNING
    return Found(
        telemd,
        "" if silence is None else silence.text,
        running=not away,
        opted_in=optin.is_opted_in(settings),
        on_demand=away and bool(service.systemd_units(call)) and service.is_active(call),
        server=shown_server(settings.server),
        config_files=call.loaded.files,
        spool_dir=settings.spool_dir,
        spool_bytes=stored.spool_bytes(settings),
        warnings=call.loaded.warnings,
    )


def _object(found: Found, todo: list[str]) -> dict[str, object]:
    return {
        "running": found.running,
        "on_demand": found.on_demand,
        "silence": found.silence,
        "opted_in": found.opted_in,
        "server": found.server,
        "config_files": found.config_files,
        "spool_dir": found.spool_dir,
        "spool_bytes": found.spool_bytes,
        "telemd": found.telemd,
        "account_holds": found.telemd is not None and not account_differs(table(found.telemd, "accounting")),
        "advice": todo,
    }


def _in_colour() -> bool:
    """On a terminal that has colours, unless the user doesn't want them (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
