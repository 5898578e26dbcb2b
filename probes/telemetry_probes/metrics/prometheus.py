# SPDX-License-Identifier: Apache-2.0
"""Rows as text for Prometheus (text format 0.0.4), under the names that it would have them have.

Names follow OpenTelemetry's rules for Prometheus: the unit comes behind, a counter ends in _total, units are base
units. Pure: rows in, text out; who asks for it never comes in here.
"""

from __future__ import annotations

from telemetry_probes.metrics.model import COUNTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Metric, Series, Value

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SAMPLES_MAX: Final = 50_000
"""In one text; the others are left out."""
LABEL_CHARS_MAX: Final = 1024
SAME_NAME_MAX: Final = 100
"""Metrics whose names differ in what Prometheus doesn't know are numbered so far, and are one from there on."""

UNITS: Final[Mapping[str, tuple[str, float]]] = {
    "s": ("seconds", 1),
    "ms": ("seconds", 1e-3),
    "us": ("seconds", 1e-6),
    "ns": ("seconds", 1e-9),
    "min": ("seconds", 60),
    "h": ("seconds", 3600),
    "By": ("bytes", 1),
    "KiBy": ("bytes", 1024),
    "MiBy": ("bytes", 1 << 20),
    "By/s": ("bytes_per_second", 1),
    "bit/s": ("bytes_per_second", 1 / 8),
    "Hz": ("hertz", 1),
    "MHz": ("hertz", 1e6),
    "Cel": ("celsius", 1),
    "V": ("volts", 1),
    "A": ("amperes", 1),
    "W": ("watts", 1),
    "J": ("joules", 1),
    "%": ("ratio", 1e-2),
    "dBm": ("dbm", 1),
}
"""What stands behind the name, and by how much a value is multiplied. Of any other unit nothing is said."""

_KINDS: Final = {
    "counter": "counts",
    "gauge": "level",
    "histogram": "distribution",
    "summary": "digest",
    "untyped": "plain",
}
"""Names of types, which don't belong into a metric's, and what stands there instead."""
_RESERVED: Final = ("_count", "_sum", "_bucket", "_total", "_info")
_RESERVED_LABELS: Final = ("le", "quantile")
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class _Family:
    """The samples of one name."""

    __slots__ = ("factor", "lines", "metric")

    def __init__(self, metric: Metric, factor: float) -> None:
        self.metric = metric
        self.factor = factor
        self.lines: dict[str, str] = {}  # labels -> value; of two of the same labels the first counts


def text(rows: Iterable[tuple[Sequence[Series], Sequence[Value]]]) -> bytes:
    """All of them, each name once with its HELP and TYPE."""
    families: dict[str, _Family] = {}
    names: dict[tuple[str, str, str], str] = {}
    left = SAMPLES_MAX
    for series, row in rows:
        for each, value in zip(series, row, strict=False):
            if value is None or not left:
                continue
            left -= 1
            metric = each.metric
            key = (metric.name, metric.unit, metric.kind)
            name = names.get(key)
            if name is None:
                name = names[key] = _free_name(metric, families)
            family = families[name]
            family.lines.setdefault(_labels(each.attributes), _number(value, family.factor))
    found = [line for name in sorted(families) for line in _lines(name, families[name])]
    return "".join(found).encode("utf-8", "replace")


def _lines(name: str, family: _Family) -> Iterable[str]:
    if family.lines:
        help_text = family.metric.text.replace("\\", "\\\\").replace("\n", "\\n")
        yield f"# HELP {name} {help_text}\n# TYPE {name} {family.metric.kind}\n"
    for labels, number in family.lines.items():
        yield f"{name}{labels} {number}\n"


def _free_name(metric: Metric, families: dict[str, _Family]) -> str:
    """Of a family of its own, or of one that means the same."""
    unit, factor = UNITS.get(metric.unit, ("", 1))
    for number in range(1, SAME_NAME_MAX):
        candidate = name_of(metric, "" if number == 1 else f"_{number}")
        known = families.get(candidate)
        if known is None:
            families[candidate] = _Family(metric, factor)
            return candidate
        if (known.metric.name, known.metric.kind, known.factor) == (metric.name, metric.kind, factor):
            return candidate
    return candidate


def name_of(metric: Metric, more: str = "") -> str:
    """As Prometheus has it: system.cpu.time is system_cpu_time_seconds_total. more: what tells it from another."""
    name = "_".join([_KINDS.get(word, word) for word in _plain(metric.name).split("_")]) + more
    unit = UNITS.get(metric.unit, ("", 1))[0]
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    if metric.kind == COUNTER:
        return name if name.endswith("_total") else f"{name}_total"
    for end in _RESERVED:
        # A gauge may not end so: it would be taken for a part of a histogram.
        if name.endswith(end):
            name = f"{name[: -len(end)]}_number" if end == "_count" else f"{name}_value"
    return name


def _plain(name: str) -> str:
    """Letters, digits and _; no digit first."""
    plain = "".join([char if char in _NAME else "_" for char in name])
    return plain if plain and not plain[0].isdigit() else f"_{plain}"


def _labels(attributes: Sequence[tuple[str, str]]) -> str:
    found: dict[str, str] = {}
    for name, value in attributes:
        # Two underscores in front are Prometheus' own, and so are the labels of its histograms.
        label = _plain(name).lstrip("_")
        if not label or label[0].isdigit():
            label = f"attribute_{label}"
        found.setdefault(f"{label}_value" if label in _RESERVED_LABELS else label, _quoted(value))
    return "{" + ",".join([f"{name}={value}" for name, value in found.items()]) + "}" if found else ""


def _quoted(value: str) -> str:
    value = value[:LABEL_CHARS_MAX].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{value}"'


def _number(value: int | float, factor: float) -> str:
    return str(value) if factor == 1 else repr(float(f"{value * factor:.15g}"))
