# SPDX-License-Identifier: Apache-2.0
"""What goes over the network: /proc/net/dev (proc(5)), and of each interface what sysfs says of it.

Interfaces that appear later are seen.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.lines import LOOK_AGAIN_S, Wanted
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Choice, Metric
from telemetry_probes.metrics.wraps import Going

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "network interfaces: bytes, packets, errors, speed"
INTERVAL_S = 5.0
QUICK = True
OPTIONS = (
    Choice(
        "nics",
        ALL,
        "Which interfaces, as in `eth*,wg0`, or after a `-` which not. A list of which takes those, too, that are left "
        "out otherwise: lo, docker*, br-*, veth*, virbr*, cni*, tun*, tap*, wg*, tailscale*.",
    ),
)

IO = Metric("system.network.io", "By", COUNTER, "Bytes received and transmitted")
PACKETS = Metric("system.network.packet.count", "{packet}", COUNTER, "Packets received and transmitted")
DROPPED = Metric("system.network.packet.dropped", "{packet}", COUNTER, "Packets that were dropped")
ERRORS = Metric("system.network.errors", "{error}", COUNTER, "Packets that were broken or could not be transmitted")
MTU = Metric("x.network.mtu", "By", GAUGE, "Most that a packet holds")
SPEED = Metric("x.network.speed", "bit/s", GAUGE, "Speed of the link; none where it is down, or has none of its own")
INTERFACE = Metric("x.network.interface", "1", GAUGE, "1; the attributes tell the interface's address and its state")
METRICS = (IO, PACKETS, DROPPED, ERRORS, MTU, SPEED, INTERFACE)

DEV = "/proc/self/net/dev"
FOLDER = "/sys/class/net"
SKIPPED = ("lo", "docker*", "br-*", "veth*", "virbr*", "cni*", "tun*", "tap*", "wg*", "tailscale*")
BYTES_MAX = 1 << 20
WORDS_MIN = 12
EVENTS = (1, 5)
"""The packets, of what counters() finds: what was counted once is never fewer."""
BITS_PER_MBIT = 1_000_000


class Facts:
    """What sysfs says of an interface: it changes seldom, and is read again every minute."""

    __slots__ = ("address", "mtu", "speed", "state")

    def __init__(self, places: Places, name: str) -> None:
        folder = f"{FOLDER}/{name}"
        self.address = places.word(f"{folder}/address")
        self.state = places.word(f"{folder}/operstate")
        self.mtu = whole(places.word(f"{folder}/mtu"))
        speed = whole(places.word(f"{folder}/speed"))
        self.speed = speed * BITS_PER_MBIT if speed is not None else None


class Collector:
    """One pread; some small files of each interface once a minute."""

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._places = places
        nics = Filter(str(options["nics"]), SKIPPED)
        self._lines = Wanted(head, name_in, lambda name: nics.takes(shown(name)))
        self._names: list[bytes] = self._lines.names
        self._going: list[Going] = []
        self._facts: list[Facts] = []
        self._asked_s = 0.0
        self._bytes = 8192
        try:
            self._fd = places.opened(DEV)
        except OSError:
            raise Absent(f"{DEV} can't be read: this kernel has no network, or /proc is not mounted") from None

    def sample(self, now_s: float) -> Sequence[Value]:
        text = posix.pread(self._fd, self._bytes, 0)
        while len(text) == self._bytes and self._bytes < BYTES_MAX:
            self._bytes *= 2
            text = posix.pread(self._fd, self._bytes, 0)
        lines = self._lines.chosen(text, now_s)
        if self._lines.names is not self._names or not 0 <= now_s - self._asked_s < LOOK_AGAIN_S:
            self._ask(now_s)
        row: list[Value] = []
        for line, going, facts in zip(lines, self._going, self._facts, strict=True):
            row += going.on(counters(line))
            row += (facts.mtu, facts.speed, 1)
        return row

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            posix.close(fd)

    def _ask(self, now_s: float) -> None:
        """sysfs. The series are others only where an interface, or what it says in words, is another."""
        self._asked_s = now_s
        known = dict(zip(self._names, self._going, strict=True))
        before = [(facts.address, facts.state) for facts in self._facts]
        is_same = self._lines.names is self._names
        self._names = names = self._lines.names
        self._going = [known.get(name) or Going(EVENTS) for name in names]
        self._facts = [Facts(self._places, shown(name)) for name in names]
        if is_same and before == [(facts.address, facts.state) for facts in self._facts]:
            return
        series: list[Series] = []
        for name, facts in zip(names, self._facts, strict=True):
            interface = ("network.interface.name", shown(name))
            for way in ("receive", "transmit"):
                direction = ("network.io.direction", way)
                series += (metric.series(interface, direction) for metric in (IO, PACKETS, ERRORS, DROPPED))
            said = (("x.network.mac", facts.address), ("x.network.state", facts.state))
            series += (
                MTU.series(interface),
                SPEED.series(interface),
                INTERFACE.series(interface, *((name, text) for name, text in said if text)),
            )
        self.series = series


def head(line: bytes) -> bytes:
    """The interface's name and the colon after it; b"" where the line has too few figures."""
    end = line.find(b":") + 1
    return line[:end] if len(line[end:].split(None, WORDS_MIN)) >= WORDS_MIN else b""


def name_in(head: bytes) -> bytes:
    """The interface's."""
    return head[:-1].strip()


def shown(name: bytes) -> str:
    """As text."""
    return name.decode("utf-8", "backslashreplace")


def counters(figures: bytes) -> list[int]:
    """Bytes, packets, errors, dropped: received, then transmitted. ValueError."""
    words = figures.split(None, WORDS_MIN)
    found = [*map(int, words[0:4]), *map(int, words[8:12])]
    if min(found) < 0:
        raise ValueError("a counter is below 0")
    return found


def whole(text: str) -> int | None:
    """A whole number; None where it is none, or below 0, as the speed of an interface without one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
