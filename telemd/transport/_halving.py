# SPDX-License-Identifier: Apache-2.0
"""Which part of a batch to send next: all of it, halves where a server refuses it over one record, or one at a time.

Pure: it says what to send and is told what came of it; sending and the clock are someone else's. Left half first, so
that single records are found early. Bounded: at most POSTS_MAX posts beside those it begins with, and
where LONE_REFUSALS_MAX single records are refused before anything at all was taken, the fault is not the records' and
the rest is kept.
"""

from __future__ import annotations

from telemd.answers import Halve, Outcome, failed
from telemd.courierframes import REJECTED, RETRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

POSTS_MAX: Final = 256
LONE_REFUSALS_MAX: Final = 8


class Halving:
    """The course of one batch of count records. Ask part(), send it, settle() it, until part() is None."""

    __slots__ = ("_lone_refusals", "_parts", "_posts_left", "_retry_after_s", "_server", "_taken", "_text", "_verdicts")

    def __init__(self, count: int, server: str, part_max: int = 0) -> None:
        """part_max: records in one part at most; 0 for as many as there are."""
        self._server = server
        self._verdicts: list[tuple[int, int] | None] = [None] * count
        size = part_max or max(count, 1)
        self._parts = [(start, min(start + size, count)) for start in range(0, count, size)]
        self._parts.reverse()
        self._posts_left = POSTS_MAX + len(self._parts) - 1
        self._lone_refusals = 0
        self._taken = False
        self._retry_after_s = 0
        self._text = ""

    def part(self) -> tuple[int, int] | None:
        """The records to send now: from the first number up to, not including, the second."""
        return self._parts[-1] if self._parts else None

    def settle(self, answer: Outcome | Halve) -> None:
        """What came of part()."""
        start, stop = self._parts.pop()
        self._posts_left -= 1
        if isinstance(answer, Halve):
            middle = (start + stop) // 2
            self._parts += [(middle, stop), (start, middle)]
        else:
            self._take(start, stop, answer)
        if self._parts and self._posts_left <= 0:
            self.stop(failed("undecided", 1, self._server, f"{POSTS_MAX} requests"))
        elif self._parts and self._lone_refusals >= LONE_REFUSALS_MAX and not self._taken:
            self.stop(failed("takes-nothing", 1, self._server))

    def stop(self, why: Outcome) -> None:
        """Send nothing more of this batch: every record without a verdict shares the first one of why."""
        self._parts.clear()
        verdict = why.verdicts[0]
        self._verdicts = [known or verdict for known in self._verdicts]
        self._retry_after_s = max(self._retry_after_s, why.retry_after_s)
        self._text = why.text

    def outcome(self) -> Outcome:
        """The verdicts on the whole batch, once part() is None."""
        verdicts = [known for known in self._verdicts if known is not None]
        return Outcome(verdicts, self._retry_after_s, self._text)

    def _take(self, start: int, stop: int, answer: Outcome) -> None:
        self._verdicts[start:stop] = answer.verdicts
        kinds = {verdict for verdict, _ in answer.verdicts}
        if kinds == {RETRY}:
            # Busy, gone, or not a hub: the rest of the batch would only hear the same.
            self.stop(answer)
            return
        if kinds == {REJECTED} and stop - start == 1:
            self._lone_refusals += 1
        if kinds != {REJECTED}:
            self._taken = True
        self._text = answer.text or self._text
