# SPDX-License-Identifier: Apache-2.0
"""Places with a name at which telemd can be made to end itself, to see what the next start makes of what is left.

No setting, argument or environment variable arms one: that takes another program, which imports this module before it
runs telemd. In an installation each place is one comparison with an empty name. Nothing but that belongs in here.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

POINTS: Final = (
    "segment-created",
    "header-written",
    "directory-synced",
    "frames-written",
    "frames-synced",
    "settled",
    "ledger-due",
    "ledger-written",
    "ledger-synced",
    "footer-written",
    "unlinked",
    "evicted",
    "recycled",
    "carried",
    "carry-synced",
    "quarantined",
)
"""In about the order in which a record meets them. frames-synced is before the answer, ledger-due before the slot is
written, ledger-written before its sync, ledger-synced before anything is unlinked, carried before its sync."""

_armed = ""
_passes = 0


def arm(point: str, passes: int) -> None:
    """This process ends, as by kill -9, where it reaches the point after having passed it so many times."""
    global _armed, _passes
    if point not in POINTS:
        raise ValueError(f"no fault point is called {point}")
    _armed, _passes = point, passes


def reached(point: str) -> None:
    """Here it is. Returns, unless it is armed and its time has come."""
    if point == _armed:
        _end()


def _end() -> None:
    global _passes
    _passes -= 1
    if _passes < 0:
        os.kill(os.getpid(), signal.SIGKILL)
