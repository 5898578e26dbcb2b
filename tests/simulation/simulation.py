# SPDX-License-Identifier: Apache-2.0
"""One seed: a machine whose telemd takes in, keeps and delivers records while disk, hub, courier, clock and power do
what they want. All of it is reproduced by the seed; a broken promise is a `Violation` with the steps that led to it.

The order of things and the bookkeeping of what was promised; the promises themselves are judged by the oracle.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import plan
from fakedisk import PAGE, FakeDisk, Faults, PowerLoss
from fakehub import FakeCourier, FakeHub, HubWeather
from oracle import Oracle, Violation
from records import record
from rig import DUPLICATE, DURABLE, EXPIRY_US, REFUSED, SOCKET_BYTES, Life, destination, host_of

from telemd.spool import REASON_IO, REASON_NO_SPACE

if TYPE_CHECKING:
    from rig import Sender

    from telemd.segment import Host

START_US = 1_700_000_000_000_000
DAY_US = 24 * plan.HOUR_US
DRAIN_ROUNDS_MAX = 3000
STARTS_MAX = 200
RESEND = 1
ANY_NUMBER = 1 << 60
CLASSES = (
    (b"org.test/crash/clr", 0, 0),
    (b"org.test/kernel/bug", 0, 0),
    (b"org.test/unit/record", 0, 1),
    (b"org.test/unit/record", 0, 1),
    (b"org.test/heartbeat/ping", 0, 1),
    (b"org.test/journal/error", 0, 1),
    (b"org.test/metrics/minute", 2, 2),
)


def _in_header(place: str) -> bool:
    name, _, offset = place.partition("+")
    return name.endswith(".seg") and int(offset) < PAGE


class Simulation:
    """One seed. run() raises Violation, its text with the log of the steps; or whatever telemd should have handled."""

    def __init__(self, seed: int, disk_class: type[FakeDisk] = FakeDisk, **changes: Any) -> None:
        """changes: parts of the seed's plan that are to be otherwise."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.plan = plan.draw(self.rng)._replace(**changes)
        self.disk = disk_class(self.rng, self.plan.capacity, self.plan.ordered)
        self.weather = HubWeather()
        self.hub = FakeHub(self.plan.poison_every)
        self.injected = self.disk.injected
        self.oracle = Oracle()
        self.sent: dict[int, bytes] = {}
        self.lane_of: dict[int, int] = {}
        self.durable: set[int] = set()
        self.answers: Counter[str] = Counter()
        self.torn = 0  # records that may have been written in part: not answered, or refused when the write failed
        self.elapsed_us = 0
        self.expiry_us = EXPIRY_US
        self.log: list[str] = []
        self._unanswered: list[int] = []
        self._spoilt: set[str] = set()
        self._wall_shift_us = 0
        self._hosts = 0
        self._server = 0
        self._life: Life | None = None
        self._shift_unflushed = False
        self.settled = True  # files that a power cut brought back, or made long again, have been dealt with
        self._names = list(self.plan.weights)
        self._weights = list(self.plan.weights.values())

    @property
    def wall_us(self) -> int:
        return START_US + self.elapsed_us + self._wall_shift_us

    @property
    def host(self) -> Host:
        return host_of(self._hosts)

    @property
    def life(self) -> Life:
        assert self._life is not None
        return self._life

    def courier_ends(self) -> int:
        """How often a courier ended with something in its hands, or had to be ended."""
        return sum(count for kind, count in self.injected.items() if "courier" in kind or "nonsense" in kind)

    # -- the story --

    def run(self) -> None:
        """From an empty disk to a drained one."""
        random.seed(self.seed)  # backoff's jitter
        try:
            self.start()
            for _ in range(self.plan.steps):
                self._step(self.rng.choices(self._names, self._weights)[0])
            self.end_well()
        except Violation:
            raise
        except (Exception, PowerLoss) as error:
            raise Violation(f"{type(error).__name__}: {error}") from error
        finally:
            if self._life is not None:
                self._life.end()

    def _step(self, name: str) -> None:
        self.log.append(name)
        try:
            getattr(self, "do_" + name)()
        except PowerLoss:
            self.fall(power=self.rng.random() < 0.5)
        self.oracle.judge(self, self.life)

    def _say(self, more: str) -> None:
        if self.log:
            self.log[-1] += " " + more

    # -- steps: senders --

    def do_send(self) -> None:
        sender = self.rng.choice(self.life.senders)
        used = 0
        for _ in range(self.rng.randint(1, self.plan.records_a_send)):
            number = len(self.sent) + 1
            classification, kind, lane = self.rng.choice(CLASSES)
            payload = self.rng.choice(b"abcdef").to_bytes(1, "big") * self.rng.choice(self.plan.sizes)
            self.lane_of[number] = lane if lane or self.plan.privileged else 1
            self.sent[number] = record(number, payload, classification, kind=kind)
            used += len(self.sent[number])
            if used > SOCKET_BYTES:
                self._take_in()
                used = len(self.sent[number])
            self._post(sender, number)
        self._take_in()

    def _post(self, sender: Sender, number: int, flags: int = 0) -> None:
        one = self.sent[number]
        sender.send(number, one[:7] + bytes([flags]) + one[8:])

    def do_send_again(self) -> None:
        """What was never answered comes again under the same id, and something else for good measure."""
        again, self._unanswered = self._unanswered[:5], self._unanswered[5:]
        if self.sent and self.rng.random() < 0.5:
            again.append(self.rng.randint(1, len(self.sent)))
        for number in again:
            self._post(self.life.senders[0], number, RESEND)
            self._take_in()

    def _take_in(self) -> None:
        for answer in self.life.round(self.host, self.elapsed_us, self.wall_us):
            if answer.verdict == DUPLICATE and answer.number not in self.durable:
                raise Violation(f"record {answer.number} is called a duplicate, but was never accepted")
            if answer.verdict in (DURABLE, DUPLICATE):
                self.durable.add(answer.number)
                self.oracle.unflushed.add(answer.number)
            self.answers[("durable", "duplicate", "refused")[answer.verdict]] += 1
            self.torn += answer.verdict == REFUSED and answer.reason in (REASON_NO_SPACE, REASON_IO)
            self._say(f"{answer.number}:{answer.verdict}/{answer.reason}")
        if self.life.unanswered():
            raise Violation(f"records {self.life.unanswered()} got no answer")

    # -- steps: telemd's own --

    def do_pump(self) -> None:
        self.life.outbound.pump(self.life.spool, self.elapsed_us // 1000, self.wall_us)

    def do_courier(self) -> None:
        self._say(self.life.courier.work())
        self._hear()

    def _hear(self) -> None:
        while self.life.courier.readable:
            self.life.outbound.readable(self.life.spool, self.elapsed_us // 1000, self.wall_us)

    def do_tick(self) -> None:
        before = self.life.spool.ledger.generation
        self.life.tick(self.wall_us)
        self.oracle.received(self.life)
        if self.life.spool.ledger.generation > before:
            self.oracle.unflushed.clear()
            self._shift_unflushed = False
            self.settled = self.settled or self.disk.used() <= self.plan.cap_bytes
        self.life.spool.take_notes()

    def do_wait(self) -> None:
        self.elapsed_us += self.rng.randint(0, self.rng.choice(self.plan.steps_us))

    # -- steps: the world --

    def do_disk(self) -> None:
        """Better or worse."""
        faults = self.disk.faults
        bad = self.rng.random() < 0.5
        faults.eio = self.plan.eio if bad else 0
        faults.enospc = self.plan.enospc if bad else 0
        faults.sync_eio = self.plan.sync_eio if bad else 0
        faults.read_only = bad and self.rng.random() < 0.1
        faults.lying = self.plan.lies and self.rng.random() < 0.5
        if self.plan.rots and self.rng.random() < 0.5:
            place = self.disk.rot() if self.rng.random() < 0.7 else self.disk.spoil_page()
            self._say(place)
            self._spoilt.add("account" if place.startswith("ledger") else "header" if _in_header(place) else "")
            if "account" in self._spoilt and any(line.shift_us for line in self.life.spool.ledger.lanes):
                self.expiry_us = 0  # that slot alone may have told that the clock was set: what waits looks old
            if self._spoilt >= {"account", "header"}:
                self.oracle.slack = ANY_NUMBER  # nothing tells any more which numbers were given
        self._say("bad" if bad else "good")

    def do_cache(self) -> None:
        self.disk.forget_cache()

    def do_hub(self) -> None:
        weather, rate = self.weather, self.plan.hub_trouble
        for name in ("busy", "partial", "dies_before", "dies_after", "hangs", "nonsense", "start_fails"):
            setattr(weather, name, rate if self.rng.random() < 0.4 else 0)
        weather.down = rate > 0 and self.rng.random() < 0.3

    def do_host(self) -> None:
        self._hosts += 1

    def do_redirect(self) -> None:
        self._server += 1
        self.life.outbound.redirect(destination(self._server % 3))

    def do_opt(self) -> None:
        policy = self.life.policy
        policy.opted_in = not policy.opted_in

    def do_purge(self) -> None:
        """The owner wants something gone."""
        lane, pattern = self.rng.randrange(3), self.rng.choice((None, b"org.test/unit/record", b"org.test/*"))
        until_seq = self.life.spool.ledger.lanes[lane].next_seq
        try:
            purged = self.life.spool.purge(lane, pattern, until_seq, self.wall_us)
        except OSError as error:
            self._say(f"{error.strerror}")
        else:
            self._say(f"{purged.count} purged, {purged.kept} kept")

    def do_clock(self) -> None:
        shift_us = self.rng.choice((-400 * DAY_US, -2 * plan.HOUR_US, 2 * plan.HOUR_US, 400 * DAY_US))
        self._wall_shift_us += shift_us
        self._shift_unflushed = True
        self.life.spool.clock_jumped(shift_us)
        self.do_tick()

    # -- steps: ends and beginnings --

    def do_power_loss(self) -> None:
        self.fall(power=True)

    def do_kill(self) -> None:
        self.fall(power=False)

    def do_loss_soon(self) -> None:
        """At one of the next calls to the disk, wherever that is."""
        self.disk.calls_until_loss = self.rng.randint(0, 40)

    def do_restart(self) -> None:
        self.life.inbound.account(self.life.spool)
        self.life.outbound.port.stop()
        self.life.spool.close(self.wall_us)
        self.fall(power=False)

    def fall(self, *, power: bool) -> None:
        """telemd ends as it is, and comes back."""
        self._say("-- power is lost" if power else "-- telemd ends")
        if self._shift_unflushed:
            self.expiry_us = 0  # it didn't live to write down that the clock was set: what waits looks old
        self._leave(power=power)
        self.start()

    def _leave(self, *, power: bool) -> None:
        if self._life is not None:
            unanswered = self._life.unanswered()
            self._unanswered += unanswered
            self.torn += self.oracle.unfinished(self, self._life)
            self._life.end()
            self._life = None
            self.oracle.arrived(self)
            self.torn += len(unanswered)
        self.injected["power cuts" if power else "ends of the process"] += 1
        if power:
            self.disk.power_loss()
            self.settled = False
            self.oracle.power_lost()
        else:
            self.disk.kill()
        self.oracle.slack += len(self.oracle.unflushed)

    def start(self) -> None:
        """As systemd does: until it succeeds."""
        for attempt in range(STARTS_MAX):
            self.disk.revive()
            if attempt and self.rng.random() < 0.2:
                self.disk.faults = Faults()
            if self.rng.random() < 0.1:
                self.disk.calls_until_loss = self.rng.randint(0, 30)
            before = self.disk.calls, self.disk.bytes_read, self.disk.used(), len(self.disk.files)
            courier = FakeCourier(self.rng, self.hub, self.weather, self.injected)
            try:
                self._life = Life(self.disk, courier, self.plan)
            except PowerLoss:
                self._leave(power=self.rng.random() < 0.5)
            except OSError:
                self.disk.kill()
            else:
                self.disk.calls_until_loss = -1
                self._start_was_bounded(*before)
                return
        raise Violation("telemd doesn't start")

    def _start_was_bounded(self, calls: int, bytes_read: int, used: int, files: int) -> None:
        """Nothing is read twice but headers and what a footer could be; around unreadable pages it is page by page."""
        calls, read = self.disk.calls - calls, self.disk.bytes_read - bytes_read
        files = max(files, len(self.disk.files))
        pages = used // PAGE if self.injected["pages unreadable"] else 0
        if calls > 40 + 16 * files + 2 * pages or read > used + 16 * 1024 + 8192 * files:
            raise Violation(f"a start took {calls} calls and read {read} bytes, with {files} files")

    # -- the end --

    def end_well(self) -> None:
        """The disk is well again, the hub is up: service comes back by itself, and all that waits is delivered."""
        self.log.append("end")
        self.disk.calls_until_loss = -1
        self.disk.faults = Faults()
        self.disk.capacity = max(self.disk.capacity, self.disk.used() + 8 * 1024 * 1024)
        self.weather.clear()
        self.life.policy.opted_in = True
        self._drain()
        self._send_last()
        self._drain()
        self._stop_and_look()

    def _send_last(self) -> None:
        number = len(self.sent) + 1
        self.lane_of[number] = 1
        self.sent[number] = record(number, b"last", b"org.test/unit/record")
        before = self.answers["durable"]
        self._post(self.life.senders[0], number)
        self._take_in()
        if self.answers["durable"] == before and not self.plan.settings.rate_limit_enabled:
            raise Violation("the disk is well again, but records are still refused")

    def _drain(self) -> None:
        life = self.life
        self.do_tick()
        self.settled = True
        for _ in range(DRAIN_ROUNDS_MAX):
            if not life.spool.pending() and not life.outbound.delivery.in_flight:
                break
            self.do_pump()
            if life.courier.work() == "idle":
                due_ms = life.outbound.due_ms(life.spool, self.elapsed_us // 1000, self.wall_us)
                if due_ms is not None:
                    self.elapsed_us = max(self.elapsed_us, 1000 * due_ms) + 1000
            self._hear()
            self.life.tick(self.wall_us)
            self.oracle.judge(self, life)
        else:
            raise Violation(f"{life.spool.pending()} records wait for ever")

    def _stop_and_look(self) -> None:
        self.oracle.received(self.life)
        before = self.life.spool.accounting()
        self.do_restart()
        self.oracle.judge(self, self.life)
        after = self.life.spool.accounting()
        if after != before:
            raise Violation(f"a restart changes the account: {before} {after}")
