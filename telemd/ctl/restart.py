# SPDX-License-Identifier: Apache-2.0
"""telemctl restart: stop, then start. What start refuses, this refuses before it stops anything."""

from __future__ import annotations

from telemd import optin
from telemd.ctl import service
from telemd.ctl.call import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "restart"
SUMMARY = "stop telemd and start it again"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """None of its own."""


def run(call: Call) -> int:
    """0 when telemd is ready again; 1 without opt-in, or where it can't stop or start."""
    if not optin.is_opted_in(call.settings):
        return failed(f"not opted in, so nothing is started. To opt in: {call.command('opt-in')}")
    stopped = service.stop(call)
    if not stopped.good:
        return stopped.told()
    print(stopped.text)
    return service.start(call).told()
