# SPDX-License-Identifier: Apache-2.0
"""telemctl restart: stop, then start. What start refuses, this refuses before it stops anything."""

from __future__ import annotations

from telemd import optin
from telemd.ctl import service
from telemd.ctl.call import Report, json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "restart"
SUMMARY = "stop telemd and start it again"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser)


def run(call: Call) -> int:
    """0 when telemd is ready again; 1 without opt-in, or where it can't stop or start."""
    report = Report(call)
    if optin.is_opted_in(call.settings):
        report.take(service.restart(call))
    else:
        report.fail(f"not opted in, so nothing is started. To opt in: {call.command('opt-in')}")
    return report.end()
