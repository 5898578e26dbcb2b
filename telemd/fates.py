# SPDX-License-Identifier: Apache-2.0
"""What became of the records that ended last: a ring in memory, for `telemctl why`.

Pure: ids and times come in, whole batches at once, so that nothing is done record by record. No content of a record may
come in here, and nothing may be decided by what is remembered: it is gone with the process, and older ones are pushed
out.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FATES_MAX: Final = 10_000
REFUSALS_MAX: Final = 2_000
"""Refusals have a ring of their own: anybody can cause them, and must not push the others out."""

ID_LEN: Final = 16

DELIVERED: Final = 0
REJECTED: Final = 1
EVICTED: Final = 2
EXPIRED: Final = 3
PURGED: Final = 4
PUT_AWAY: Final = 5
REFUSED: Final = 6
NAMES: Final = ("delivered", "rejected", "evicted", "expired", "purged", "put-away", "refused")
"""put-away: it ended the courier again and again, and lies in quarantine/; counted as rejected."""

_TAIL: Final = struct.Struct("<qBB")


class Fate:
    """How one record ended, and when (microseconds since 1970). reason: the server's (docs/answers.md) where it is
    rejected, that of docs/protocol.md, section 2, where it is refused, else 0."""

    __slots__ = ("end", "reason", "when_us")

    def __init__(self, end: int, reason: int, when_us: int) -> None:
        self.end = end
        self.reason = reason
        self.when_us = when_us


class Fates:
    """The last so many. 26 bytes each, taken as they come."""

    __slots__ = ("_ids", "_max", "_next", "_tails")

    def __init__(self, fates_max: int = FATES_MAX) -> None:
        self._max = fates_max
        self._ids = bytearray()
        self._tails = bytearray()
        self._next = 0

    def add(self, ids: bytes, end: int, when_us: int, reason: int = 0) -> None:
        """These records, 16 bytes each and in order, ended so."""
        ids = ids[-self._max * ID_LEN :]
        tail = _TAIL.pack(when_us, end, reason)
        while ids:
            room = self._max - self._next
            some = ids[: room * ID_LEN]
            ids = ids[len(some) :]
            count = len(some) // ID_LEN
            self._ids[self._next * ID_LEN : (self._next + count) * ID_LEN] = some
            self._tails[self._next * _TAIL.size : (self._next + count) * _TAIL.size] = tail * count
            self._next = (self._next + count) % self._max

    def find(self, record_id: bytes) -> Fate | None:
        """The newest fate of that record; None where it isn't among the last ones."""
        newest = self._find(record_id, 0, self._next)
        if newest is None:
            newest = self._find(record_id, self._next, len(self._ids) // ID_LEN)
        if newest is None:
            return None
        when_us, end, reason = _TAIL.unpack_from(self._tails, newest * _TAIL.size)
        return Fate(end, reason, when_us)

    def __len__(self) -> int:
        return len(self._ids) // ID_LEN

    def _find(self, record_id: bytes, first: int, behind: int) -> int | None:
        """The last place of [first, behind) that holds the id."""
        at = self._ids.rfind(record_id, first * ID_LEN, behind * ID_LEN)
        while at >= 0 and at % ID_LEN:  # the end of one id and the begin of the next
            at = self._ids.rfind(record_id, first * ID_LEN, at + ID_LEN - 1)
        return at // ID_LEN if at >= 0 else None
