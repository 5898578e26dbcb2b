# SPDX-License-Identifier: Apache-2.0
"""telemctl status: asks telemd how it is, and says what to do where something is wrong. Changes nothing.

A mistake in the configuration is one of the things that may be wrong: telemd's answer, or what lies below the built-in
paths, is shown all the same."""

from __future__ import annotations

import json
import sys
import time

from telemd import controlclient, optin
from telemd.answers import shown_server
from telemd.controlclient import Unavailable
from telemd.ctl import stored, switches, units
from telemd.ctl.call import json_option
from telemd.ctl.exitcodes import GOOD, NOT_RUNNING
from telemd.ctl.screen import in_colour
from telemd.ctl.statustext import Found, account_differs, advice, rendered, table, text
from telemd.ctl.words import Paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "status"
SUMMARY = "show how telemd fares, and what to do about it"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0 where it runs, or will for the next record; 3 where it doesn't, as is-active has it."""
    found = _look(call)
    todo = advice(found, {verb: call.command(verb) for verb in ("opt-in", "start", "restart")})
    if call.arguments.json:
        print(json.dumps(_object(found, todo), indent=2))
    else:
        print(rendered(found, todo, time.time_ns() // 1000, Paint(in_colour(sys.stdout))))
    return GOOD if found.telemd is not None or found.on_demand else NOT_RUNNING


def _look(call: Call) -> Found:
    settings, mistake = call.settings, call.mistake
    answer = controlclient.ask(settings.control_socket_path, "status")
    silence = answer if isinstance(answer, Unavailable) else None
    telemd = None if isinstance(answer, Unavailable) else answer
    if telemd is not None and isinstance(telemd.get("server"), str):
        telemd["server"] = shown_server(str(telemd["server"]))
    away = silence is not None and silence.kind == controlclient.NOT_RUNNING
    failed = units.failed(call)
    return Found(
        telemd,
        "" if silence is None else silence.text,
        running=not away,
        opted_in=optin.is_opted_in(settings),
        on_demand=away and not mistake and failed is not None and _is_on_demand(call),
        server=text(telemd or {}, "server") if mistake else shown_server(settings.server),
        config_files=[] if mistake else call.loaded.files,
        mistake=mistake,
        spool_dir=text(telemd or {}, "spool_dir") or settings.spool_dir,
        spool_bytes=stored.spool_bytes(settings),
        warnings=[] if mistake else call.loaded.warnings,
        not_allowed=silence is not None and silence.kind == controlclient.NOT_ALLOWED,
        failed_units=failed,
        server_layer="" if mistake else call.loaded.origins["server"],
        switches=[] if mistake else switches.found(call.loaded),
    )


def _is_on_demand(call: Call) -> bool:
    return units.present(call, units.ASKING_S) and units.is_active(units.ASKING_S)


def _object(found: Found, todo: list[str]) -> dict[str, object]:
    return {
        "running": found.running,
        "on_demand": found.on_demand,
        "silence": found.silence,
        "opted_in": found.opted_in,
        "server": found.server,
        "server_layer": found.server_layer,
        "switches": {each.key: {"enabled": each.is_on, "layer": each.layer} for each in found.switches},
        "config_files": found.config_files,
        "config_mistake": found.mistake,
        "spool_dir": found.spool_dir,
        "spool_bytes": found.spool_bytes,
        "telemd": found.telemd,
        "account_holds": found.telemd is not None and not account_differs(table(found.telemd, "accounting")),
        "failed_units": None
        if found.failed_units is None
        else [
            {"unit": each.name, "result": each.result, "is_tried_again": each.is_tried_again}
            for each in found.failed_units
        ],
        "advice": todo,
    }
