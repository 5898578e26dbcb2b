# SPDX-License-Identifier: Apache-2.0
"""Rows as a person reads them, and as a program does. Pure: rows in, text out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from telemetry_probes.metrics.discovery import Kind
    from telemetry_probes.metrics.model import Series, Value

PREFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
NAME_CHARS_MAX = 100
"""Of a line of the table that are kept in one column."""


class Row:
    """What a collector gave last, at time_us, in microseconds since 1970."""

    __slots__ = ("kind", "series", "time_us", "values")

    def __init__(self, kind: Kind, series: Sequence[Series], time_us: int, values: Sequence[Value]) -> None:
        self.kind = kind
        self.series = series
        self.time_us = time_us
        self.values = values


def table(rows: Iterable[Row]) -> str:
    """A line for each value, below the name of its collector."""
    lines: list[str] = []
    for row in rows:
        lines.append(f"{row.kind.name}: {row.kind.title}")
        cells = [(name(series), amount(value, series.metric.unit)) for series, value in _pairs(row)]
        width = min(NAME_CHARS_MAX, max((len(cell) for cell, _ in cells), default=0))
        lines += [f"  {cell:{width}}  {value}" for cell, value in cells]
    return "\n".join(lines) + "\n"


def document(rows: Iterable[Row], said: Mapping[str, str]) -> str:
    """The same as JSON; said: why there is nothing of the others."""
    from json import dumps

    metrics = [
        {
            "collector": row.kind.name,
            "name": series.metric.name,
            "unit": series.metric.unit,
            "kind": series.metric.kind,
            "attributes": dict(series.attributes),
            "time_us": row.time_us,
            "value": value,
        }
        for row in rows
        for series, value in _pairs(row)
    ]
    return dumps({"metrics": metrics, "absent": dict(said)}, indent=1) + "\n"


def name(series: Series) -> str:
    """As in system.cpu.time{cpu.mode=user}, on one line whatever is in an attribute."""
    attributes = ", ".join(f"{key}={printable(value)}" for key, value in series.attributes)
    return f"{series.metric.name}{{{attributes}}}" if attributes else series.metric.name


def printable(text: str) -> str:
    """Without what would begin a line or move a terminal's cursor."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def amount(value: Value, unit: str) -> str:
    """As in 1.5 GiB, 12 %, 40 Cel."""
    if value is None:
        return "-"
    if unit == "By":
        scaled = float(value)
        for prefix in PREFIXES:
            if abs(scaled) < 1024 or prefix == PREFIXES[-1]:
                return f"{scaled:.4g} {prefix}B"
            scaled /= 1024
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    unit = unit.strip("{}") if unit.startswith("{") else unit
    return shown if unit == "1" else f"{shown} {unit}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Texts one below the other; the last of a row may be of any length."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + "\n" for row in rows)


def _pairs(row: Row) -> Iterable[tuple[Series, Value]]:
    return zip(row.series, row.values, strict=True)
