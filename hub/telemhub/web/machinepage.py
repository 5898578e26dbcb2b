# SPDX-License-Identifier: Apache-2.0
"""The page at `/machine/ID`: what a machine does, a small chart for each of its metrics.

Values in, HTML out; all that came from outside goes through text(). Nothing is read or asked for here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from telemhub.points import COUNTER
from telemhub.rates import rates
from telemhub.web.charts import BUCKETS, Line, Range, chart
from telemhub.web.document import ago, document, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemhub.store import Series, SeriesPoints

CHARTS_MAX: Final = 120
SERIES_MAX: Final = 48
"""Of one metric that are looked at."""

RANGES: Final = {"15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 24 * 3600}
"""What `range` may be, in seconds."""

RANGE_DEFAULT: Final = "1h"

_FIRST: Final = (
    "system.cpu.utilization", "system.memory.usage", "x.load.1m", "system.cpu.time", "system.network.io",
    "system.disk.io", "system.filesystem.utilization", "hw.", "x.pressure.", "system.", "process.", "container.",
)  # fmt: skip
"""Beginnings of names, in the order in which they are shown; then all others."""


def charted(series: Sequence[Series]) -> tuple[str, ...]:
    """The names of the metrics that are shown, in their order."""
    names = sorted({each.name for each in series}, key=lambda name: (_place(name), name))
    return tuple(names[:CHARTS_MAX])


def _place(name: str) -> int:
    return next((at for at, begin in enumerate(_FIRST) if name.startswith(begin)), len(_FIRST))


def step_us(range_s: int) -> int:
    """How far apart points need be for that range."""
    return range_s * 1_000_000 // BUCKETS


def machine_page(
    machine: bytes, found: Sequence[SeriesPoints], shown: Range, chosen: str, newest_us: int, notice: str = ""
) -> str:
    """The whole document. newest_us: of the last point there is, 0 for none. notice: why nothing is shown, or ""."""
    hex_id = machine.hex()
    by_name: dict[tuple[str, str, str], list[Line]] = {}
    for each in found:
        series = each.series
        points = rates(each.points) if series.kind == COUNTER else [(at, value) for at, value, _ in each.points]
        if points:
            unit, factor = _shown_unit(series)
            line = Line(_label(series), [(at, value * factor) for at, value in points])
            by_name.setdefault((series.name, series.kind, unit), []).append(line)
    order = {name: at for at, name in enumerate(charted([each.series for each in found]))}
    charts = "".join(
        chart(f"{name} (rate)" if kind == COUNTER else name, unit, lines, shown)
        for (name, kind, unit), lines in sorted(by_name.items(), key=lambda item: order.get(item[0][0], 0))
    )
    links = "".join(
        f"<b>{name}</b>" if name == chosen else f'<a href="/machine/{hex_id}?range={name}">{name}</a>'
        for name in RANGES
    )
    links += f'<a href="/?machine={hex_id}">records</a>'
    complaint = f'<p class="notice" role="alert">{text(notice)}</p>' if notice else ""
    body = f'<div class="charts">{charts}</div>' if charts else _empty(newest_us)
    summary = f"metrics of <code>{hex_id}</code>"
    if newest_us:
        summary += f", the last {ago(max(0, shown.until_us - newest_us))}"
    return document(summary, f"<nav>{links}</nav>{complaint}{body}")


def _shown_unit(series: Series) -> tuple[str, float]:
    """What the numbers shown mean, and by how much they are multiplied for that. Seconds that pass in a second are a
    share of it."""
    unit = series.unit[1:-1] if series.unit.startswith("{") and series.unit.endswith("}") else series.unit
    if series.kind == COUNTER:
        return ("%", 100) if unit == "s" else (f"{unit}/s" if unit not in ("", "1") else "1/s", 1)
    if series.name.endswith(".utilization"):
        return "%", 100
    return unit or "1", 1


def _label(series: Series) -> str:
    attributes: dict[str, str] = msgspec.json.decode(series.attributes)
    return " ".join(attributes.values()) or "all"


def _empty(newest_us: int) -> str:
    if newest_us:
        return '<p class="empty">Nothing of that time. Choose a longer one.</p>'
    return (
        '<p class="empty">No metrics of this machine have arrived. A machine with a lasting id sends them while '
        "<code>metricprobe</code> runs on it.</p>"
    )
