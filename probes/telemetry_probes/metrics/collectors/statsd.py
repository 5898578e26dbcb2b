# SPDX-License-Identifier: Apache-2.0
"""What programs of this machine count and time by themselves, and send as to statsd to a Unix datagram socket.

Every user of the machine may send, so that nothing that is sent is sure: neither names, nor how many, nor how fast.
"""

from __future__ import annotations

import _socket
import posix
import time

from telemetry_probes.metrics import statsdlines, statsdsums
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Choice, Metric
from telemetry_probes.metrics.statsdlines import COUNTS, GAUGES, SETS, SIZES, TIMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

NAMES_MAX: Final = {COUNTS: 500, GAUGES: 500, TIMES: 64, SIZES: 64, SETS: 64}
"""Of each kind, tags told apart; lines with more names are dropped and counted."""
FORGOTTEN_S: Final = 3600
"""A name that isn't heard of for so long makes room."""
DATAGRAM_BYTES_MAX: Final = 65_536
DATAGRAMS: Final = 64
"""That are taken in before the loop goes on."""
LINES_PER_S: Final = 10_000
BYTES_PER_S: Final = 524_288
"""What is more of either is dropped and counted, so that nobody can use up a processor by it."""
MODE: Final = 0o666
_KIND: Final = 0o170000
_IS_SOCKET: Final = 0o140000

COUNTER_METRIC: Final = Metric("x.statsd.counter.*", "1", COUNTER, "What a program counts")
GAUGE_METRIC: Final = Metric("x.statsd.gauge.*", "1", GAUGE, "What a program measures: the last value")
TIMER_METRIC: Final = Metric(
    "x.statsd.timer.*", "ms", GAUGE, "Min, max, p50, p90, p99 of what a program timed since the last sample"
)
TIMER_COUNTER: Final = Metric("x.statsd.timer.*", "ms", COUNTER, "Count and sum of what a program timed")
SIZE_METRIC: Final = Metric(
    "x.statsd.histogram.*", "1", GAUGE, "Min, max, p50, p90, p99 of a program's histogram since the last sample"
)
SIZE_COUNTER: Final = Metric("x.statsd.histogram.*", "1", COUNTER, "Count and sum of a program's histogram")
SET_METRIC: Final = Metric("x.statsd.set.*", "1", GAUGE, "How many different ones since the last sample")
LINES: Final = Metric("x.metricprobe.statsd.lines", "{line}", COUNTER, "Lines that were taken")
DROPPED: Final = Metric("x.metricprobe.statsd.dropped", "{line}", COUNTER, "Lines that were not taken, by reason")

TITLE = "what programs send as to statsd"
INTERVAL_S = 60.0
QUICK = True
METRICS = (
    COUNTER_METRIC, GAUGE_METRIC, TIMER_METRIC, TIMER_COUNTER, SIZE_METRIC, SIZE_COUNTER, SET_METRIC, LINES, DROPPED,
)  # fmt: skip
OPTIONS = (Choice("socket", "", "Path of the datagram socket, as in /run/telemetry-metrics/statsd.sock; empty: none."),)

MALFORMED, TOO_MANY_NAMES, TOO_FAST = "malformed", "too-many-names", "too-fast"
REASONS: Final = (MALFORMED, TOO_MANY_NAMES, TOO_FAST)
SOCKET_PATH_BYTES_MAX: Final = 107
"""unix(7)"""


def wrong(options: Mapping[str, Option]) -> Sequence[tuple[str, str, str]]:
    """See model.Collector."""
    path = str(options["socket"])
    if not path or (
        path.startswith("/")
        and "\0" not in path
        and len(path.encode("utf-8", "surrogateescape")) <= SOCKET_PATH_BYTES_MAX
    ):
        return []
    absolute = (
        f"write an absolute path of at most {SOCKET_PATH_BYTES_MAX} bytes, as in /run/telemetry-metrics/statsd.sock"
    )
    return [("socket", "there can't be a socket of that path", absolute)]


class _Entry:
    """One name with its tags: its sum, the series of it, when it was last heard of."""

    __slots__ = ("heard_s", "series", "sum")

    def __init__(self, sum_: statsdsums.Sum, series: list[Series], heard_s: float) -> None:
        self.sum = sum_
        self.series = series
        self.heard_s = heard_s


