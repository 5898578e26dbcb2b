# SPDX-License-Identifier: Apache-2.0
"""One way through the journal: from the kept place to its end and on, never more at a time than there is time for.

What lies too far back is passed over, counted and said. What an entry means must never come in here.
"""

from __future__ import annotations

from time import monotonic, time

from telemetry_probes import ownstate
from telemetry_probes.journal import place as places
from telemetry_probes.journal.place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from telemetry_probes.journal.source import Entry, Source

CATCH_UP_US = 7 * 86_400 * 1_000_000
"""What was written before that is passed over."""
FUTURE_US = 86_400 * 1_000_000
"""What claims to be written so much later than now is damaged; the clock may have been set back by less."""
BEHIND_CHECK_S = 10.0
"""How often it is looked how far behind it is, while it is."""


class Lane:
    """`at_end`: there was nothing more to read, the last time. `fd` polls for more."""

    __slots__ = (
        "_astray", "_boot", "_checked_s", "_failed", "_fields", "_folder", "_kept", "_last", "_most", "_name",
        "_pending", "_reach", "_say", "_source", "at_end", "told",
    )  # fmt: skip

    def __init__(
        self, source: Source, folder: str, name: str, fields: Sequence[str], most: int, reach: int,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`name` of the file in `folder` that keeps the place; `most`: entries that are read in one look; `reach`: of
        more entries than that ahead the oldest are passed over."""
        self._source = source
        self._folder = folder
        self._name = name
        self._fields = fields
        self._most = most
        self._reach = reach
        self._say = say
        self._pending: Entry | None = None
        self._last: Entry | None = None
        self._kept = b""
        self._failed = False
        self._astray = False
        self._boot = ""
        self._checked_s = -BEHIND_CHECK_S
        self.at_end = False
        self.told: dict[str, tuple[str, int]] = {}

    @property
    def fd(self) -> int:
        """To poll."""
        return self._source.fd

    @property
    def look_again_ms(self) -> int:
        """When to look without being told; -1 for never."""
        return self._source.look_again_ms

    def close(self) -> None:
        """It is no longer followed."""
        self._source.close()

    def changed(self) -> None:
        """Take notice of what the descriptor told."""
        self._source.changed()

    def begin(self, boot: str, now_us: int, since_us: int) -> None:
        """At the kept place; without one at the begin of the boot `boot`, or of all files in a directory. Nothing
        that was written before the owner's consent, `since_us`, is read."""
        self._boot = boot
        self._kept = ownstate.kept(self._folder, self._name)
        place = places.read(self._kept)
        if not (place.cursor and self._source.seek_cursor(place.cursor)):
            if self._kept:
                self._say(f"{self._folder}/{self._name} is damaged: the journal is read from the begin of this boot")
            self._kept = b""
            self._begin_anew(boot, now_us, since_us)
            return
        self.told = place.told
        first = self._source.next(self._fields)
        is_there = self._source.is_at(place.cursor)
        if not is_there:
            self._say(
                "the journal was cut behind the place that was read last: what failed there is not told, if it did"
            )
        written_us = places.realtime_us(place.cursor)
        from_us = max(now_us - CATCH_UP_US, since_us)
        if written_us is not None and written_us < from_us:
            self._source.seek_time(from_us)
            first, is_there = self._source.next(self._fields), False
            why = "while the owner had not opted in"
            if from_us != since_us:
                why = f"longer ago than {CATCH_UP_US // 86_400_000_000} days"
            self._passed(place.cursor, first, why)
        self._pending = first if place.again or not is_there else None

    def _begin_anew(self, boot: str, now_us: int, since_us: int) -> None:
        if since_us > now_us - int(monotonic() * 1_000_000):
            self._source.seek_time(since_us)
        elif self._source.directory or not boot:
            self._source.seek_head()
        else:
            self._source.seek_boot(boot)

    def entries(self) -> Iterator[Entry]:
        """What there is, but no more than is read in one look. Whoever stops earlier gets the rest the next time."""
        self.at_end = False
        for _ in range(self._most):
            entry, self._pending = self._pending or self._source.next(self._fields), None
            if entry is None or self._is_astray(entry):
                self.at_end = True
                return
            self._last = entry
            yield entry
        if self._last is not None and monotonic() - self._checked_s >= BEHIND_CHECK_S:
            self._not_too_far_behind(self._last)

    def _is_astray(self, entry: Entry) -> bool:
        """Is it of the future? In a damaged file; to sd-journal, which orders entries of one boot by the monotonic
        clock and others by the real one, all that is written from now on lies before it."""
        if entry.boot == self._boot:
            ahead_us = entry.monotonic_us - monotonic() * 1_000_000
        else:
            ahead_us = entry.realtime_us - time() * 1_000_000
        if ahead_us <= FUTURE_US:
            return False
        if not self._astray:
            self._say("a file of the journal is damaged: what it has behind an entry of the future is passed over")
        self._astray = True
        if self._last is not None:
            self._back_to(self._last)
        else:
            self._source.seek_time(int(time() * 1_000_000))
        return True

    def _back_to(self, last: Entry) -> None:
        """The entry that is read next is the one behind this."""
        self._source.seek_cursor(last.cursor)
        if self._source.next(()) is not None and not self._source.is_at(last.cursor):
            self._source.seek_cursor(last.cursor)  # it is gone: what comes next is that which follows it

    def _not_too_far_behind(self, last: Entry) -> None:
        self._source.seek_tail()
        ahead = self._source.back(self._reach, self._fields)
        if ahead is not None and ahead.realtime_us > last.realtime_us and ahead.cursor != last.cursor:
            self._passed(last.cursor, ahead, f"more than {self._reach} behind")
            self._pending = ahead
            return
        self._checked_s = monotonic()
        self._back_to(last)

    def _passed(self, cursor: str, first: Entry | None, why: str) -> None:
        count = places.passed_over(cursor, first.cursor) if first is not None else None
        self._say(f"{'some' if count is None else count} entries of the journal were passed over: {why}")

    def keep(self, needed: Entry | None) -> None:
        """On disk: all before `needed` is dealt with, or all that was read where nothing is needed any more. What was
        told of units behind it stands in `told`."""
        at = needed or self._last
        if at is None or not places.is_cursor(at.cursor):
            return
        if needed is None:
            self.told.clear()
        content = Place(at.cursor, needed is not None, self.told).text()
        if content == self._kept:
            return
        try:
            ownstate.keep(self._folder, self._name, content)
        except OSError as error:
            # what is read again after a restart has the same ids
            if not self._failed:
                self._say(f"{self._folder}/{self._name} can't be written ({error.strerror}): a restart reads it again")
            self._failed = True
            return
        self._kept = content
        self._failed = False
