# SPDX-License-Identifier: Apache-2.0
"""telemctl opt-in: the owner's consent, as a file; systemd, where it is there, runs telemetry from then on.

Without systemd nothing is started by it."""

from __future__ import annotations

import os

from telemd import optin
from telemd.ctl import units
from telemd.ctl.call import Report, json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "opt-in"
SUMMARY = "allow records to be taken, kept and sent"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser)


def run(call: Call) -> int:
    """0, also where it was so before."""
    path = call.settings.opt_in_path
    report = Report(call)
    if optin.is_opted_in(call.settings):
        report.say("already opted in")
        if units.present(call):
            _run_it(report)
        return report.end()
    problem = _make(path, call)
    if problem:
        report.fail(problem)
        return report.end()
    report.say(f"opted in ({path})")
    if not call.settings.server:
        report.say("server is not set: records will be kept until they expire, and nothing is sent anywhere")
    if units.present(call):
        _run_it(report)
    else:
        report.say(f"telemd runs after: {call.command('start')}")
    return report.end()


def _run_it(report: Report) -> None:
    enabled = units.enable()
    if not enabled.good:
        report.take(enabled)
    report.take(units.start())


def _make(path: str, call: Call) -> str:
    """What keeps us from it; "" where it is there now."""
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return f"{path} is a link that leads nowhere, or in a place that is no directory: remove it and try again"
    except OSError as error:
        return f"{path} can't be made ({error.strerror}): {call.advice(VERB, error, 'make its directory writable')}"
    return ""
