# SPDX-License-Identifier: Apache-2.0
"""Metrics of hardware that more than one collector gives, and how the small files of sysfs are read.

Names and units are OpenTelemetry's, Semantic conventions for hardware. Pure: bytes in, values out.
"""

from __future__ import annotations

from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.metrics.model import Series, Value

TEMPERATURE = Metric("hw.temperature", "Cel", GAUGE, "Temperature of a sensor")
FAN_SPEED = Metric("hw.fan.speed", "rpm", GAUGE, "Revolutions per minute")
VOLTAGE = Metric("hw.voltage", "V", GAUGE, "Voltage of a sensor")
POWER = Metric("hw.power", "W", GAUGE, "What a part takes now; of a battery, what goes in or out")
STATUS = Metric("hw.status", "1", GAUGE, "1 for the state that hw.state names")

ENERGY = Metric("hw.energy", "J", COUNTER, "What a part has taken so far")

TEMPERATURE_MAX_CEL = 200
"""What isn't between 0 and this, without the two, is a sensor that measures nothing."""
WORD_MAX = 64
"""Characters of a name that hardware gives itself."""


def integer(content: bytes) -> int | None:
    """The number that a file of sysfs has; None where it has something else."""
    try:
        return int(content)
    except ValueError:
        return None


def whole(content: bytes, least: int, most: int) -> int | None:
    """That number as it is. None: it isn't one, or not between least and most."""
    found = integer(content)
    return found if found is not None and least <= found <= most else None


def scaled(content: bytes, per_unit: int, least: int, most: int) -> float | None:
    """That number in the metric's unit. per_unit: how many of the file's units make one. None: it isn't a number, or
    not between least and most, in the metric's unit, which no such thing can be."""
    found = whole(content, least * per_unit, most * per_unit)
    return None if found is None else found / per_unit


def temperature(content: bytes) -> float | None:
    """Of thousandths of a degree Celsius. None: it measures nothing."""
    found = integer(content)
    if found is None or not 0 < found < TEMPERATURE_MAX_CEL * 1000:
        return None
    return found / 1000


def plain(text: str) -> str:
    """A name as an attribute has it: one line, printable, at most WORD_MAX characters."""
    kept = "".join(each if each.isprintable() else " " for each in text[: 4 * WORD_MAX])
    return " ".join(kept.split())[:WORD_MAX]


def uevent(content: bytes) -> dict[str, str]:
    """The NAME=value lines of a file uevent. What isn't one is left out."""
    found: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").split("\n")[:256]:
        name, equals, value = line.partition("=")
        if equals:
            found[name] = value
    return found


class Point:
    """A value, and what tells it from others of its metric."""

    __slots__ = ("attributes", "metric", "value")

    def __init__(self, metric: Metric, value: Value, *attributes: tuple[str, str]) -> None:
        self.metric = metric
        self.value = value
        self.attributes = attributes


class Row:
    """Keeps the series of points that come anew each time, for as long as they are the same."""

    __slots__ = ("_known", "series")

    def __init__(self) -> None:
        self.series: Sequence[Series] = ()
        self._known: list[tuple[str, tuple[tuple[str, str], ...]]] = []

    def of(self, points: Sequence[Point]) -> list[Value]:
        """Their values. Of points that can't be told apart the first counts."""
        found: dict[tuple[str, tuple[tuple[str, str], ...]], Point] = {}
        for point in points:
            found.setdefault((point.metric.name, point.attributes), point)
        known = list(found)
        if known != self._known:
            self._known = known
            self.series = [point.metric.series(*point.attributes) for point in found.values()]
        return [point.value for point in found.values()]
