# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the spool, as sentences for the log; and whether its directory may be gone.

Pure: says nothing itself and tries nothing again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

INTAKE: Final = 0
LEDGER: Final = 1
"""What may go wrong for long, each for itself."""


class Trouble:
    """in_doubt: a write failed in a way that may mean that the directory isn't there any more."""

    __slots__ = ("_lasting", "_notes", "in_doubt")

    def __init__(self, notes: list[str]) -> None:
        """notes: sentences from before."""
        self._notes = notes
        self._lasting: dict[int, str] = {}
        self.in_doubt = False

    def note(self, sentence: str) -> None:
        """To be said once."""
        self._notes.append(sentence)

    def lasts(self, what: int, sentence: str) -> None:
        """To be said once, not for every batch, until is_over() or another sentence about it."""
        if sentence != self._lasting.get(what):
            self._notes.append(sentence)
        self._lasting[what] = sentence

    def is_over(self, what: int) -> None:
        """That has succeeded."""
        self._lasting.pop(what, None)

    def take_notes(self) -> list[str]:
        """The sentences since the last call."""
        notes, self._notes = self._notes, []
        return notes
