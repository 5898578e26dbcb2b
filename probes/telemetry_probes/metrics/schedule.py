# SPDX-License-Identifier: Apache-2.0
"""When which collector is sampled: once at the start, then at multiples of its interval by the wall clock.

So samples of several machines lie together, and those of several intervals share a wake-up. What has been missed, as
while the machine slept, is not made up for. Pure: both clocks are arguments.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SAME_TIME_S: Final = 0.05
"""What is due within this is due now."""
GAP_SHARE: Final = 0.5
"""Of its interval: after the first sample, or a clock that was set, the next comes no sooner."""


class Schedule:
    """Names with their intervals; boot_s is seconds since the boot, asleep or not, wall_s seconds since 1970."""

    __slots__ = ("_due_s", "_intervals_s")

    def __init__(self) -> None:
        self._due_s: dict[str, float] = {}
        self._intervals_s: dict[str, float] = {}

    def add(self, name: str, interval_s: float, boot_s: float) -> None:
        """It is due at once."""
        self._intervals_s[name] = interval_s
        self._due_s[name] = boot_s

    def due(self, boot_s: float, wall_s: float) -> list[str]:
        """Those that are due, in the order they were added; each is due again later."""
        found = [name for name, due_s in self._due_s.items() if due_s <= boot_s + SAME_TIME_S]
        for name in found:
            self._due_s[name] = boot_s + self._wait_s(self._intervals_s[name], wall_s)
        return found

    def put_off(self, name: str, boot_s: float, wait_s: float) -> None:
        """It is due after that wait, not before."""
        self._due_s[name] = boot_s + wait_s

    def next_s(self) -> float | None:
        """When something is due; None where nothing ever is."""
        return min(self._due_s.values(), default=None)

    def _wait_s(self, interval_s: float, wall_s: float) -> float:
        wait_s = interval_s - wall_s % interval_s
        return wait_s if wait_s > interval_s * GAP_SHARE else wait_s + interval_s
