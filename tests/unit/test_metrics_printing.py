# SPDX-License-Identifier: Apache-2.0
"""Tables and lists that fit a width: what doesn't goes on in the next line, and nothing of it is lost."""

from __future__ import annotations

import pytest

from telemetry_probes.metrics import discovery, printing, showing
from telemetry_probes.metrics.model import GAUGE, Metric
from telemetry_probes.metrics.printing import Row

SIZE = Metric("system.filesystem.usage", "By", GAUGE, "How much is used")
CPU = discovery.kind("cpu")


def test_what_fits_is_on_one_line() -> None:
    rows = [Row(CPU, [SIZE.series(("mode", "used")), SIZE.series()], 0, [1024, None])]
    assert printing.table(rows, 100) == (
        f"cpu: {CPU.title}\n  system.filesystem.usage{{mode=used}}  1 KiB\n  system.filesystem.usage             -\n"
    )
    assert printing.columns([("A", "B"), ("long", "x y")], 40) == "A     B\nlong  x y\n"


def test_a_long_name_goes_on_below_and_its_value_stays_in_its_column() -> None:
    attributes = (("device", "/dev/mapper/one"), ("mountpoint", "/srv/a/long/way/down"), ("type", "ext4"))
    rows = [Row(CPU, [SIZE.series(*attributes), SIZE.series()], 0, [1024, 5 << 30])]
    assert printing.table(rows, 60).splitlines()[1:] == [
        "  system.filesystem.usage{device=/dev/mapper/one,",
        "    mountpoint=/srv/a/long/way/down, type=ext4}        1 KiB",
        "  system.filesystem.usage                              5 GiB",
    ]


def test_a_reason_goes_on_below_itself() -> None:
    rows = [
        ("NAME", "EVERY", "WHY"),
        ("gpu", "-", "there is no card of any vendor here that could be asked"),
        ("x", "5 s", ""),
    ]
    assert printing.columns(rows, 40) == (
        "NAME  EVERY  WHY\n"
        "gpu   -      there is no card of any\n"
        "             vendor here that could be\n"
        "             asked\n"
        "x     5 s\n"
    )


@pytest.mark.parametrize("width", [40, 41, 57, 80, 100, 250])
def test_nothing_is_lost_and_nothing_is_wider(width: int) -> None:
    words = ["a", "bc" * 30, "d" * 300, "e f", "", "g"]
    text = " ".join(words)
    lines = printing.folded(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    rows = [("name", text), ("n", "short")]
    listed = printing.columns(rows, width)
    series = [SIZE.series(("a", text), ("b", "x" * 90)), SIZE.series(("c", "y" * 500))]
    shown = printing.table([Row(CPU, series, 0, [1, 123_456_789])], width)
    assert listed.replace(" ", "").replace("\n", "") == "".join(map("".join, rows)).replace(" ", "")
    assert "x" * 90 in shown.replace("\n", "").replace(" ", "")
    assert max(map(len, [*lines, *listed.splitlines(), *shown.splitlines()])) <= width


@pytest.mark.parametrize(
    ("columns", "width"), [("120", 120), ("1", 40), ("-5", 100), ("x", 100), ("9" * 50, 100), ("", 100)]
)
def test_the_width_is_what_is_asked_for(columns: str, width: int) -> None:
    found = showing.width({"COLUMNS": columns})
    assert found == width or (width == 100 and found >= printing.WIDTH_MIN)  # that of a terminal, in a run by hand
