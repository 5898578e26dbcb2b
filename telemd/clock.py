# SPDX-License-Identifier: Apache-2.0
"""How far the wall clock can be trusted: it may be set; CLOCK_BOOTTIME can't, and goes on while the machine sleeps.

Reads both clocks, changes nothing.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

JUMP_US: Final = 60 * 1_000_000
"""What NTP slews and rounding never reach within a tick."""


def now_ms() -> int:
    """Monotonic."""
    return time.monotonic_ns() // 1_000_000


def now_us() -> int:
    """Wall clock."""
    return time.time_ns() // 1000


class Clock:
    """Compares the two since it was made."""

    __slots__ = ("_began_min", "_offset_us")

    def __init__(self) -> None:
        self._offset_us = _offset_us()
        self._began_min = (_boot_us() + self._offset_us) // 60_000_000 - _boot_us() // 60_000_000

    def minute(self) -> int:
        """A running number of minutes, near those of the wall clock at the start, that never jumps."""
        return _boot_us() // 60_000_000 + self._began_min

    def jumped_us(self) -> int:
        """How far the wall clock was set, since the last call; 0 where it wasn't."""
        offset_us = _offset_us()
        jump_us = offset_us - self._offset_us
        if abs(jump_us) < JUMP_US:
            return 0
        self._offset_us = offset_us
        return jump_us


def _boot_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def _offset_us() -> int:
    return time.time_ns() // 1000 - _boot_us()
