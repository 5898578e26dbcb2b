# SPDX-License-Identifier: Apache-2.0
"""telemctl config check: what is wrong with the configuration, with file and line. Reads, and tells telemd nothing.

The tables of metrics are metricprobe's, which is asked: what may stand in them is known by its collectors alone.
"""

from __future__ import annotations

import json
import os
import sys

from telemd import config
from telemd.ctl import metricscheck
from telemd.ctl.call import failed, json_option
from telemd.ctl.exitcodes import FAILED, GOOD
from telemd.ctl.words import some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.config import Loaded
    from telemd.ctl.call import Call

VERB = "config check"
SUMMARY = "check the configuration"
NEEDS_ROOT = False

_FILES = {
    "cainfo": "CA certificates",
    "client_certificate": "this machine's certificate",
    "client_key": "its key",
}


def options(parser: ArgumentParser) -> None:
    """--settings, --json."""
    parser.add_argument("--settings", action="store_true", help="only [settings], which is all that telemd reads")
    json_option(parser, "one JSON object: ok, files, mistakes, warnings")


def run(call: Call) -> int:
    """0 where telemd and metricprobe would take it, warnings or not; 1 with file, line and remedy where not."""
    loaded, found = config.examine(call.config_file)
    mistakes = [str(each) for each in found] + _unmet(loaded)
    warnings = loaded.warnings
    if not call.arguments.settings and all(each.file in (*loaded.files, config.BUILT_IN) for each in found):
        of_metrics = metricscheck.ask(call.config_file)
        places = {f"{each.file}:{each.line}" for each in found}
        # What is no table at all is told once.
        mistakes += [each for each in of_metrics.mistakes if each.partition(": ")[0] not in places]
        warnings = [*warnings, *of_metrics.warnings]
    if call.arguments.json:
        described = {"ok": not mistakes, "files": loaded.files, "mistakes": mistakes, "warnings": warnings}
        print(json.dumps(described, indent=2))
        return FAILED if mistakes else GOOD
    for warning in warnings:
        print(f"telemctl: {warning}", file=sys.stderr)
    for mistake in mistakes:
        failed(mistake)
    if mistakes:
        return FAILED
    if not loaded.files:
        print("there is no configuration file; the built-in settings hold")
    for file in loaded.files:
        print(f"{file}: good, {some(sum(place[0] == file for place in loaded.places.values()), 'setting')} in force")
    if not loaded.settings.server:
        print("server is not set: records are kept until they expire, and nothing is sent anywhere")
    return GOOD


def _unmet(loaded: Loaded) -> list[str]:
    """What the settings need of the rest of the system."""
    from telemd import transport

    problems = []
    settings = loaded.settings
    if settings.transport not in transport.names():
        known = " or ".join(f'"{name}"' for name in transport.names())
        problems.append(_at(loaded, "transport", f"there is no transport of this name; write {known}"))
    for name, what in _FILES.items():
        path = getattr(settings, name)
        if path and not os.path.isfile(path):
            problems.append(_at(loaded, name, f"there is no such file; name one with {what} (PEM), or leave it out"))
    if settings.client_key and not settings.client_certificate:
        problems.append(_at(loaded, "client_key", "it has no certificate; write client_certificate, too"))
    return problems


def _at(loaded: Loaded, name: str, sentence: str) -> str:
    file, line = loaded.places[name]
    return f"{file}:{line}: {name}: {sentence}"
