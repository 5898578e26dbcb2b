# SPDX-License-Identifier: Apache-2.0
"""telemctl crash disable: core_pattern is given back as it was, now and for the next boot."""

from __future__ import annotations

from telemd.ctl import corepattern
from telemd.ctl.call import Report, json_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "crash disable"
SUMMARY = "give core_pattern back as it was"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser)


def run(call: Call) -> int:
    """0, also where it was so before."""
    report = Report(call)
    report.take(corepattern.give_back(call.settings))
    return report.end()
