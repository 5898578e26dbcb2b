# SPDX-License-Identifier: Apache-2.0
"""How long the server is to be left alone, kept over a restart: state_dir/retry, so that starting anew doesn't hammer
it.

Holds for one server only, known by a checksum of its address. How long to wait is delivery's affair.
"""

from __future__ import annotations

import zlib

from telemd import statefile

NAME = "retry"
WAIT_S_MAX = 2 * 3600
"""Over what any server may ask for: a file that says more was damaged, or the clock was set back."""


def write(state_dir: str, now_s: float, server: str, failures: int, wait_s: float) -> None:
    """OSError."""
    until_s = int(now_s + wait_s)
    statefile.write(state_dir, NAME, {"server": _mark(server), "failures": failures, "until_s": until_s})


def read(state_dir: str, now_s: float, server: str) -> tuple[int, float]:
    """Failures so far, and the seconds still to wait; (0, 0) where nothing usable is known of that server."""
    found = statefile.read(state_dir, NAME)
    if not isinstance(found, dict) or found.get("server") != _mark(server):
        return 0, 0.0
    failures, until_s = found.get("failures"), found.get("until_s")
    if type(failures) is not int or type(until_s) is not int or not 0 < failures < 1 << 31:
        return 0, 0.0
    wait_s = until_s - now_s
    return failures, wait_s if 0 < wait_s <= WAIT_S_MAX else 0.0


def remove(state_dir: str) -> None:
    """The server has answered."""
    statefile.remove(state_dir, NAME)


def _mark(server: str) -> int:
    return zlib.crc32(server.encode())
