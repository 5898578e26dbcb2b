# SPDX-License-Identifier: Apache-2.0
"""telemctl stop: ends telemd and waits for it. Nothing stored is touched."""

from __future__ import annotations

from telemd.ctl import service
from telemd.ctl.call import Report, json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "stop"
SUMMARY = "stop telemd; what it has stored stays"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser)


def run(call: Call) -> int:
    """0 when it has ended, or didn't run."""
    report = Report(call)
    report.take(service.stop(call))
    return report.end()
