# SPDX-License-Identifier: Apache-2.0
"""telemctl opt-in: the owner's consent, as a file. Starts nothing, so that the owner can look at the settings first."""

from __future__ import annotations

import os

from telemd import optin
from telemd.ctl.call import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "opt-in"
SUMMARY = "allow records to be taken, kept and sent"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """None of its own."""


def run(call: Call) -> int:
    """0, also where it was so before."""
    path = call.settings.opt_in_path
    if optin.is_opted_in(call.settings):
        print("already opted in")
        return 0
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return failed(
            f"{path} is a link that leads nowhere, or in a place that is no directory: remove it and try again"
        )
    except OSError as error:
        return failed(f"{path} can't be made ({error.strerror}): make its directory writable")
    print(f"opted in ({path})")
    if not call.settings.server:
        print("server is not set: records will be kept until they expire, and nothing is sent anywhere")
    print(f"telemd runs after: {call.command('start')}")
    return 0
