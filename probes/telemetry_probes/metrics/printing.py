# SPDX-License-Identifier: Apache-2.0
"""Rows as a person reads them, and as a program does. Pure: rows in, text out.

What a person reads is at most as wide as it is said, and nothing is left out for that: it goes on in the next line.
"""

from __future__ import annotations

from telemetry_probes.options import wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from telemetry_probes.metrics.discovery import Kind
    from telemetry_probes.metrics.model import Series, Value

PREFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
WIDTH_MIN = 40
"""Columns; a narrower terminal breaks the lines itself."""
INDENT = "  "


class Row:
    """What a collector gave last, at time_us, in microseconds since 1970."""

    __slots__ = ("kind", "series", "time_us", "values")

    def __init__(self, kind: Kind, series: Sequence[Series], time_us: int, values: Sequence[Value]) -> None:
        self.kind = kind
        self.series = series
        self.time_us = time_us
        self.values = values


def table(rows: Iterable[Row], width: int) -> str:
    """Each value with its name, below the name of its collector."""
    lines: list[str] = []
    for row in rows:
        lines += folded(f"{row.kind.name}: {row.kind.title}", width)
        cells = [(name(series), amount(value, series.metric.unit)) for series, value in _pairs(row)]
        room = width - 2 * len(INDENT) - max((len(value) for _, value in cells), default=0)
        column = max(WIDTH_MIN // 2, min(room, max((len(cell) for cell, _ in cells), default=0)))
        for cell, value in cells:
            *above, last = folded(cell, column)
            lines += [f"{INDENT}{each}" for each in above]
            lines.append(f"{INDENT}{last:{column}}  {value}")
    return "".join(f"{line}\n" for line in lines)


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


def columns(rows: Sequence[Sequence[str]], width: int) -> str:
    """Texts one below the other; the last of a row goes on below itself."""
    *widths, _ = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = max(WIDTH_MIN // 2, width - sum(each + len(INDENT) for each in widths))
    lines: list[str] = []
    for *cells, last in rows:
        for text in _broken(last, room):
            before = "".join(f"{cell:{each}}{INDENT}" for cell, each in zip(cells, widths, strict=True))
            lines.append(f"{before}{text}".rstrip())
            cells = [""] * len(widths)
    return "".join(f"{line}\n" for line in lines)


def folded(text: str, width: int) -> list[str]:
    """On lines of at most so many characters, all but the first of them indented. One line at least."""
    if len(text) <= width:
        return [text]
    first, *others = _broken(text, width - len(INDENT))
    return [first, *(f"{INDENT}{each}" for each in others)]


def _broken(text: str, width: int) -> list[str]:
    """At blanks, and anywhere in what has none."""
    lines = wrapped(text, width)
    return [line[at : at + width] for line in lines for at in range(0, max(1, len(line)), width)]


def _pairs(row: Row) -> Iterable[tuple[Series, Value]]:
    return zip(row.series, row.values, strict=True)
