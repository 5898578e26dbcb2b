# SPDX-License-Identifier: Apache-2.0
"""What a measurement comes to: a figure, what it is held against, and the table. Pure: no clock, file or process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Aim(NamedTuple):
    """What a figure ought to be, in the figure's unit."""

    direction: Literal["at least", "at most"]
    bound: float

    def met_by(self, value: float) -> bool:
        """Whether the value is on the right side of the bound; the bound itself is."""
        return value >= self.bound if self.direction == "at least" else value <= self.bound


class Figure(NamedTuple):
    """One line of the result. A figure without an aim is printed for what it tells about the others."""

    row: str
    work: str
    value: float
    unit: str
    conditions: str
    aim: Aim | None = None
    original: str = "-"  # the C original, on a virtual machine of 2 cores
    detail: str = ""

    @property
    def verdict(self) -> str:
        """met, missed, or - where nothing was aimed at."""
        if self.aim is None:
            return "-"
        return "met" if self.aim.met_by(self.value) else "missed"


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle. ValueError for none."""
    if not values:
        raise ValueError("median of nothing")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def spread(values: Sequence[float], unit: str) -> str:
    """Each turn's value, so that a reader sees what the median hides."""
    return "turns " + ", ".join(quantity(value, unit) for value in values)


def quantity(value: float, unit: str) -> str:
    """A value as a person reads it: three digits that count, thousands apart."""
    if value >= 1000:
        digits = f"{value:,.0f}"
    elif value >= 100 or value == int(value):
        digits = f"{value:.0f}"
    else:
        digits = f"{value:.3g}"
    return f"{digits} {unit}" if unit and unit not in "%" else f"{digits}{unit}"


def bound(figure: Figure) -> str:
    """The aim as a person reads it."""
    if figure.aim is None:
        return "-"
    sign = ">=" if figure.aim.direction == "at least" else "<="
    return f"{sign} {quantity(figure.aim.bound, figure.unit)}"


def line(figure: Figure) -> str:
    """One figure with all that it depends on."""
    aim = f" (aim {bound(figure)}: {figure.verdict})" if figure.aim else ""
    detail = f"; {figure.detail}" if figure.detail else ""
    return f"{figure.work}: {quantity(figure.value, figure.unit)}{aim}{detail}  [{figure.conditions}]"


def table(figures: Sequence[Figure]) -> str:
    """All figures as a table in Markdown with columns of even width."""
    head = ("work", "C original", "aim", "measured", "verdict")
    rows = [
        (figure.work, figure.original, bound(figure), quantity(figure.value, figure.unit), figure.verdict)
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    top = "| " + " | ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)) + " |"
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([top, rule, *lines])
