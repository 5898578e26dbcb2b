# SPDX-License-Identifier: Apache-2.0
"""Collectors that fail, block, lie about their rows or listen: none of them disturbs another, or ends the process."""

from __future__ import annotations

import _thread
import errno
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from telemetry_probes.metrics.discovery import Kind
from telemetry_probes.metrics.gathering import LATE_S, THREADS_MAX, Gathering, Source, sound
from telemetry_probes.metrics.loop import Loop
from telemetry_probes.metrics.model import GAUGE, Absent, Metric, Series
from telemetry_probes.metrics.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.metrics.model import Collector, Option, Value

WAIT_S = 30.0
THING = Metric("x.thing", "1", GAUGE, "A thing")
SERIES = (THING.series(),)


class Given:
    """A collector that does what it was given to do. opened and closed: how often."""

    def __init__(self, does: Callable[[float], Sequence[Value]]) -> None:
        self.does = does
        self.series: Sequence[Series] = SERIES
        self.opened = self.closed = 0
        self.absent = ""

    def __call__(self, _: Places, __: Mapping[str, Option]) -> Given:
        if self.absent:
            raise Absent(self.absent)
        self.opened += 1
        return self

    def sample(self, now_s: float) -> Sequence[Value]:
        return self.does(now_s)

    def close(self) -> None:
        self.closed += 1


def kind(name: str, collector: object, quick: bool = True) -> Kind:
    return Kind(name, "a thing", 5.0, (THING,), (), quick, collector)  # type: ignore[arg-type]  # called alike


class Bench:
    """A gathering over such collectors, and what came of it."""

    def __init__(self, **collectors: Collector) -> None:
        self.places = Places("/nowhere")
        self.rows: list[tuple[str, int, list[Value]]] = []
        sources = [
            Source(kind(name, collector, quick=not name.startswith("slow")), self.places, {}, 5.0)
            for name, collector in collectors.items()
        ]
        self.told: list[str] = []
        self.gathering = Gathering(sources, self.places, (self.take,), self.told.append)

    def take(self, name: str, _: Sequence[Series], time_us: int, row: Sequence[Value]) -> None:
        self.rows.append((name, time_us, list(row)))

    def all(self, boot_s: float = 10.0) -> None:
        for name in self.gathering.sources:
            self.gathering.sample(name, boot_s, 1_000_000)

    def until_idle(self) -> None:
        polling = select.poll()
        polling.register(self.gathering.woken, select.POLLIN)
        while self.gathering.is_busy:
            assert polling.poll(WAIT_S * 1000), "no thread came to an end"
            self.gathering.collect(11.0)

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        return self.places.account.failures


def raising(error: Exception) -> Given:
    def sample(_: float) -> Sequence[Value]:
        raise error

    return Given(sample)


GOOD = [1.5]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO), "/secret"), "Input/output error"),
        (OSError("secret"), "a system call failed"),
        (ValueError("secret"), "what it reads is not as expected"),
        (KeyError("secret"), "a mistake in the collector (KeyError, test_metrics_gathering.py:"),
        (MemoryError(), "a mistake in the collector (MemoryError"),
        (RecursionError("secret"), "a mistake in the collector (RecursionError"),
    ],
)
def test_a_failure_is_counted_and_disturbs_no_other(error: Exception, reason: str) -> None:
    bench = Bench(first=Given(lambda _: GOOD), bad=raising(error), last=Given(lambda _: GOOD))
    for _ in range(3):
        bench.all()
    assert [name for name, _, _ in bench.rows] == ["first", "last"] * 3
    ((name, said),) = bench.failures
    assert name == "bad" and said.startswith(reason) and "secret" not in said
    assert bench.failures[name, said] == 3
    assert bench.gathering.said["bad"] == said
    assert bench.told == [f"collector bad: {said}; it is tried again, and what failed is counted"]
    assert not bench.gathering.said["first"]


def test_what_failed_is_opened_anew() -> None:
    failing = raising(OSError(errno.ENODEV, os.strerror(errno.ENODEV)))
    bench = Bench(disk=failing)
    bench.all()
    bench.all()
    assert (failing.opened, failing.closed) == (2, 2)
    failing.does = lambda _: GOOD
    bench.all()
    assert bench.rows[0][2] == GOOD
    assert not bench.gathering.said["disk"]


def test_absent_is_no_failure() -> None:
    absent = Given(lambda _: GOOD)
    absent.absent = "there is none: plug one in"
    bench = Bench(battery=absent, cpu=Given(lambda _: GOOD))
    bench.all()
    assert bench.gathering.absent == ["battery"]
    assert bench.gathering.said["battery"] == "there is none: plug one in"
    assert not bench.failures
    absent.absent = ""
    bench.all()
    assert [name for name, _, _ in bench.rows] == ["cpu", "battery", "cpu"]


@pytest.mark.parametrize("row", [[], [1, 2]])
def test_a_row_of_another_length_is_a_failure(row: list[Value]) -> None:
    bench = Bench(bad=Given(lambda _: row))
    bench.all()
    assert not bench.rows
    assert bench.failures == {("bad", "what it reads is not as expected"): 1}


def test_what_is_no_number_becomes_none() -> None:
    row: list[Value] = [1, float("nan"), float("inf"), float("-inf"), None, 2**64 - 1, 1e301, 10**400, -0.5]
    assert sound(row, len(row)) == [1, None, None, None, None, 2**64 - 1, None, None, -0.5]
    assert sound(GOOD, 1) is GOOD


