# SPDX-License-Identifier: Apache-2.0
"""How worn the eMMC of a phone or small board is, as it says itself.

From /sys/block/mmcblk*/device: life_time and pre_eol_info, which the kernel's Documentation/driver-api/mmc/
mmc-dev-attrs.rst describes, are fields of its EXT_CSD register (JEDEC 5.0 and later): tenths of its life, which are
told here as the most that it may be.
"""

from __future__ import annotations

from telemetry_probes.metrics.hardware import Point, Row, plain
from telemetry_probes.metrics.model import GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "how worn eMMC is"
INTERVAL_S = 3600.0
QUICK = True

USED = Metric(
    "x.emmc.life_used",
    "1",
    GAUGE,
    "The share of its life that it has used, at most, by its type of memory a (SLC) and b (MLC); 1.1: beyond its life",
)
RESERVE = Metric("x.emmc.reserve", "1", GAUGE, "1 for what x.emmc.state says of its reserve: normal, warning, urgent")
METRICS = (USED, RESERVE)

BLOCK = "/sys/block"
CARDS_MAX = 16
STATES = {1: "normal", 2: "warning", 3: "urgent"}
LIFE_MAX = 11
"""In tenths: beyond its life."""


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._row = Row()
        self.series: Sequence[Series] = ()
        if not cards(places):
            raise Absent("there is no eMMC that says how worn it is (life_time below /sys/block/mmcblk*/device)")

    def sample(self, now_s: float) -> Sequence[Value]:
        row = self._row.of([point for card in cards(self._places) for point in self._points(card)])
        self.series = self._row.series
        return row

    def close(self) -> None:
        """It keeps nothing open."""

    def _points(self, card: str) -> list[Point]:
        a, b = lives(self._places.word(f"{BLOCK}/{card}/device/life_time"))
        state = reserve(self._places.word(f"{BLOCK}/{card}/device/pre_eol_info"))
        of = ("hw.id", plain(card))
        return [
            Point(USED, a, of, ("x.emmc.type", "a")),
            Point(USED, b, of, ("x.emmc.type", "b")),
            Point(RESERVE, 1 if state else None, of, ("x.emmc.state", state or "unknown")),
        ]


def cards(places: Places) -> list[str]:
    """The names of those that say it."""
    return [
        name
        for name in places.listed(BLOCK)
        if name.startswith("mmcblk") and name[6:].isdecimal() and places.word(f"{BLOCK}/{name}/device/life_time")
    ][:CARDS_MAX]


def lives(text: str) -> tuple[float | None, float | None]:
    """Of type a and b, as in "0x01 0x02". 0 isn't defined, and what is above LIFE_MAX is reserved: None."""
    a, _, b = text.partition(" ")
    return _share(a), _share(b)


def reserve(text: str) -> str:
    """The name of it, as in "0x01"; "" where it isn't defined."""
    found = _hexadecimal(text)
    return STATES.get(found, "") if found is not None else ""


def _share(text: str) -> float | None:
    tenths = _hexadecimal(text)
    return tenths / 10 if tenths is not None and 1 <= tenths <= LIFE_MAX else None


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None
