# SPDX-License-Identifier: Apache-2.0
"""What one unprivileged user may have of a lane: of its windows, and of the spool.

Pure. What is in the windows stands at minutes, what waits in the spool at the numbers of records: it is given back as
the lane's cursor passes them, delivered or not.
"""

from __future__ import annotations

from telemd.fairshare import FairShare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Final

    from telemd.ratelimit import Window

FRAME_BYTES: Final = 56
"""What a record takes on disk besides its own bytes (docs/protocol.md, section 4.1)."""

WAITING: Final = "waiting"


class UserShares:
    """Of one lane. records and bytes_: the windows of all users together; waiting: so many bytes of the spool (below 0:
    no limit)."""

    __slots__ = ("_bytes", "_cursor", "_minutes", "_next", "_records", "_waiting")

    def __init__(self, records: Window, bytes_: Window, waiting: int) -> None:
        self._minutes = {"records": records.minutes, "bytes": bytes_.minutes}
        self._records = FairShare(records.limit) if records.on else None
        self._bytes = FairShare(bytes_.limit) if bytes_.on else None
        self._waiting = FairShare(waiting) if waiting >= 0 else None
        self._cursor = 1
        self._next = 1

    def stand(self, cursor: int, next_seq: int) -> None:
        """The lane's records from cursor to before next_seq wait."""
        self._cursor, self._next = cursor, next_seq
        if cursor >= next_seq and self._waiting is not None and self._waiting.used(cursor):
            self._waiting = FairShare(self._waiting.total)

    def go_by(self, count: int) -> None:
        """So many of others are let pass in between."""
        self._next += count

    def passed(self, minute: int, uid: int, count: int, total_bytes: int, sizes: Callable[[], Sequence[int]]) -> int:
        """How many of the first of count records may pass. Nothing is counted yet. sizes: as in Budget.admit()."""
        fits = [
            (share.room(first, uid), each, frame)
            for share, first, each, frame in (
                (self._records, self._first(minute, "records"), 0, 1),
                (self._bytes, self._first(minute, "bytes"), 1, 0),
                (self._waiting, self._cursor, 1, FRAME_BYTES),
            )
            if share is not None
        ]
        if all(room.holds(each * total_bytes + frame * count) for room, each, frame in fits):
            return count
        length = 0
        for at, size in enumerate(sizes()):
            if not all(room.fits(each * size + frame, each * length + frame * at) for room, each, frame in fits):
                return at
            length += size
        return count

    def take(self, minute: int, uid: int, count: int, total_bytes: int) -> None:
        """So many did pass."""
        if self._records is not None:
            self._records.take(self._first(minute, "records"), minute, uid, count)
        if self._bytes is not None:
            self._bytes.take(self._first(minute, "bytes"), minute, uid, total_bytes)
        if self._waiting is not None:
            self.go_by(count)
            self._waiting.take(self._cursor, self._next - 1, uid, total_bytes + FRAME_BYTES * count)

    def dump(self, minute: int) -> dict[str, list[list[int]]]:
        """What load() takes."""
        return {name: share.dump(first, origin) for name, share, first, origin in self._each(minute)}

    def load(self, minute: int, kept: dict[str, list[list[int]]]) -> None:
        """What was counted before the restart; minute is now less what has gone by since."""
        for name, share, first, origin in self._each(minute):
            share.load(first, origin, kept.get(name, []))

    def report(self, minute: int) -> dict[str, object]:
        """What all users have, of how much, and how much of that one alone may have."""
        return {
            name: {
                "used": share.used(first),
                "limit": share.total,
                "alone": share.alone,
                "minutes": self._minutes.get(name, 0),
            }
            for name, share, first, _ in self._each(minute)
        }

    def _each(self, minute: int) -> Iterator[tuple[str, FairShare, int, int]]:
        """Name, share, the first place that counts, and what places are kept relative to."""
        if self._records is not None:
            yield "records", self._records, self._first(minute, "records"), minute
        if self._bytes is not None:
            yield "bytes", self._bytes, self._first(minute, "bytes"), minute
        if self._waiting is not None:
            yield WAITING, self._waiting, self._cursor, 0

    def _first(self, minute: int, name: str) -> int:
        return minute - self._minutes[name] + 1