class Collector:
    """Listens as long as it is."""

    __slots__ = (
        "_buffer", "_bytes", "_count", "_dropped", "_entries", "_listening", "_own_series", "_path", "_taken",
        "_until_s", "fd", "series",
    )  # fmt: skip

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        name = str(options["socket"])
        if not name.startswith("/"):
            raise Absent("no socket is named: write socket = '/run/telemetry-metrics/statsd.sock' in [metrics.statsd]")
        self._path = places.path(name)
        self._listening = _bound(self._path)
        self.fd = self._listening.fileno()
        self._buffer = bytearray(DATAGRAM_BYTES_MAX)
        self._entries: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], _Entry]] = {
            kind: {} for kind in NAMES_MAX
        }
        self._taken = 0
        self._dropped = dict.fromkeys(REASONS, 0)
        self._until_s, self._count, self._bytes = 0.0, 0, 0
        self._own_series = [LINES.series(), *(DROPPED.series(("reason", reason)) for reason in REASONS)]
        self.series: Sequence[Series] = self._own_series

    def ready(self) -> bool:
        """Takes in some of what has come. Whether more comes than is taken in a second."""
        now_s = time.monotonic()
        for _ in range(DATAGRAMS):
            try:
                size = self._listening.recv_into(self._buffer)
            except OSError:
                break
            self.take(bytes(self._buffer[:size]), now_s)
        return self._is_too_fast

    @property
    def _is_too_fast(self) -> bool:
        return self._count >= LINES_PER_S or self._bytes >= BYTES_PER_S

    def take(self, datagram: bytes, now_s: float) -> None:
        """One datagram's lines."""
        if now_s >= self._until_s:
            self._until_s, self._count, self._bytes = now_s + 1, 0, 0
        if self._is_too_fast:
            self._dropped[TOO_FAST] += datagram.count(b"\n") + 1
            return
        self._bytes += len(datagram)
        self._count += not datagram
        for line in statsdlines.lines(datagram):
            self._count += 1
            reason = MALFORMED if line is None else self._added(line, now_s)
            if reason:
                self._dropped[reason] += 1
            else:
                self._taken += 1

    def sample(self, now_s: float) -> Sequence[Value]:
        """Of all names that are known."""
        self.ready()
        self._forget(time.monotonic())
        row: list[Value] = [self._taken, *self._dropped.values()]
        series = list(self._own_series)
        for entries in self._entries.values():
            for entry in entries.values():
                row += _values(entry.sum)
                series += entry.series
        if len(series) != len(self.series) or any(
            one is not other for one, other in zip(series, self.series, strict=True)
        ):
            self.series = series
        return row

    def close(self) -> None:
        """Nobody listens there any more."""
        self._listening.close()
        try:
            posix.unlink(self._path)
        except OSError:
            return

    def _added(self, line: statsdlines.Line, now_s: float) -> str:
        """A reason of REASONS where it isn't taken."""
        entries = self._entries[line.kind]
        key = line.name, line.tags
        entry = entries.get(key)
        if entry is None:
            if len(entries) >= NAMES_MAX[line.kind]:
                return TOO_MANY_NAMES
            entry = _Entry(statsdsums.begun(line.kind), _series(line), now_s)
            if not entry.sum.take(line):
                return MALFORMED
            entries[key] = entry
            return ""
        entry.heard_s = now_s
        return "" if entry.sum.take(line) else MALFORMED

    def _forget(self, now_s: float) -> None:
        for kind, entries in self._entries.items():
            if any(now_s - entry.heard_s >= FORGOTTEN_S for entry in entries.values()):
                self._entries[kind] = {
                    key: entry for key, entry in entries.items() if now_s - entry.heard_s < FORGOTTEN_S
                }


def _values(sum_: statsdsums.Sum) -> list[Value]:
    """In the order of _series()."""
    if isinstance(sum_, statsdsums.Count):
        return [sum_.total]
    if isinstance(sum_, statsdsums.Level):
        return [sum_.value]
    if isinstance(sum_, statsdsums.Members):
        return [sum_.count()]
    return [sum_.total, sum_.sum, *sum_.spread()]


def _series(line: statsdlines.Line) -> list[Series]:
    if line.kind == COUNTS:
        return [_named(COUNTER_METRIC, line, "")]
    if line.kind == GAUGES:
        return [_named(GAUGE_METRIC, line, "")]
    if line.kind == SETS:
        return [_named(SET_METRIC, line, "")]
    counters, gauges = (TIMER_COUNTER, TIMER_METRIC) if line.kind == TIMES else (SIZE_COUNTER, SIZE_METRIC)
    return [
        *(_named(counters, line, part) for part in (".count", ".sum")),
        *(_named(gauges, line, part) for part in (".min", ".max", *(f".{name}" for name, _ in statsdsums.SHARES))),
    ]


def _named(family: Metric, line: statsdlines.Line, part: str) -> Series:
    unit = "1" if part == ".count" else family.unit
    return Metric(f"{family.name[:-1]}{line.name}{part}", unit, family.kind, family.text).series(*line.tags)


def _bound(path: str) -> _socket.socket:
    """A socket there that everybody may send to. Absent: another listens already, or it can't be."""
    if len(path.encode("utf-8", "surrogateescape")) > SOCKET_PATH_BYTES_MAX:
        raise Absent(f"the path of the socket is longer than {SOCKET_PATH_BYTES_MAX} bytes: name a shorter one")
    listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    try:
        try:
            listening.bind(path)
        except OSError:
            _remove_left(path)
            listening.bind(path)
        posix.chmod(path, MODE)
    except OSError as error:
        listening.close()
        raise Absent(f"the socket {path} can't be made ({error.strerror}): is its folder there, and ours?") from None
    except Absent:
        listening.close()
        raise
    return listening


def _remove_left(path: str) -> None:
    """A socket that nobody listens at any more goes. OSError, Absent."""
    if posix.lstat(path).st_mode & _KIND != _IS_SOCKET:
        raise Absent(f"{path} is something else than a socket: remove it, or name another place")
    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    try:
        asking.connect(path)
    except ConnectionRefusedError:
        posix.unlink(path)
        return
    finally:
        asking.close()
    raise Absent(f"another process listens at {path}: end it, or name another socket")
