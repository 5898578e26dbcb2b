# SPDX-License-Identifier: Apache-2.0
"""telemctl config show: every setting in force and where it comes from. Never shows a password in an address.

Of metrics, whose tables are metricprobe's, what is set: what is built in stands in its documentation.
"""

from __future__ import annotations

import json
import sys

from telemd.answers import shown_server
from telemd.configfile import TABLE
from telemd.configkeys import BY_NAME, shown
from telemd.ctl import metricscheck
from telemd.ctl.call import json_option
from telemd.ctl.exitcodes import FAILED, GOOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from typing import Final

    from telemd.config import Loaded
    from telemd.configkeys import Value
    from telemd.ctl.call import Call
    from telemd.ctl.metricscheck import Setting

VERB = "config show"
SUMMARY = "print every setting in force and where it comes from"
NEEDS_ROOT = False

WIDTH_MAX: Final = 60
"""Columns before what a setting's origin is, where a value isn't longer."""


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object: key -> value, origin, unit")


def run(call: Call) -> int:
    """0; 1 where a file can't be used."""
    loaded = call.loaded
    of_metrics = metricscheck.ask(call.config_file)
    for problem in (*loaded.warnings, *of_metrics.warnings, *of_metrics.mistakes):
        print(f"telemctl: {problem}", file=sys.stderr)
    origins = loaded.origins
    values = _values(loaded)
    if call.arguments.json:
        described: dict[str, dict[str, object]] = {
            name: {"value": value, "origin": origins[name], "unit": BY_NAME[name].unit}
            for name, value in values.items()
        }
        for each in of_metrics.settings:
            described[f"{each.table}.{each.name}"] = {"value": each.value, "origin": each.origin, "unit": ""}
        print(json.dumps(described, indent=2))
    else:
        lines = {name: f"{name} = {shown(value)}" for name, value in values.items()}
        width = min(WIDTH_MAX, max(len(line) for line in lines.values()))
        print(f"[{TABLE}]")
        for name, line in lines.items():
            unit = f"{BY_NAME[name].unit}, " if BY_NAME[name].unit else ""
            print(f"{line:<{width}}  # {unit}{origins[name]}")
        _print_metrics(of_metrics.settings, width)
    return FAILED if of_metrics.mistakes else GOOD


def _print_metrics(settings: Sequence[Setting], width: int) -> None:
    by_table: dict[str, list[Setting]] = {}
    for each in settings:
        by_table.setdefault(each.table, []).append(each)
    for table, those in by_table.items():
        print(f"\n[{table}]")
        for each in those:
            print(f"{each.text():<{width}}  # {each.origin}")


def _values(loaded: Loaded) -> dict[str, Value]:
    values = loaded.settings.values()
    for name in ("server", "proxy"):
        values[name] = shown_server(str(values[name]))
    return values
