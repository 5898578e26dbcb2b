# SPDX-License-Identifier: Apache-2.0
"""The owner's consent: nothing is created, kept or sent unless one file exists.

Only looks and never creates or removes: that is telemctl's, at the owner's word.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.config import Settings


def is_opted_in(settings: Settings) -> bool:
    """Whether the owner's file is there; one stat. A file that can't be looked at is none."""
    try:
        os.stat(settings.opt_in_path)
    except OSError:
        return False
    return True


def how_to(config_path: str | None) -> str:
    """What it means that the owner hasn't, and what would change it; config_path: where telemd runs with a
    configuration of its own."""
    named = f" -f {config_path}" if config_path else ""
    return f"not opted in: every record is refused, and nothing is kept; `telemctl{named} opt-in` changes that"
