# SPDX-License-Identifier: Apache-2.0
"""telemctl is-active: one word for scripts. Looks, and never starts anything."""

from __future__ import annotations

from telemd.ctl import service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "is-active"
SUMMARY = "say active (exit code 0) or inactive (3)"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """None of its own."""


def run(call: Call) -> int:
    """0 active, 3 inactive."""
    active = service.is_active(call)
    print("active" if active else "inactive")
    return 0 if active else 3
