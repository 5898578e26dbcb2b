# SPDX-License-Identifier: Apache-2.0
"""telemhub.web.machinepage and charts: what is drawn is what was measured, and nothing from outside becomes markup."""

from __future__ import annotations

import json
import re

import pytest
from elements import Elements

from telemhub.store import Series, SeriesPoints
from telemhub.web.charts import BUCKETS, HEIGHT, LINES_MAX, WIDTH, Line, Range, amount, chart
from telemhub.web.machinepage import CHARTS_MAX, charted, machine_page

T0_US = 1_760_000_000_000_000
HOUR = Range(T0_US, T0_US + 3_600_000_000)
MACHINE = b"\xab" * 16
NASTY = "</h2><script>alert(1)</script>\"'&<img src=x onerror=y>"
ELEMENTS = set("html head meta title style body main header h1 h2 a p div section svg line polyline".split())
ELEMENTS |= set("ul li i b span nav code".split())


def series(name: str, unit: str = "1", kind: str = "gauge", **attributes: str) -> Series:
    return Series(name, json.dumps(attributes), unit, kind, T0_US)


def points(*values: float, start_us: int = 0, apart_s: int = 60) -> list[tuple[int, float, int]]:
    return [(T0_US + at * apart_s * 1_000_000, value, start_us) for at, value in enumerate(values)]


def page(*found: SeriesPoints, newest_us: int = T0_US) -> str:
    return machine_page(MACHINE, found, HOUR, "1h", newest_us)


def lines_of(text: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in found.split())]
        for found in re.findall(r'<polyline class="line\d" points="([^"]+)"/>', text)
    ]


def test_nothing_from_outside_becomes_markup() -> None:
    text = page(
        SeriesPoints(series(NASTY, NASTY, **{NASTY: NASTY}), points(1, 2)),
        SeriesPoints(series("x.info", a=NASTY), points(1, 1)),
        SeriesPoints(series(NASTY, "{" + NASTY + "}", "counter"), points(1, 2, 3, start_us=5)),
    )
    seen = Elements(text)
    assert seen.names <= ELEMENTS, seen.names - ELEMENTS
    assert not {name for name in seen.attributes if name.startswith("on") or name in ("style", "src")}
    assert "alert(1)" in text and "<script" not in text


def test_a_gauge_is_drawn_from_the_ground_to_its_highest() -> None:
    ((*line,),) = lines_of(chart("a", "By", [Line("all", [(at, value) for at, value, _ in points(0, 5, 10)])], HOUR))
    assert line == [(0, HEIGHT), (round(2 * WIDTH / (BUCKETS - 1)), HEIGHT / 2), (round(4 * WIDTH / (BUCKETS - 1)), 0)]


def test_values_below_zero_have_a_ground_too() -> None:
    text = chart("a", "dBm", [Line("all", [(at, value) for at, value, _ in points(-50, -100)])], HOUR)
    assert [y for _, y in lines_of(text)[0]] == [HEIGHT / 2, HEIGHT]
    assert 'y1="0.0"' in text


def test_a_line_stops_where_nothing_was_measured() -> None:
    some = [(T0_US + at * 60_000_000, 1.5) for at in (0, 1, 2, 30, 31)]
    assert [len(line) for line in lines_of(chart("a", "1", [Line("all", some)], HOUR))] == [3, 2]
    seldom = [(T0_US + at * 600_000_000, 1.5) for at in range(5)]
    assert [len(line) for line in lines_of(chart("a", "1", [Line("all", seldom)], HOUR))] == [5]


def test_many_points_are_thinned_and_many_lines_are_counted() -> None:
    many = [(T0_US + at * 1_000_000, float(at)) for at in range(3600)]
    text = chart("a", "1", [Line(str(number), many) for number in range(LINES_MAX + 4)], HOUR)
    assert [len(line) for line in lines_of(text)] == [BUCKETS] * LINES_MAX
    assert "and 4 more" in text


def test_a_counter_is_shown_as_its_rate() -> None:
    text = page(
        SeriesPoints(series("system.network.io", "By", "counter", d="eth0"), points(0, 60 * 2048, start_us=5)),
        SeriesPoints(series("system.cpu.time", "s", "counter", m="user"), points(0, 30, start_us=5)),
        SeriesPoints(series("x.once", "s", "counter"), points(7, start_us=5)),
    )
    assert "system.network.io (rate)" in text and "2 KiB/s" in text
    assert "system.cpu.time (rate)" in text and "50 %" in text
    assert "x.once" not in text, "one point is no rate"
    assert text.index("system.cpu.time") < text.index("system.network.io")


def test_words_are_not_drawn() -> None:
    text = page(SeriesPoints(series("x.system.info", "1", os="Debian"), points(1, 1)))
    assert "Debian" in text and "<svg" not in text


def test_the_charts_have_an_order_and_an_end() -> None:
    names = charted(
        [series(name) for name in ("zz", "hw.power", "aa", "system.cpu.time", "x.load.1m", "system.uptime")]
    )
    assert names == ("x.load.1m", "system.cpu.time", "hw.power", "system.uptime", "aa", "zz")
    assert len(charted([series(f"n{at}") for at in range(CHARTS_MAX + 9)])) == CHARTS_MAX


def test_a_page_without_points_says_why() -> None:
    assert "metricprobe" in page(newest_us=0)
    assert "longer" in page()


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1536, "By", "1.5 KiB"),
        (1023.4, "By", "1023 B"),
        (3 * 2**40, "By/s", "3 TiB/s"),
        (0.25, "1", "0.25"),
        (1234567, "{packet}/s", "1,234,567 {packet}/s"),
        (42.123, "Cel", "42.1 Cel"),
    ],
)
def test_amounts(value: float, unit: str, shown: str) -> None:
    assert amount(value, unit) == shown
