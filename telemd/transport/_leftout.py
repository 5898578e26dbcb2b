# SPDX-License-Identifier: Apache-2.0
"""Records of a batch that are not sent at all, and their places among the verdicts on the others. Pure."""

from __future__ import annotations

from telemd.answers import Outcome
from telemd.courierframes import REASON_NOT_CARRIED, REASON_UNREADABLE, REJECTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_WHY: Final = {
    REASON_UNREADABLE: "of a format this courier can't read",
    REASON_NOT_CARRIED: "of a kind that `transport` doesn't carry (metrics, packed JSON)",
}


class LeftOut:
    """Tell it of each record that is left out, in the order of the batch."""

    __slots__ = ("_reasons",)

    def __init__(self) -> None:
        self._reasons: dict[int, int] = {}

    def add(self, number: int, reason: int) -> None:
        """number: the record's place in the batch, rising."""
        self._reasons[number] = reason

    def among(self, outcome: Outcome) -> Outcome:
        """The outcome of those that were sent, as one for the whole batch."""
        if not self._reasons:
            return outcome
        for number, reason in self._reasons.items():
            outcome.verdicts.insert(number, (REJECTED, reason))
        sentences = [outcome.text] if outcome.text else []
        for reason, why in _WHY.items():
            count = sum(1 for each in self._reasons.values() if each == reason)
            if count:
                sentences.append(
                    f"{count} record{'s' if count > 1 else ''} {why} {'were' if count > 1 else 'was'} given up"
                )
        return Outcome(outcome.verdicts, outcome.retry_after_s, "; ".join(sentences))
