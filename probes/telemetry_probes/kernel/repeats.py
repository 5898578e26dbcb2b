# SPDX-License-Identifier: Apache-2.0
"""A fault that the kernel reports again and again is sent a few times and then counted. Pure: time is an argument."""

from __future__ import annotations

BURST = 3
EVERY_S = 3600.0
"""So many reports of one fault at once, and one more every so many seconds."""
FAULTS_MAX = 256
"""That are remembered; those that were met longest ago are forgotten."""


class Repeats:
    """In memory: whoever starts anew may send BURST more."""

    __slots__ = ("_faults",)

    def __init__(self) -> None:
        self._faults: dict[str, tuple[float, float, int]] = {}  # tokens, when they were counted, how many were left out

    def admit(self, fingerprint: str, now_s: float, count: int = 1) -> int | None:
        """How many were left out since the last one that was sent, or None where this one is left out, too. `count`:
        how many reports this one stands for."""
        tokens, then_s, more = self._faults.pop(fingerprint, (float(BURST), now_s, 0))
        tokens = min(float(BURST), tokens + max(0.0, now_s - then_s) / EVERY_S)
        if len(self._faults) >= FAULTS_MAX:
            del self._faults[next(iter(self._faults))]
        if tokens < 1.0:
            self._faults[fingerprint] = (tokens, now_s, more + count)
            return None
        self._faults[fingerprint] = (tokens - 1.0, now_s, 0)
        return more
