# SPDX-License-Identifier: Apache-2.0
"""telemctl opt-out: consent withdrawn, telemd stopped, what it stored deleted.

In this order: where something fails, nothing more is taken in. Never touches what isn't telemd's own.
"""

from __future__ import annotations

import os

from telemd.ctl import corepattern, service, stored, units
from telemd.ctl.call import Report, json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "opt-out"
SUMMARY = "stop telemd and delete all records it has stored"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser)


def run(call: Call) -> int:
    """0, also where it was so before; 1 where something could not be stopped or deleted."""
    path = call.settings.opt_in_path
    report = Report(call)
    if corepattern.is_taken(call.settings):
        report.take(corepattern.give_back(call.settings))
    try:
        os.unlink(path)
        report.say("opted out")
    except (FileNotFoundError, NotADirectoryError):
        report.say("already opted out")
        if stored.stored_bytes(call.settings)[0] == 0 and not service.is_active(call):
            return report.end()
    except OSError as error:
        otherwise = "remove it by hand, and run this again"
        report.fail(f"{path} can't be removed ({error.strerror}): {call.advice(VERB, error, otherwise)}")
        return report.end()
    stopped = service.stop(call)
    if not stopped.good:
        report.take(stopped)
    if units.present(call):
        disabled = units.disable()
        if not disabled.good:
            report.take(disabled)
    report.take(stored.delete(call.settings))
    return report.end()
