# SPDX-License-Identifier: Apache-2.0
"""What to send next, and what each answer means for the spool.

Pure: monotonic time and chance are arguments. It knows batches by lane and number, never their bytes, and neither the
courier's process nor the disk.
"""

from __future__ import annotations

from telemd import backoff
from telemd.courierframes import DELIVERED, DUPLICATE, REASON_UNDECIDED, REJECTED
from telemd.segment import LANES
from telemd.suspicion import Suspicion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemd.reader import Waiting

LEASE_MS: Final = 30_000
SUSPECT_FAILURES_MAX: Final = 2
"""A courier that ends is no sign of a server that needs rest: the waits stay as short as after so many failures."""


class Standing:
    """How a server has fared: failures in a row, until when it is left alone, and what the last one was."""

    __slots__ = ("failures", "last_error", "not_before_ms")

    def __init__(self) -> None:
        self.failures = 0
        self.not_before_ms = 0
        self.last_error = ""


class InFlight:
    """One batch that is with the courier. standing: of the server that it is for."""

    __slots__ = ("batch_id", "deadline_ms", "lane", "standing", "waiting")

    def __init__(self, batch_id: int, lane: int, waiting: Waiting, deadline_ms: int, standing: Standing) -> None:
        self.batch_id = batch_id
        self.lane = lane
        self.waiting = waiting
        self.deadline_ms = deadline_ms
        self.standing = standing


class Outcome:
    """So many records at the head of a batch need no further thought."""

    __slots__ = ("delivered", "lane", "rejected", "waiting")

    def __init__(self, lane: int, waiting: Waiting, delivered: int, rejected: int) -> None:
        self.lane = lane
        self.waiting = waiting
        self.delivered = delivered
        self.rejected = rejected


