# SPDX-License-Identifier: Apache-2.0
"""telemctl config show: every setting in force and where it comes from. Never shows a password in an address."""

from __future__ import annotations

import json
import sys

from telemd.answers import shown_server
from telemd.configfile import TABLE
from telemd.configkeys import BY_NAME, shown
from telemd.ctl.call import json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.config import Loaded
    from telemd.configkeys import Value
    from telemd.ctl.call import Call

VERB = "config show"
SUMMARY = "print every setting in force and where it comes from"
NEEDS_ROOT = False


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object: key -> value, origin, unit")


def run(call: Call) -> int:
    """0; 1 where a file can't be used."""
    loaded = call.loaded
    for warning in loaded.warnings:
        print(f"telemctl: {warning}", file=sys.stderr)
    origins = loaded.origins
    values = _values(loaded)
    if call.arguments.json:
        described = {
            name: {"value": value, "origin": origins[name], "unit": BY_NAME[name].unit}
            for name, value in values.items()
        }
        print(json.dumps(described, indent=2))
        return 0
    lines = {name: f"{name} = {shown(value)}" for name, value in values.items()}
    width = min(60, max(len(line) for line in lines.values()))
    print(f"[{TABLE}]")
    for name, line in lines.items():
        unit = f"{BY_NAME[name].unit}, " if BY_NAME[name].unit else ""
        print(f"{line:<{width}}  # {unit}{origins[name]}")
    return 0


def _values(loaded: Loaded) -> dict[str, Value]:
    values = loaded.settings.values()
    for name in ("server", "proxy"):
        values[name] = shown_server(str(values[name]))
    return values
