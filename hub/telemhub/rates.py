# SPDX-License-Identifier: Apache-2.0
"""What counters grow by in a second, from their points.

Never below 0, and never over a reset, a restart or a clock that was set: those begin another baseline
(docs/protocol.md, section 10). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def rates(points: Sequence[tuple[int, float, int]]) -> list[tuple[int, float]]:
    """points: microseconds, value, baseline, by time. A rate stands at the later of two points."""
    found: list[tuple[int, float]] = []
    for (before_us, before, start), (at_us, value, its_start) in zip(points, points[1:], strict=False):
        if start == its_start and at_us > before_us and value >= before:
            found.append((at_us, (value - before) * 1_000_000 / (at_us - before_us)))
    return found
