# SPDX-License-Identifier: Apache-2.0
"""The one loop: waits for the next sample that is due, for what comes in, and for a signal to end.

What is sampled and what becomes of it is decided elsewhere.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed doesn't know what is beneath signal
import posix
import select
from time import CLOCK_BOOTTIME, clock_gettime, time

from telemetry_probes.metrics.gathering import ABSENT_AGAIN_S
from telemetry_probes.metrics.schedule import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from telemetry_probes.metrics.gathering import Gathering

    class Timed(Protocol):
        """Something that has to be done at a time, as a record to be sent."""

        def next_s(self) -> float | None:
            """When, in seconds since the boot; None for not now."""

        def work(self, boot_s: float, time_us: int) -> None:
            """Called once it is that late."""


ENDING = (_signal.SIGTERM, _signal.SIGINT)
WAIT_S_MAX = 3600.0


class Loop:
    """Over a gathering, until SIGTERM or SIGINT."""

    __slots__ = ("_ended", "_gathering", "_listening", "_polling", "_ready", "_resting", "_schedule", "_timed")

    def __init__(self, gathering: Gathering, timed: Sequence[Timed] = ()) -> None:
        self._gathering = gathering
        self._timed = timed
        self._schedule = Schedule()
        self._polling = select.poll()
        self._ready: dict[int, Callable[[], None]] = {}
        self._listening: dict[str, int] = {}
        self._resting: dict[str, float] = {}
        """Until when those that heard too much are left alone."""
        self._ended = False

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call that whenever the descriptor is readable."""
        self._ready[fd] = ready
        self._polling.register(fd, select.POLLIN)

    def unwatch(self, fd: int) -> None:
        """No longer. To be called before it is closed."""
        if self._ready.pop(fd, None) is not None:
            self._polling.unregister(fd)

    def run(self) -> None:
        """Until a signal says to end."""
        woken, waker = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        _signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in ENDING:
            _signal.signal(number, self.end)
        self.watch(woken, lambda: None)
        self.begin(clock_gettime(CLOCK_BOOTTIME))
        while not self._ended:
            self.turn(clock_gettime(CLOCK_BOOTTIME), time())
            wait_s = self.next_s() - clock_gettime(CLOCK_BOOTTIME)
            self.hear(max(0.0, min(WAIT_S_MAX, wait_s)))
        self._gathering.close()

    def begin(self, boot_s: float) -> None:
        """All collectors are due."""
        self.watch(self._gathering.woken, self._collect)
        for name, source in self._gathering.sources.items():
            self._schedule.add(name, source.interval_s, boot_s)

    def next_s(self) -> float:
        """When something is due, in seconds since the boot; never where nothing is."""
        dues_s = (self._schedule.next_s(), *self._resting.values(), *(timed.next_s() for timed in self._timed))
        return min((due_s for due_s in dues_s if due_s is not None), default=1e18)

    def hear(self, wait_s: float) -> None:
        """What comes in, for which it waits so long."""
        for fd, _ in self._polling.poll(int(wait_s * 1000) + 1):
            if fd in self._ready:
                self._ready[fd]()

    def turn(self, boot_s: float, wall_s: float) -> None:
        """What is due now."""
        time_us = int(wall_s * 1_000_000)
        for name in [name for name, until_s in self._resting.items() if until_s <= boot_s]:
            del self._resting[name]
            self._listen(name)
        for name in self._schedule.due(boot_s, wall_s):
            self._sample(name, boot_s, time_us)
        for timed in self._timed:
            due_s = timed.next_s()
            if due_s is not None and due_s <= boot_s:
                timed.work(boot_s, time_us)

    def _sample(self, name: str, boot_s: float, time_us: int) -> None:
        self._gathering.sample(name, boot_s, time_us)
        self._put_off(boot_s)
        fd = self._gathering.listens(name)
        if fd != self._listening.get(name, -1):
            self._deaf(name)
            if fd >= 0:
                self._listening[name] = fd
                self._listen(name)

    def _listen(self, name: str) -> None:
        self.watch(self._listening[name], lambda: self._hear(name))

    def _hear(self, name: str) -> None:
        rest_s = self._gathering.hear(name)
        if rest_s is None:
            self._deaf(name)
        elif rest_s:
            self.unwatch(self._listening[name])
            self._resting[name] = clock_gettime(CLOCK_BOOTTIME) + rest_s

    def _deaf(self, name: str) -> None:
        self._resting.pop(name, None)
        self.unwatch(self._listening.pop(name, -1))

    def _collect(self) -> None:
        boot_s = clock_gettime(CLOCK_BOOTTIME)
        self._gathering.collect(boot_s)
        self._put_off(boot_s)

    def _put_off(self, boot_s: float) -> None:
        gathering = self._gathering
        while gathering.absent:
            name = gathering.absent.pop()
            self._schedule.put_off(name, boot_s, max(gathering.sources[name].interval_s, ABSENT_AGAIN_S))

    def end(self, *_: object) -> None:
        """run() returns soon."""
        self._ended = True
