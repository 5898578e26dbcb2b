# SPDX-License-Identifier: Apache-2.0
"""Names of users, as this system knows them. Nothing is changed, and no name is needed for anything but to be read."""

from __future__ import annotations

import functools
import pwd

from telemd.ctl.words import plain

NAME_MAX = 24


@functools.lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The name, or the number where there is none; "?" where the user isn't known."""
    if uid < 0:
        return "?"
    try:
        return plain(pwd.getpwuid(uid).pw_name, NAME_MAX)
    except (KeyError, OverflowError):
        return str(uid)
