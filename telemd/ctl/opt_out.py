# SPDX-License-Identifier: Apache-2.0
"""telemctl opt-out: consent withdrawn, telemd stopped, what it stored deleted.

In this order: where something fails, nothing more is taken in. Never touches what isn't telemd's own.
"""

from __future__ import annotations

import os

from telemd.ctl import service, stored
from telemd.ctl.call import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser

    from telemd.ctl.call import Call

VERB = "opt-out"
SUMMARY = "stop telemd and delete all records it has stored"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """None of its own."""


def run(call: Call) -> int:
    """0, also where it was so before; 1 where something could not be stopped or deleted."""
    path = call.settings.opt_in_path
    try:
        os.unlink(path)
        print("opted out")
    except (FileNotFoundError, NotADirectoryError):
        print("already opted out")
        if stored.stored_bytes(call.settings)[0] == 0:
            return 0
    except OSError as error:
        return failed(f"{path} can't be removed ({error.strerror}): remove it by hand, and run this again")
    stopped = service.stop(call)
    deleted = stored.delete(call.settings)
    code = 0 if stopped.good else stopped.told()
    return deleted.told() or code
