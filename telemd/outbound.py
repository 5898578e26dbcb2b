# SPDX-License-Identifier: Apache-2.0
"""The way out: what delivery says is to be sent goes from the spool to the courier, and its verdicts back.

Wires spool, delivery and the courier's port; touches the network no more than the rest of telemd does.
"""

from __future__ import annotations

import random
import time

from telemd import fates
from telemd.courierframes import (
    REASON_SETTINGS,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    REJECTED,
    FrameError,
    batch_prefix,
    decode_verdicts,
    encode_head,
)
from telemd.delivery import Delivery
from telemd.destinations import Destinations
from telemd.overtaking import Laps
from telemd.segment import LANES
from telemd.spool import Settlement
from telemd.trace import Traces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemd.courierframes import Destination, Frame
    from telemd.courierport import CourierPort
    from telemd.delivery import Outcome, Standing
    from telemd.destinations import NamedFiles, Way
    from telemd.lane import Lane
    from telemd.reader import Waiting
    from telemd.segment import Host
    from telemd.spool import Spool


class _Head:
    """For whom the head of a lane is; holds as long as the lane's cursor stays there."""

    __slots__ = ("seq", "way")

    def __init__(self, seq: int, way: Way) -> None:
        self.seq = seq
        self.way = way


class Outbound:
    """Records from the spool to the courier. destination None: nothing is sent anywhere. files: those that records may
    name; None: they name nothing."""

    def __init__(
        self,
        port: CourierPort,
        destination: Destination | None,
        records_max: int,
        cap_s: int,
        files: NamedFiles | None = None,
    ) -> None:
        self.port = port
        self.records_max = min(records_max, RECORDS_MAX)
        self.delivery = Delivery(cap_s)
        self.destinations = Destinations(destination, self.delivery.standing, files)
        self.last_success_us = 0
        self.notes: list[str] = []
        self.news: list[str] = []
        self.traces = Traces()
        self._held: dict[int, int] = {}  # lane -> until when nothing more of it is sent
        self._frame_head: tuple[Destination, Host, bytes] | None = None
        self._heads: dict[int, _Head] = {}  # of lanes whose head can't be sent now
        self._laps = [Laps() for _ in LANES]
        self._moving = False  # and the next piece of it is due at once

    @property
    def destination(self) -> Destination | None:
        """What the settings name."""
        return self.destinations.configured.destination

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
        self._moving = False
        while not self._moving:
            waits = [some and now_ms >= self._held.get(each, 0) for each, some in enumerate(spool.waits(now_us))]
            lane = self.delivery.next_lane(now_ms, waits, self._toward(spool, now_ms))
            if lane is None:
                return
            try:
                size = self.delivery.size_for(lane, self.records_max)
                waiting = spool.head(lane, size, RECORDS_BYTES_MAX, now_us)
            except OSError as error:
                self.delivery.postpone(f"the spool can't be used ({error.strerror})", now_ms, random.random())
                self.notes.append(self.delivery.last_error)
                return
            if waiting is None:
                continue
            way, count = self.destinations.of_head(waiting, now_ms)
            self._take_notes()
            if way is self.destinations.nowhere:
                waiting.cut(count)
                self._keep_back(spool, lane, waiting, now_us)
            elif not self.delivery.may_send(way.standing, now_ms):
                self._heads[lane] = _Head(waiting.first_seq, way)
                self._let_pass(spool, lane, waiting, count, now_ms, now_us)
            else:
                waiting.cut(count)
                if not self._send(lane, waiting, way, now_ms):
                    return

    def _toward(self, spool: Spool, now_ms: int) -> list[Standing | None]:
        """For whom the head of each lane is, as far as that is known and there is no use in looking at it."""
        toward: list[Standing | None] = []
        for lane in spool.lanes:
            head = self._heads.get(lane.index)
            if head is not None and (head.seq != lane.ledger.cursor or self._in_the_way(lane, head, now_ms)):
                del self._heads[lane.index]
                head = None
            toward.append(head.way.standing if head is not None else None)
        return toward

    def _in_the_way(self, lane: Lane, head: _Head, now_ms: int) -> bool:
        """The head can't be sent, but what is behind it may well be. The server of the settings has the right of way:
        where it is out of reach itself nothing is moved."""
        configured = self.destinations.configured
        if head.way is configured or not self.delivery.may_send(configured.standing, now_ms):
            return False
        return self._laps[lane.index].wanted(head.seq, lane.ledger.next_seq, now_ms)

    def _let_pass(self, spool: Spool, lane: int, waiting: Waiting, count: int, now_ms: int, now_us: int) -> None:
        """Move what can't be sent behind the others, a piece each time; count are for the same server."""
        line, laps, head_seq = spool.lanes[lane].ledger, self._laps[lane], waiting.first_seq
        if count == waiting.count and head_seq + count == line.next_seq:
            laps.none_behind(head_seq, line.next_seq)
        if not self._in_the_way(spool.lanes[lane], self._heads[lane], now_ms):
            return
        laps.move(head_seq, line.next_seq, now_ms)
        try:
            moved = spool.move_behind(lane, count, RECORDS_BYTES_MAX, now_us)
        except OSError as error:
            self.notes.append(f"records whose server is out of reach hold up the others ({error.strerror})")
            laps.failed(line.cursor, now_ms)
            return
        laps.moved(moved, len(waiting.records))
        self._moving = True

    def _keep_back(self, spool: Spool, lane: int, waiting: Waiting, now_us: int) -> None:
        """Their owner wants them delivered nowhere."""
        ids = waiting.ids(0, waiting.count)
        spool.fates.add(ids, fates.REJECTED, now_us, REASON_SETTINGS)
        spool.settle(lane, waiting, Settlement(0, waiting.count))

    def _take_notes(self) -> None:
        self.notes += self.destinations.notes
        self.destinations.notes.clear()

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
            self.delivery.begin_anew()
            self.destinations.redirect(destination, self.delivery.standing)
        self.destinations.look_again()
        self._heads.clear()  # for whom they are may be another now

    def _send(self, lane: int, waiting: Waiting, way: Way, now_ms: int) -> bool:
        assert way.destination is not None
        batch_id = self.delivery.send(lane, waiting, now_ms, way.standing)
        try:
            if not self.port.running:
                self.port.start()
            head = self._head(way.destination, waiting.host)
            self.port.send(batch_prefix(batch_id, head, len(waiting.records)), waiting.records)
        except (OSError, FrameError) as error:
            before = way.standing.last_error
            text = f"the courier could not be started or given a batch: {error}"
            self.delivery.lost(text, now_ms, random.random(), began=False)
            self._note_change(way.standing, before)
            return False
        if self.traces:
            self.traces.taken(waiting.ids(0, waiting.count), time.time_ns() // 1000)
        waiting.records = b""  # the courier has them; the spool keeps them
        return True

    def _head(self, destination: Destination, host: Host) -> bytes:
        known = self._frame_head
        if known is None or known[0] != destination or known[1] != host:
            named = {"machine_id": host.machine_id.hex(), **host.facts}
            known = self._frame_head = (destination, host, encode_head(destination, named))
        return known[2]

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
            if self.traces:
                self.traces.settled(time.time_ns() // 1000)

    def _verdicts(self, spool: Spool, frame: Frame, now_ms: int, now_us: int) -> bool:
        batch = self.delivery.expected(frame.batch_id)
        if batch is None:
            return False
        try:
            said = decode_verdicts(frame, batch.waiting.count)
        except FrameError:
            return False
        standing = batch.standing
        before = standing.last_error
        outcome = self.delivery.answered(batch, said.verdicts, said.retry_after_s, said.text, now_ms, random.random())
        if self.traces:
            final = outcome.delivered + outcome.rejected
            ids = outcome.waiting.ids(0, outcome.waiting.count)
            self.traces.answered(ids, said.verdicts, final, said.text, time.time_ns() // 1000)
        if outcome.delivered:
            self.last_success_us = now_us
        if outcome.delivered or outcome.rejected:
            self._remember(spool, outcome, said.verdicts, now_us)
            spool.settle(outcome.lane, outcome.waiting, Settlement(outcome.delivered, outcome.rejected))
        self._note_change(standing, before)
        return True

    def _note_change(self, standing: Standing, before: str) -> None:
        if standing.last_error and standing.last_error != before:
            self.notes.append(standing.last_error)
        elif before and not standing.last_error:
            self.news.append("delivery works again")

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
        condemned = self.delivery.lost(text, now_ms, random.random(), began=self.port.ready)
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
        waits = spool.waits(now_us)
        stuck = [(spool.lanes[lane], head) for lane, head in self._heads.items() if waits[lane]]
        times = [self.delivery.due_ms(now_ms, any(waits), [head.way.standing for _, head in stuck])]
        times += [laps.due_ms for laps in self._awaited_laps(stuck) if laps.due_ms > now_ms]
        times.append(now_ms if self._moving else None)
        times += [now_ms + max(1, (due_us - now_us) // 1000) for due_us in spool.deferred_until_us() if due_us > now_us]
        times += [until_ms for until_ms in self._held.values() if until_ms > now_ms]
        return min((each for each in times if each is not None), default=None)

    def _awaited_laps(self, stuck: list[tuple[Lane, _Head]]) -> list[Laps]:
        configured = self.destinations.configured
        return [
            self._laps[lane.index]
            for lane, head in stuck
            if head.way is not configured and self._laps[lane.index].newcomers(lane.ledger.next_seq)
        ]

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
            "named": [_named_report(each, now_ms, now_us) for each in self.destinations.named()],
        }


def _named_report(way: Way, now_ms: int, now_us: int) -> dict[str, object]:
    assert way.destination is not None
    waits_ms = max(0, way.standing.not_before_ms - now_ms) if way.standing.failures else 0
    return {
        "server": way.destination.server,
        "next_try_us": now_us + waits_ms * 1000 if waits_ms else 0,
        "last_error": way.standing.last_error,
    }