class Delivery:
    """One batch of each lane may be under way; after a failure of a server only one of all for it, until something
    succeeds. standing: of the server that the settings name; what isn't told otherwise is for that one."""

    def __init__(self, cap_s: int) -> None:
        self.cap_s = cap_s
        self.in_flight: dict[int, InFlight] = {}
        self.standing = Standing()
        self._next_batch_id = 1
        self._turn = 0
        self._forgiven = False
        self._suspicion = Suspicion()
        self._full = 1

    def next_lane(
        self, now_ms: int, waits: Sequence[bool], toward: Sequence[Standing | None] | None = None
    ) -> int | None:
        """The lane whose turn it is, of those where something waits; None where nothing may be sent now. toward: for
        whom each lane's head is, None where that isn't known yet."""
        if self._suspicion.lane is not None and self.in_flight:
            return None
        for step in range(len(LANES)):
            lane = (self._turn + step) % len(LANES)
            standing = toward[lane] if toward is not None else self.standing
            if waits[lane] and lane not in self.in_flight and (standing is None or self.may_send(standing, now_ms)):
                self._turn = (lane + 1) % len(LANES)
                return lane
        return None

    def may_send(self, standing: Standing, now_ms: int) -> bool:
        """That server may be given a batch now."""
        if now_ms < standing.not_before_ms:
            return False
        return not standing.failures or all(each.standing is not standing for each in self.in_flight.values())

    def size_for(self, lane: int, full: int) -> int:
        """Records that the lane's next batch may have; full is what the settings allow."""
        self._full = full
        return self._suspicion.size_for(lane, full)

    def send(self, lane: int, waiting: Waiting, now_ms: int, standing: Standing | None = None) -> int:
        """The batch goes out; its number."""
        batch_id = self._next_batch_id
        self._next_batch_id += 1
        self.in_flight[lane] = InFlight(batch_id, lane, waiting, now_ms + LEASE_MS, standing or self.standing)
        return batch_id

    def expected(self, batch_id: int) -> InFlight | None:
        """The batch of that number, if it is under way."""
        return next((each for each in self.in_flight.values() if each.batch_id == batch_id), None)

    def answered(
        self,
        batch: InFlight,
        verdicts: Sequence[tuple[int, int]],
        retry_after_s: int,
        text: str,
        now_ms: int,
        chance: float,
    ) -> Outcome:
        """Verdicts for each record of the batch. Those behind the first that must be tried again are sent again with
        it: the hub knows them by their ids, and no order has to be remembered on disk. chance is in 0 … 1."""
        del self.in_flight[batch.lane]
        self._forgiven = False
        self._suspicion.survived(batch.lane, batch.waiting.count, self._full)
        delivered = rejected = why = 0
        for verdict, reason in verdicts:
            if verdict in (DELIVERED, DUPLICATE):
                delivered += 1
            elif verdict == REJECTED:
                rejected += 1
            else:
                why = reason
                break
        # A server that takes them one by one, and slowly, does as well as it can: the rest goes on at once.
        in_the_midst = why == REASON_UNDECIDED and delivered > 0
        if delivered + rejected < batch.waiting.count and not in_the_midst:
            self._failed(batch.standing, text, retry_after_s, now_ms, chance)
        else:
            batch.standing.failures = 0
            batch.standing.last_error = text if rejected else ""
        return Outcome(batch.lane, batch.waiting, delivered, rejected)

    def lost(self, text: str, now_ms: int, chance: float, *, began: bool = True) -> InFlight | None:
        """The courier is gone, or its lease is over: nothing that was under way counts. The first time is forgiven, for
        an idle courier may leave at the moment when it is given something; the next one gets it at once. A batch that
        is returned is one record that has ended the courier too often: it must go out of the way. began: the courier
        was there at all; where it wasn't no record is to blame."""
        if not self.in_flight:
            return None
        first = min(self.in_flight.values(), key=lambda each: each.batch_id)
        self.in_flight.clear()
        waiting, standing = first.waiting, first.standing
        condemned = began and self._suspicion.died(first.lane, waiting.first_seq, waiting.count)
        if self._forgiven:
            if began:
                # The server has done nothing: try again soon.
                standing.failures = min(standing.failures, SUSPECT_FAILURES_MAX)
            self._failed(standing, text, 0, now_ms, chance)
        self._forgiven = True
        return first if condemned else None

    def postpone(self, text: str, now_ms: int, chance: float) -> None:
        """There is something to send, but it can't be had now."""
        self._failed(self.standing, text, 0, now_ms, chance)

    def resume(self, failures: int, not_before_ms: int) -> None:
        """As it was before a restart."""
        self.standing.failures, self.standing.not_before_ms = failures, not_before_ms

    def send_now(self) -> None:
        """Somebody asked for it: the next try is at once."""
        self.standing.not_before_ms = 0

    def begin_anew(self) -> None:
        """The server is another one: how the former one fared, and how long it wanted to be left alone, is its own
        affair, also where it hasn't answered yet."""
        self.standing = Standing()

    def overdue(self, now_ms: int) -> bool:
        """A batch has been under way for longer than its lease."""
        return any(now_ms >= each.deadline_ms for each in self.in_flight.values())

    def due_ms(self, now_ms: int, anything_waits: bool, toward: Sequence[Standing | None] = ()) -> int | None:
        """When to look again, if nothing happens before. toward: for whom the heads of lanes are."""
        resting = [each for each in toward if each is not None]
        if anything_waits:
            resting.append(self.standing)
        times = [each.deadline_ms for each in self.in_flight.values()]
        busy = [each.standing for each in self.in_flight.values()]
        times += [each.not_before_ms for each in resting if now_ms < each.not_before_ms and each not in busy]
        return min(times, default=None)

    def _failed(self, standing: Standing, text: str, retry_after_s: int, now_ms: int, chance: float) -> None:
        standing.failures += 1
        standing.last_error = text
        wait_s = backoff.wait_s(standing.failures, chance, retry_after_s, self.cap_s)
        standing.not_before_ms = now_ms + int(1000 * wait_s)

    # -- of the server that the settings name --

    @property
    def failures(self) -> int:
        """In a row."""
        return self.standing.failures

    @property
    def not_before_ms(self) -> int:
        """Until then it is left alone."""
        return self.standing.not_before_ms

    @property
    def last_error(self) -> str:
        """For the operator; empty where all is well."""
        return self.standing.last_error