def test_a_slow_one_does_not_hold_up_the_others() -> None:
    goes_on = threading.Event()

    def slow(_: float) -> Sequence[Value]:
        assert goes_on.wait(WAIT_S)
        return [7]

    bench = Bench(slow=Given(slow), cpu=Given(lambda _: GOOD))
    for _ in range(3):
        bench.all()
    assert [name for name, _, _ in bench.rows] == ["cpu"] * 3
    assert bench.gathering.is_busy
    assert not bench.failures
    goes_on.set()
    bench.until_idle()
    assert bench.rows[-1] == ("slow", 1_000_000, [7])
    assert bench.places.account.spent_s["slow"] > 0


def test_one_that_never_ends_is_told_and_keeps_one_thread() -> None:
    began, goes_on = threading.Event(), threading.Event()

    def never_ends(_: float) -> Sequence[Value]:
        began.set()
        assert goes_on.wait(WAIT_S)
        return GOOD

    blocked = Given(never_ends)
    bench = Bench(slow=blocked)
    bench.all(10.0)
    assert began.wait(WAIT_S)
    for turn in range(1, 5):
        bench.all(10.0 + turn * LATE_S)
    assert bench.failures == {("slow", f"it takes longer than {LATE_S:.0f} s"): 3}
    assert len(bench.gathering.at_work) == 1
    assert blocked.opened == 1
    bench.gathering.close()
    assert blocked.closed == 0  # it is still in use
    goes_on.set()
    bench.until_idle()


def test_no_more_threads_than_the_limit() -> None:
    goes_on = threading.Event()
    running: list[int] = []

    def slow(_: float) -> Sequence[Value]:
        running.append(1)
        assert goes_on.wait(WAIT_S)
        return GOOD

    bench = Bench(**{f"slow{number}": Given(slow) for number in range(THREADS_MAX + 4)})
    bench.all()
    bench.all()
    assert len(bench.gathering.at_work) == THREADS_MAX
    assert len(running) <= THREADS_MAX
    assert set(bench.failures.values()) == {1}
    assert len(bench.failures) == 4
    goes_on.set()
    bench.until_idle()
    assert len(bench.rows) == THREADS_MAX + 4


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    bench = Bench(slow=Given(lambda _: GOOD))
    monkeypatch.setattr(_thread, "start_new_thread", none)
    bench.all()
    assert bench.failures == {("slow", "the system gives no thread"): 1}
    monkeypatch.undo()
    bench.all()
    bench.until_idle()
    assert [row for _, _, row in bench.rows] == [GOOD]


# ---- the loop -------------------------------------------------------------------------------------------------------


class Hearing(Given):
    """Listens on a pipe; the row is how many bytes came."""

    def __init__(self) -> None:
        super().__init__(lambda _: [self.heard])
        self.heard = self.calls = 0
        self.broken = False
        self.fd, self.to = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def ready(self) -> bool:
        if self.broken:
            raise ZeroDivisionError
        self.calls += 1
        self.heard += len(os.read(self.fd, 100))
        return self.heard > 1000


class Stopping:
    """Something timed that ends the loop in its third turn."""

    def __init__(self) -> None:
        self.turns = 0
        self.ended: Callable[[], None] = lambda: None

    def next_s(self) -> float | None:
        return 0.0

    def work(self, _: float, time_us: int) -> None:
        assert time_us > 1_600_000_000_000_000
        self.turns += 1
        if self.turns == 3:
            self.ended()


@pytest.fixture
def signals() -> Iterator[None]:
    """The loop takes over signals; pytest gets them back."""
    import signal

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_loop_samples_hears_and_ends(signals: None, tmp_path: Path) -> None:
    hearing, slow = Hearing(), Given(lambda _: [7])
    bench = Bench(cpu=Given(lambda _: GOOD), statsd=hearing, slow=slow)
    stopping = Stopping()
    loop = Loop(bench.gathering, (stopping,))
    stopping.ended = loop.end
    os.write(hearing.to, b"12345")
    loop.run()
    names = [name for name, _, _ in bench.rows]
    assert names[:2] == ["cpu", "statsd"]
    assert hearing.heard == 5
    assert hearing.closed == 1


def test_who_hears_too_much_is_left_alone_for_a_moment() -> None:
    hearing = Hearing()
    bench = Bench(statsd=hearing)
    loop = Loop(bench.gathering)
    begun_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    loop.begin(begun_s)
    loop.turn(begun_s, 1.7e9)
    for _ in range(200):
        os.write(hearing.to, b"x" * 100)
        loop.hear(0.0)
    assert hearing.calls == 11
    rests_s = loop.next_s()
    loop.turn(rests_s, 1.7e9)
    loop.hear(0.0)
    assert hearing.calls == 12
    bench.gathering.close()


def test_a_listener_that_fails_is_heard_no_more_until_it_is_opened_anew(signals: None) -> None:
    hearing = Hearing()
    hearing.broken = True
    bench = Bench(statsd=hearing)
    stopping = Stopping()
    loop = Loop(bench.gathering, (stopping,))
    stopping.ended = loop.end
    os.write(hearing.to, b"x")
    loop.run()
    assert [name for name, _ in bench.failures] == ["statsd"]
    assert sum(bench.failures.values()) == 1
