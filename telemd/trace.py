# SPDX-License-Identifier: Apache-2.0
"""A few records that somebody follows on their way out, for `telemctl selftest`: when each was given to the courier,
when the server's answer came, when the spool let go of it.

Pure: times come in. While nobody follows anything there is nothing here, and nothing is looked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

TRACES_MAX: Final = 4
"""The next one takes the place of the oldest."""

TRACE_US: Final = 300 * 1_000_000
"""Nothing is followed for longer than that."""

ID_LEN: Final = 16


class Way:
    """Of one record; times are microseconds since 1970, 0 for not yet. tries counts how often it was given to a
    courier; verdict and reason (docs/protocol.md, section 5), and what the courier said, are those of the last."""

    __slots__ = ("answered_us", "gone_us", "is_final", "reason", "since_us", "taken_us", "text", "tries", "verdict")

    def __init__(self, since_us: int) -> None:
        self.since_us = since_us
        self.tries = 0
        self.taken_us = 0
        self.answered_us = 0
        self.gone_us = 0
        self.is_final = False
        self.verdict = 0
        self.reason = 0
        self.text = ""


class Traces:
    """Those that are followed, by record id."""

    __slots__ = ("_ways",)

    def __init__(self) -> None:
        self._ways: dict[bytes, Way] = {}

    def __bool__(self) -> bool:
        return bool(self._ways)

    def follow(self, record_id: bytes, now_us: int) -> Way:
        """What is known of it; from now on that is noted."""
        self._forget(now_us)
        way = self._ways.get(record_id)
        if way is None:
            if len(self._ways) >= TRACES_MAX:
                del self._ways[next(iter(self._ways))]
            way = self._ways[record_id] = Way(now_us)
        return way

    def taken(self, ids: bytes, now_us: int) -> None:
        """A batch of these ids is with the courier."""
        self._forget(now_us)
        for way, _ in self._among(ids):
            way.tries += 1
            way.taken_us = now_us
            way.answered_us = 0

    def answered(self, ids: bytes, verdicts: Sequence[tuple[int, int]], final: int, text: str, now_us: int) -> None:
        """What became of a batch; verdicts are in the order of the ids, and the first so many of them are final."""
        for way, index in self._among(ids):
            way.answered_us = now_us
            way.verdict, way.reason = verdicts[index]
            way.text = text
            way.is_final = index < final

    def settled(self, now_us: int) -> None:
        """The ledger that says what is final is synced."""
        for way in self._ways.values():
            if way.is_final and not way.gone_us:
                way.gone_us = now_us

    def _among(self, ids: bytes) -> list[tuple[Way, int]]:
        found = []
        for record_id, way in self._ways.items():
            at = ids.find(record_id)
            while at >= 0 and at % ID_LEN:  # the end of one id and the begin of the next
                at = ids.find(record_id, at + 1)
            if at >= 0:
                found.append((way, at // ID_LEN))
        return found

    def _forget(self, now_us: int) -> None:
        """Also where the clock was put back by that much."""
        old = [each for each, way in self._ways.items() if abs(now_us - way.since_us) > TRACE_US]
        for record_id in old:
            del self._ways[record_id]
