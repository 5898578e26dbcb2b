# SPDX-License-Identifier: Apache-2.0
"""The demo's lines: 80 columns whatever is in a record, and nothing in a record reaches the terminal but its text."""

from __future__ import annotations

import unicodedata

import pytest

from demo.arrivals import Arrived
from demo.shown import COLUMNS, Paint, padded, record_line, record_lines, step, table_head

PLAIN = Paint(False)
RECORD = Arrived("0" * 24 + "8b3ec303", "org.test/a/b", 2, "hello\nuptime: 4\n", 1_700_000_000_123_456, 0)


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "x" * 99_999,
        "\x1b[2J\x1b]0;title\x07",
        "a\rb\0c\x9bd",
        "漢" * 99,
        "x" + "漢" * 99,
        "e\u0301" * 99,
        "\u202eabc",
    ],
)
def test_a_record_is_never_wider_than_the_terminal_and_never_steers_it(payload: str) -> None:
    record = RECORD._replace(payload=payload, classification="x" * 40 + "/" + "y" * 40 + "/" + "z" * 40)
    for line in record_lines(record, PLAIN):
        assert width(line) <= COLUMNS
        assert line.isprintable()


def test_a_record_shows_what_it_is_and_its_way() -> None:
    first, second = record_lines(RECORD._replace(received_us=RECORD.created_us + 92_400), PLAIN)
    assert first.split() == ["8b3ec303", "org.test/a/b", "medium", "hello", "uptime:", "4"]
    assert second.strip() == "22:13:20.123 → 22:13:20.215  92 ms"
    assert table_head(PLAIN)[0].index("payload") == first.index("hello")
    assert "1,234.0 s" in record_lines(RECORD._replace(received_us=RECORD.created_us + 1_234_000_000), PLAIN)[1]
    assert "?" in record_lines(RECORD._replace(created_us=2**63 - 1), PLAIN)[1]


def test_what_is_cut_says_so_and_what_fits_is_whole() -> None:
    assert padded("abcdef", 6) == "abcdef"
    assert padded("abcdefg", 6) == "abcde…"
    assert padded("漢字漢字", 6) == "漢字… "
    assert padded(" a\n\tb ", 6) == "a b   "
    assert len(step("x" * 100)) == len(step("")) == COLUMNS - 10


def test_colours_are_only_where_they_are_wanted() -> None:
    assert "\x1b[33m" in record_line(RECORD, Paint(True))
    assert "\x1b" not in "".join(record_lines(RECORD, PLAIN) + table_head(PLAIN) + [PLAIN.good("a"), PLAIN.bad("b")])
