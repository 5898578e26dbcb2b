# SPDX-License-Identifier: Apache-2.0
"""How far the owner's consent goes. Whether there is any is libtelemetry's is_opted_in()."""

from __future__ import annotations

import posix

from libtelemetry import is_opted_in, setting


def privacy_is_lifted() -> bool:
    """The owner's file stands beside the opt-in, and counts for nothing without that."""
    where = setting("opt_in_path").rpartition("/")[0]
    try:
        posix.stat(f"{where}/opt-in-no-privacy-filters")
    except OSError:
        return False
    return is_opted_in()
