# SPDX-License-Identifier: Apache-2.0
"""The way out: what delivery says is to be sent goes from the spool to the courier, and its verdicts back.

Wires spool, delivery and the courier's port; touches the network no more than the rest of telemd does.
"""

from __future__ import annotations

import random

from telemd import fates
from telemd.courierframes import (
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    REJECTED,
    Destination,
    FrameError,
    batch_prefix,
    decode_verdicts,
    encode_head,
)
from telemd.delivery import Delivery
from telemd.segment import LANES
from telemd.spool import Settlement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemd.courierframes import Frame
    from telemd.courierport import CourierPort
    from telemd.delivery import Outcome
    from telemd.reader import Waiting
    from telemd.segment import Host
    from telemd.spool import Spool


class Outbound:
    """Records from the spool to the courier. destination None: nothing is sent anywhere."""

    def __init__(self, port: CourierPort, destination: Destination | None, records_max: int, cap_s: int) -> None:
        self.port = port
        self.destination = destination
        self.records_max = min(records_max, RECORDS_MAX)
        self.delivery = Delivery(cap_s)
        self.last_success_us = 0
        self.notes: list[str] = []
        self.news: list[str] = []
        self._held: dict[int, int] = {}  # lane -> until when nothing more of it is sent
        self._heads: tuple[Destination, Host, bytes] | None = None

    def pump(self, spool: Spool, now_ms: int, now_us: int) -> None:
        """Send what may be sent now, starting a courier if there is none. What the courier holds is kept from
        eviction."""
        self._tick(spool, now_ms, now_us)
        if self.destination is not None:
            self._send_what_waits(spool, now_ms, now_us)
        for lane in range(len(LANES)):
            batch = self.delivery.in_flight.get(lane)
            spool.pin(lane, batch.waiting if batch is not None else None)

    def _send_what_waits(self, spool: Spool, now_ms: int, now_us: int) -> None:
        while True:
            waits = [some and now_ms >= self._held.get(each, 0) for each, some in enumerate(spool.waits(now_us))]
            lane = self.delivery.next_lane(now_ms, waits)
            if lane is None:
                return
            try:
                size = self.delivery.size_for(lane, self.records_max)
                waiting = spool.head(lane, size, RECORDS_BYTES_MAX, now_us)
            except OSError as error:
                self.delivery.postpone(f"the spool can't be used ({error.strerror})", now_ms, random.random())
                self.notes.append(self.delivery.last_error)
                return
            if waiting is not None and not self._send(lane, waiting, now_ms):
                return

    def hold(self, lane: int, until_ms: int) -> None:
        """Send nothing more of a lane until then (0: go on), so that what the courier has of it can come to an end."""
        self._held[lane] = until_ms

    def forget(self) -> None:
        """The spool is another one: what the courier has is no longer anybody's affair."""
        self.port.stop()
        self.delivery.in_flight.clear()

    def redirect(self, destination: Destination | None) -> None:
        """What isn't sent yet goes there."""
        if destination != self.destination:
            self.destination = destination
            self.delivery.begin_anew()

    def _send(self, lane: int, waiting: Waiting, now_ms: int) -> bool:
        batch_id = self.delivery.send(lane, waiting, now_ms)
        try:
            if not self.port.running:
                self.port.start()
            head = self._head(waiting.host)
            self.port.send(batch_prefix(batch_id, head, len(waiting.records)), waiting.records)
        except (OSError, FrameError) as error:
            self.delivery.lost(f"the courier could not be started or given a batch: {error}", now_ms, random.random())
            return False
        waiting.records = b""  # the courier has them; the spool keeps them
        return True

    def _head(self, host: Host) -> bytes:
        assert self.destination is not None
        if self._heads is None or self._heads[0] != self.destination or self._heads[1] != host:
            named = {"machine_id": host.machine_id.hex(), **host.facts}
            self._heads = (self.destination, host, encode_head(self.destination, named))
        return self._heads[2]

    def readable(self, spool: Spool, now_ms: int, now_us: int) -> None:
        """The courier said something, or left."""
        frames = self.port.read()
        if frames is None:
            self.port.stop()  # it may not quite have left, and nobody would take its status once the next one is here
            self._lost(
                spool, "the courier ended before it answered: `journalctl -t telemd` has its words", now_ms, now_us
            )
            return
        for frame in frames:
            if not self._verdicts(spool, frame, now_ms, now_us):
                self.port.stop()
                self._lost(spool, "the courier answered nonsense and was ended", now_ms, now_us)
                return
        if frames:
            spool.flush(now_us)

    def _verdicts(self, spool: Spool, frame: Frame, now_ms: int, now_us: int) -> bool:
        batch = self.delivery.expected(frame.batch_id)
        if batch is None:
            return False
        try:
            said = decode_verdicts(frame, batch.waiting.count)
        except FrameError:
            return False
        before = self.delivery.last_error
        outcome = self.delivery.answered(batch, said.verdicts, said.retry_after_s, said.text, now_ms, random.random())
        if outcome.delivered:
            self.last_success_us = now_us
        if outcome.delivered or outcome.rejected:
            self._remember(spool, outcome, said.verdicts, now_us)
            spool.settle(outcome.lane, outcome.waiting, Settlement(outcome.delivered, outcome.rejected))
        if self.delivery.last_error and self.delivery.last_error != before:
            self.notes.append(self.delivery.last_error)
        elif before and not self.delivery.last_error:
            self.news.append("delivery works again")
        return True

    @staticmethod
    def _remember(spool: Spool, outcome: Outcome, verdicts: Sequence[tuple[int, int]], now_us: int) -> None:
        ids = outcome.waiting.ids(0, outcome.delivered + outcome.rejected)
        if not outcome.rejected:
            spool.fates.add(ids, fates.DELIVERED, now_us)
            return
        for at in range(len(ids) // fates.ID_LEN):
            verdict, reason = verdicts[at]
            one = ids[fates.ID_LEN * at : fates.ID_LEN * (at + 1)]
            if verdict == REJECTED:
                spool.fates.add(one, fates.REJECTED, now_us, reason)
            else:
                spool.fates.add(one, fates.DELIVERED, now_us)

    def _lost(self, spool: Spool, text: str, now_ms: int, now_us: int) -> None:
        """The courier is gone; a record that has ended it too often is put away, so that the others can go."""
        condemned = self.delivery.lost(text, now_ms, random.random())
        if condemned is not None:
            spool.put_away(condemned.lane, condemned.waiting.first_seq, now_us)
            spool.flush(now_us)

    def _tick(self, spool: Spool, now_ms: int, now_us: int) -> None:
        """End a courier that has held a batch for too long; take the status of one that left."""
        if self.delivery.overdue(now_ms):
            self.port.stop()
            self._lost(spool, "the courier did not answer within its lease of 30 s and was ended", now_ms, now_us)
        if not self.port.running and self.port.pid:
            self.port.reap()

    def due_ms(self, spool: Spool, now_ms: int, now_us: int) -> int | None:
        """When pump() is due."""
        if self.destination is None:
            return None
        times = [self.delivery.due_ms(now_ms, any(spool.waits(now_us)))]
        times += [now_ms + max(1, (due_us - now_us) // 1000) for due_us in spool.deferred_until_us() if due_us > now_us]
        times += [until_ms for until_ms in self._held.values() if until_ms > now_ms]
        return min((each for each in times if each is not None), default=None)

    def report(self, now_ms: int, now_us: int) -> dict[str, object]:
        """For telemctl status."""
        delivery = self.delivery
        waits_ms = max(0, delivery.not_before_ms - now_ms) if delivery.failures else 0
        state = (
            "disabled"
            if self.destination is None
            else "sending"
            if delivery.in_flight
            else "waiting"
            if waits_ms
            else "idle"
        )
        return {
            "state": state,
            "next_try_us": now_us + waits_ms * 1000 if waits_ms else 0,
            "last_success_us": self.last_success_us,
            "last_error": delivery.last_error,
            "in_flight": sum(each.waiting.count for each in delivery.in_flight.values()),
            "lanes_in_flight": [LANES[lane] for lane in sorted(delivery.in_flight)],
        }
