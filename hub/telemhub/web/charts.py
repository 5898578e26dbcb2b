# SPDX-License-Identifier: Apache-2.0
"""Points as small line charts: SVG that a browser draws without a script.

Values in, HTML out; all that came from outside goes through text(). Which metrics are shown is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from telemhub.web.document import text

if TYPE_CHECKING:
    from collections.abc import Sequence

LINES_MAX: Final = 6
"""In one chart, those with the highest values; the style has as many colours."""

BUCKETS: Final = 120
"""Points of a line that are drawn: each the mean of its time."""

GAP_BUCKETS: Final = 6
"""A line stops where there is nothing for so long, or for three times as long as is usual on it."""

WIDTH: Final = 480
HEIGHT: Final = 80
_PREFIXES: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


class Line(NamedTuple):
    """label: what tells it from the others. points: microseconds since 1970 and values, by time, at least one."""

    label: str
    points: Sequence[tuple[int, float]]


class Range(NamedTuple):
    """Of time, in microseconds since 1970."""

    since_us: int
    until_us: int


def chart(title: str, unit: str, lines: Sequence[Line], shown: Range) -> str:
    """One metric. Where every value is 1 there is nothing to draw: its labels say it all."""
    ordered = sorted(lines, key=_mean, reverse=True)[:LINES_MAX]
    says_words = unit == "1" and all(value == 1 for line in lines for _, value in line.points)
    drawing = "" if says_words else _drawing(ordered, shown)
    items = "".join(_item(number, line, "" if says_words else unit) for number, line in enumerate(ordered))
    more = len(lines) - len(ordered)
    rest = f'<li class="soft">and {more} more</li>' if more else ""
    return f"<section><h2>{text(title)}</h2>{drawing}<ul>{items}{rest}</ul></section>"


def _mean(line: Line) -> float:
    return sum(value for _, value in line.points) / len(line.points)


def _item(number: int, line: Line, unit: str) -> str:
    value = f"<b>{text(amount(line.points[-1][1], unit))}</b>" if unit else ""
    label = text(line.label)
    return f'<li><i class="mark{number}"></i><span title="{label}">{label}</span>{value}</li>'


def _drawing(lines: Sequence[Line], shown: Range) -> str:
    thinned = [_thinned(line.points, shown) for line in lines]
    values = [value for points in thinned for _, value in points]
    low, high = min(0.0, *values), max(0.0, *values)
    height = (high - low) or 1.0
    drawn = ""
    for number, points in enumerate(thinned):
        for part in _parts(points):
            places = [
                (bucket * WIDTH / (BUCKETS - 1), HEIGHT - (value - low) * HEIGHT / height) for bucket, value in part
            ]
            if len(places) == 1:
                places.append((places[0][0] + 1, places[0][1]))  # a dot
            drawn += f'<polyline class="line{number}" points="{" ".join(f"{x:.0f},{y:.1f}" for x, y in places)}"/>'
    ground = HEIGHT + low * HEIGHT / height
    return (
        f'<svg viewBox="0 -2 {WIDTH} {HEIGHT + 4}" preserveAspectRatio="none" aria-hidden="true">'
        f'<line class="ground" x1="0" y1="{ground:.1f}" x2="{WIDTH}" y2="{ground:.1f}"/>{drawn}</svg>'
    )


def _thinned(points: Sequence[tuple[int, float]], shown: Range) -> list[tuple[int, float]]:
    """The number of each bucket that has points, and their mean."""
    sums: dict[int, tuple[float, int]] = {}
    span_us = max(1, shown.until_us - shown.since_us)
    for at_us, value in points:
        bucket = min(BUCKETS - 1, max(0, (at_us - shown.since_us) * BUCKETS // span_us))
        total, count = sums.get(bucket, (0.0, 0))
        sums[bucket] = total + value, count + 1
    return [(bucket, total / count) for bucket, (total, count) in sorted(sums.items())]


def _parts(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    parts: list[list[tuple[int, float]]] = []
    apart = sorted(after - before for (before, _), (after, _) in zip(points, points[1:], strict=False))
    gap = max(GAP_BUCKETS, 3 * apart[len(apart) // 2]) if apart else 0
    for point in points:
        if not parts or point[0] - parts[-1][-1][0] > gap:
            parts.append([])
        parts[-1].append(point)
    return parts


def amount(value: float, unit: str) -> str:
    """As in 1.5 GiB/s, 12 %, 40 Cel."""
    if unit in ("By", "By/s"):
        for prefix in _PREFIXES:
            if abs(value) < 1024 or prefix == _PREFIXES[-1]:
                return f"{value:.3g} {prefix}B{unit[2:]}" if abs(value) < 1000 else f"{value:.0f} {prefix}B{unit[2:]}"
            value /= 1024
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return number if unit == "1" else f"{number} {unit}"
