# SPDX-License-Identifier: Apache-2.0
"""telemctl is-active: one word for scripts. Looks, and never starts anything."""

from __future__ import annotations

import json

from telemd.ctl import service
from telemd.ctl.call import json_option
from telemd.ctl.exitcodes import GOOD, NOT_RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "is-active"
SUMMARY = "say active (exit code 0) or inactive (3)"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object: active")


def run(call: Call) -> int:
    """0 active, 3 inactive."""
    active = service.is_active(call)
    if call.arguments.json:
        print(json.dumps({"active": active}))
    else:
        print("active" if active else "inactive")
    return GOOD if active else NOT_RUNNING
