# SPDX-License-Identifier: Apache-2.0
"""A hub and the courier before it, in memory: they store, answer, refuse, lose answers, die.

The courier speaks telemd's own frames (docs/protocol.md, section 5); telemd's side of it is `CourierPort`. Chance comes
from the generator that is given. What the hub has stored stays: it is the one thing here that never fails.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter

from records import number_of, split

from telemd.courierframes import (
    BATCH,
    DELIVERED,
    DUPLICATE,
    REJECTED,
    RETRY,
    VERDICTS,
    Frame,
    FrameError,
    FrameReader,
    Verdicts,
    decode_batch,
    encode_verdicts,
)
from telemd.courierport import CourierPort

BUSY_REASON = 6
INVALID_REASON = 1


class HubWeather:
    """Chances a batch."""

    __slots__ = ("busy", "dies_after", "dies_before", "down", "hangs", "nonsense", "partial", "start_fails")

    def __init__(self) -> None:
        self.busy = 0.0  # wants to be asked again later
        self.partial = 0.0  # takes the first ones and wants the rest again
        self.down = False
        self.dies_before = 0.0  # the courier, before the hub has the batch
        self.dies_after = 0.0  # …, after it stored it: the answer is lost
        self.hangs = 0.0
        self.nonsense = 0.0
        self.start_fails = 0.0

    def clear(self) -> None:
        """All is well."""
        for name in self.__slots__:
            setattr(self, name, 0)


class FakeHub:
    """Records by number, each stored once. poison(number): one that it will never take."""

    def __init__(self, poison_every: int) -> None:
        self.poison_every = poison_every
        self.stored: dict[int, bytes] = {}
        self.rejections = 0
        self.arrivals: list[int] = []  # numbers of this batch that were stored for the first time, in order
        self.seen_again = 0
        self.conflicts: list[int] = []  # came again with other bytes

    def poison(self, number: int) -> bool:
        return self.poison_every > 0 and number % self.poison_every == 0

    def take(self, records: list[bytes]) -> list[tuple[int, int]]:
        """A verdict for each."""
        return [self._take(number_of(one), one) for one in records]

    def _take(self, number: int, one: bytes) -> tuple[int, int]:
        if self.poison(number):
            self.rejections += 1
            return REJECTED, INVALID_REASON
        one = one[:7] + b"\0" + one[8:]  # the flags: sent again or not, it is the same record
        if number in self.stored:
            self.seen_again += 1
            if self.stored[number] != one:
                self.conflicts.append(number)
            return DUPLICATE, 0
        self.stored[number] = one
        self.arrivals.append(number)
        return DELIVERED, 0


class FakeCourier(CourierPort):
    """telemd's end, the process and the way to the hub in one."""

    def __init__(self, rng: random.Random, hub: FakeHub, weather: HubWeather, injected: Counter[str]) -> None:
        self.pid = 0
        self.ready = False
        self._rng = rng
        self._hub = hub
        self._weather = weather
        self._injected = injected
        self._runs = False
        self._batches: list[tuple[int, list[bytes]]] = []
        self._said: list[bytes] = []
        self._died = False
        self._to_courier = FrameReader((BATCH,))
        self._to_telemd = FrameReader((VERDICTS,))

    @property
    def running(self) -> bool:
        return self._runs

    @property
    def wants_to_write(self) -> bool:
        return False

    @property
    def readable(self) -> bool:
        """telemd's loop would wake up for it."""
        return self._runs and (self._died or bool(self._said))

    def start(self) -> None:
        if self._rng.random() < self._weather.start_fails:
            self._injected["couriers that could not be started"] += 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.pid = 1
        self._runs, self._died = True, False
        self.ready = True  # it always comes as far as that
        self._to_courier, self._to_telemd = FrameReader((BATCH,)), FrameReader((VERDICTS,))

    def send(self, *pieces: bytes) -> None:
        if self._died:
            return
        for piece in pieces:
            for frame in self._to_courier.feed(piece):
                self._batches.append((frame.batch_id, split(decode_batch(frame).records)))

    def write(self) -> None:
        """Nothing waits."""

    def read(self) -> list[Frame] | None:
        if not self._said:
            if not self._died:
                return []
            self.close()
            return None
        try:
            return self._to_telemd.feed(self._said.pop(0))
        except FrameError:
            self.close()
            return None

    def close(self) -> None:
        for _, records in self._batches:
            if self._rng.random() < 0.3:  # it was on its way
                self._hub.take(records)
                self._injected["answers lost"] += 1
        self._runs = False
        self._batches.clear()
        self._said.clear()

    def stop(self) -> None:
        self._injected["couriers that were ended"] += self._runs
        self.close()
        self.pid = 0

    def reap(self) -> None:
        self.pid = 0

    def work(self) -> str:
        """The courier takes its next batch to the hub; what became of that."""
        if not self._batches or self._died:
            return "idle"
        weather, chance = self._weather, self._rng.random
        if chance() < weather.hangs:
            self._injected["couriers that hung"] += 1
            self._batches.pop(0)
            return "hangs"
        batch_id, records = self._batches.pop(0)
        if chance() < weather.dies_before:
            return self._die("couriers that died before posting")
        if weather.down:
            self._injected["posts that reached nobody"] += 1
            return self._answer(batch_id, [(RETRY, BUSY_REASON)] * len(records), 0)
        if chance() < weather.busy:
            self._injected["hub busy"] += 1
            return self._answer(batch_id, [(RETRY, BUSY_REASON)] * len(records), self._rng.choice((0, 0, 5, 60)))
        taken = len(records)
        if chance() < weather.partial:
            self._injected["batches taken in part"] += 1
            taken = self._rng.randint(0, len(records))
        verdicts = self._hub.take(records[:taken]) + [(RETRY, BUSY_REASON)] * (len(records) - taken)
        if chance() < weather.dies_after:
            self._injected["answers lost"] += 1
            return self._die("couriers that died after posting")
        if chance() < weather.nonsense:
            self._injected["answers of nonsense"] += 1
            verdicts = verdicts[1:] if self._rng.random() < 0.5 else [*verdicts, (DELIVERED, 0)]
            batch_id += self._rng.choice((0, 1000))
        return self._answer(batch_id, verdicts, 0)

    def _die(self, kind: str) -> str:
        self._injected[kind] += 1
        self._died = True
        self._said.clear()
        return "dies"

    def _answer(self, batch_id: int, verdicts: list[tuple[int, int]], retry_after_s: int) -> str:
        text = "not now" if any(verdict == RETRY for verdict, _ in verdicts) else ""
        said = encode_verdicts(Verdicts(batch_id, verdicts, retry_after_s, text))
        cut = self._rng.randint(0, len(said)) if self._rng.random() < 0.2 else len(said)
        self._said += [piece for piece in (said[:cut], said[cut:]) if piece]
        return f"answers batch {batch_id}: {len(verdicts)} verdicts"
