# SPDX-License-Identifier: Apache-2.0
"""How many connections there are: /proc/net/sockstat and snmp (proc(5), Documentation/networking/snmp_counter.rst).

The lists of all connections are not read: they cost as much as there are connections.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.model import GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "network connections by state"
INTERVAL_S = 30.0
QUICK = True

COUNT = Metric(
    "system.network.connection.count", "{connection}", GAUGE, "Connections of TCP by state, and sockets of UDP in use"
)
METRICS = (COUNT,)

SNMP, SOCKSTAT, SOCKSTAT6 = "/proc/self/net/snmp", "/proc/self/net/sockstat", "/proc/self/net/sockstat6"
BYTES_MAX = 16_384


class Collector:
    """A pread of each file."""

    def __init__(self, places: Places, _: Mapping[str, Option]) -> None:
        self._fds: list[int] = []
        try:
            self._fds.append(places.opened(SOCKSTAT))
            self._fds.append(places.opened(SNMP))
        except OSError:
            self.close()
            raise Absent(f"{SOCKSTAT} can't be read: this kernel has no network, or /proc is not mounted") from None
        try:
            self._fds.append(places.opened(SOCKSTAT6))
        except OSError:
            pass  # a machine without IPv6
        tcp, state = ("network.transport", "tcp"), "network.connection.state"
        self.series: Sequence[Series] = (
            COUNT.series(tcp, (state, "established")),
            COUNT.series(tcp, (state, "time_wait")),
            COUNT.series(tcp, (state, "orphan")),
            COUNT.series(("network.transport", "udp")),
        )

    def sample(self, _: float) -> Sequence[Value]:
        texts = [posix.pread(fd, BYTES_MAX, 0) for fd in self._fds]
        tcp = sockets(texts[0], b"TCP:")
        udp = sockets(texts[0], b"UDP:").get(b"inuse")
        udp6 = sockets(texts[2], b"UDP6:").get(b"inuse") if len(texts) > 2 else None
        in_use = None if udp is None else udp + (udp6 or 0)
        return established(texts[1]), tcp.get(b"tw"), tcp.get(b"orphan"), in_use

    def close(self) -> None:
        while self._fds:
            posix.close(self._fds.pop())


def sockets(text: bytes, protocol: bytes) -> dict[bytes, int]:
    """What a line as `TCP: inuse 3 orphan 0` says; nothing where it isn't there, or is cut."""
    for line in text.split(b"\n")[:-1]:
        words = line.split()
        if words and words[0] == protocol:
            return {name: int(value) for name, value in zip(words[1::2], words[2::2], strict=False) if value.isdigit()}
    return {}


def established(text: bytes) -> Value:
    """CurrEstab of the two lines `Tcp:`, of which the first has the names; None where it isn't there."""
    lines = [line.split() for line in text.split(b"\n")[:-1] if line.startswith(b"Tcp:")]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]) or b"CurrEstab" not in lines[0]:
        return None
    value = lines[1][lines[0].index(b"CurrEstab")]
    return int(value) if value.isdigit() else None
