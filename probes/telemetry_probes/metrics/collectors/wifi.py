# SPDX-License-Identifier: Apache-2.0
"""How well the wireless network is received: strength, quality, rate, and which network it is.

/proc/net/wireless has strength and quality (proc(5), Linux' net/wireless/wext-proc.c); it has no lines in a kernel
without the old wireless extensions. The rest, and all of it there, is of `iw dev NAME link` (iw(8)), which is run once
a minute at most.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.commands import Program
from telemetry_probes.metrics.hardware import Point, Row, plain
from telemetry_probes.metrics.model import GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "wireless network: strength, rate, which"
INTERVAL_S = 30.0

SIGNAL = Metric("x.wifi.signal", "dBm", GAUGE, "How strong the access point is received: -30 is strong, -90 is nothing")
QUALITY = Metric("x.wifi.quality", "1", GAUGE, "How good the link is, as the driver rates it; 1: as good as can be")
RATE = Metric("x.wifi.rate", "bit/s", GAUGE, "At which rate it is sent and received")
FREQUENCY = Metric("x.wifi.frequency", "Hz", GAUGE, "On which frequency")
NETWORK = Metric("x.wifi.network", "1", GAUGE, "1 for the network (SSID) and the access point that it is connected to")
METRICS = (SIGNAL, QUALITY, RATE, FREQUENCY, NETWORK)

WIRELESS = "/proc/net/wireless"
NET = "/sys/class/net"
QUALITY_MAX = 70
"""What drivers of mac80211 rate as best."""
INTERFACES_MAX = 16
IW_EVERY_S = 60
IW_SECONDS_MAX = 5.0
IW_BYTES_MAX = 65_536
SIGNAL_MIN_DBM, SIGNAL_MAX_DBM = -120, 20


class Link:
    """What iw says of one interface; None and "" where it doesn't."""

    __slots__ = ("access_point", "frequency_hz", "receive", "signal_dbm", "ssid", "transmit")

    def __init__(self) -> None:
        self.ssid = self.access_point = ""
        self.signal_dbm: int | None = None
        self.frequency_hz: int | None = None
        self.receive: int | None = None
        self.transmit: int | None = None
        """Both in bit/s."""


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._names = interfaces(places)
        if not self._names:
            raise Absent("there is no wireless interface below /sys/class/net")
        path = places.program("iw")
        self._iw = Program(path, IW_SECONDS_MAX, IW_BYTES_MAX) if path else None
        self._links: dict[str, Link] = {}
        self._linked_s: float | None = None
        self._row = Row()
        self.series: Sequence[Series] = ()
        try:
            self._fd = places.opened(WIRELESS)
        except OSError:
            self._fd = -1
        if self._fd < 0 and self._iw is None:
            raise Absent("neither /proc/net/wireless is there nor a program iw: install iw")

    def sample(self, now_s: float) -> Sequence[Value]:
        heard = received(posix.pread(self._fd, 65_536, 0)) if self._fd >= 0 else {}
        if self._linked_s is None or now_s - self._linked_s >= IW_EVERY_S - 1:
            self._linked_s = now_s
            self._names = interfaces(self._places)
            self._links = {name: self._link(now_s, name) for name in self._names}
        links = [(name, self._links.get(name) or Link()) for name in self._names]
        row = self._row.of([point for name, link in links for point in _points(name, link, heard.get(name))])
        self.series = self._row.series
        return row

    def close(self) -> None:
        if self._fd >= 0:
            posix.close(self._fd)
            self._fd = -1

    def _link(self, now_s: float, name: str) -> Link:
        if self._iw is None:
            return Link()
        try:
            return linked(self._iw.run(now_s, "dev", name, "link").output)
        except OSError:  # what /proc has is worth telling without it
            return Link()


def interfaces(places: Places) -> list[str]:
    """The names of the wireless ones."""
    return [
        name
        for name in places.listed(NET)
        if places.listed(f"{NET}/{name}/wireless") or places.listed(f"{NET}/{name}/phy80211")
    ][:INTERFACES_MAX]


def received(content: bytes) -> dict[str, tuple[int | None, float | None]]:
    """Of /proc/net/wireless: signal in dBm and quality by interface. None: the driver doesn't say."""
    found: dict[str, tuple[int | None, float | None]] = {}
    for line in content.decode("utf-8", "replace").split("\n")[2 : 2 + INTERFACES_MAX]:
        name, colon, numbers = line.partition(":")
        fields = numbers.split()
        if not colon or len(fields) < 3:
            continue
        # A dot behind a number says that it was measured just now.
        quality, signal = _whole(fields[1].rstrip(".")), _whole(fields[2].rstrip("."))
        found[name.strip()] = (
            signal if signal is not None and SIGNAL_MIN_DBM <= signal <= SIGNAL_MAX_DBM and signal else None,
            quality / QUALITY_MAX if quality is not None and 0 <= quality <= QUALITY_MAX else None,
        )
    return found


def linked(output: bytes) -> Link:
    """Of `iw dev NAME link`."""
    link = Link()
    for line in output.decode("utf-8", "replace").split("\n")[:64]:
        if line.startswith("Connected to "):
            link.access_point = plain(line.split()[2]) if len(line.split()) > 2 else ""
            continue
        name, colon, text = line.strip().partition(": ")
        words = text.split()
        if not colon or not words:
            continue
        if name == "SSID":
            link.ssid = unescaped(text)
        elif name == "freq":
            megahertz = _decimal(words[0], 1_000_000)
            link.frequency_hz = megahertz if megahertz else None
        elif name == "signal":
            signal = _whole(words[0])
            link.signal_dbm = signal if signal is not None and SIGNAL_MIN_DBM <= signal <= SIGNAL_MAX_DBM else None
        elif name == "rx bitrate":
            link.receive = _decimal(words[0], 1_000_000)
        elif name == "tx bitrate":
            link.transmit = _decimal(words[0], 1_000_000)
    return link


def unescaped(text: str) -> str:
    """A network's name: iw writes what isn't plain ASCII as \\xc3, byte by byte."""
    first, *others = text[: 4 * 32].split("\\x")
    found = bytearray(first.encode())
    for part in others:
        try:
            found.append(int(part[:2], 16))
            found += part[2:].encode()
        except ValueError:
            found += b"\\x" + part.encode()
    return plain(found.decode("utf-8", "replace"))


def _points(name: str, link: Link, heard: tuple[int | None, float | None] | None) -> list[Point]:
    of = ("network.interface.name", plain(name))
    signal, quality = heard or (link.signal_dbm, None)
    found = [
        Point(SIGNAL, signal, of),
        Point(QUALITY, quality, of),
        Point(RATE, link.receive, of, ("network.io.direction", "receive")),
        Point(RATE, link.transmit, of, ("network.io.direction", "transmit")),
        Point(FREQUENCY, link.frequency_hz, of),
    ]
    if link.access_point:
        found.append(Point(NETWORK, 1, of, ("x.wifi.ssid", link.ssid), ("x.wifi.bssid", link.access_point)))
    return found


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _decimal(text: str, scale: int) -> int | None:
    """A number as in 866.7, times a power of ten. Not below 0, and of no more than 12 digits."""
    whole, _, part = text.partition(".")
    if not text.isascii() or not whole.isdecimal() or len(whole) > 12 or (part and not part.isdecimal()):
        return None
    digits = len(str(scale)) - 1
    return int(whole) * scale + int(f"{part:0<{digits}}"[:digits])
