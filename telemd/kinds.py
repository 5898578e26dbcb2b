# SPDX-License-Identifier: Apache-2.0
"""The first record of each kind that waits: it is marked as it comes in, and is what eviction protects.

A kind is a classification. Touches no disk; what is remembered is gone with the process, and one record too many is
protected then.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemd.intake import Batch
    from telemd.ledger import LaneLedger

KINDS_MAX: Final = 1024
"""A lane remembers so many of them."""


class Kinds:
    """Of each lane but the lowest, for which nothing is carried: the number of the last record that was marked."""

    __slots__ = ("_kinds", "_lines")

    def __init__(self, lines: Sequence[LaneLedger]) -> None:
        self._lines = lines
        self._kinds: list[dict[bytes, int]] = [{} for _ in lines]

    def mark(self, batch: Batch) -> None:
        """Those of the batch of whose kind nothing waits."""
        for run in batch.runs():
            if run.refused or run.lane == len(self._lines) - 1:
                continue
            line, kinds, kind = self._lines[run.lane], self._kinds[run.lane], run.classification
            if kinds.get(kind, 0) >= line.cursor:
                continue
            run.mark_first()
            kinds.pop(kind, None)
            kinds[kind] = line.next_seq
            if len(kinds) > KINDS_MAX:
                del kinds[next(iter(kinds))]
