# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own arithmetic: which disk, which median, met or missed, and that a lost record voids a figure."""

from __future__ import annotations

import pytest

from bench.figures import Aim, Figure, bound, line, median, quantity, table
from bench.generators import Outcome
from bench.place import BenchError, file_system_of, mounts
from bench.setup import window_max

MOUNTINFO = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:20 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw
23 21 0:21 / /var/tmp/with\\040space rw - xfs /dev/vdb rw
24 21 0:22 / /tmp rw - btrfs /dev/vdc rw
"""

DURABLE = Outcome(100, 1.0, 1.5, 100, 0, 0, 0, 0, 0, 0, {})
SPEED = Figure("accepted", "records accepted", 60_000, "/s", "spool on ext4", Aim("at least", 50_000), "22,500 /s")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/var/tmp", "ext4"),
        ("/tmpfile", "ext4"),
        ("/tmp", "btrfs"),  # the later mount covers the earlier one
        ("/tmp/below", "btrfs"),
        ("/var/tmp/with space/x", "xfs"),
    ],
)
def test_a_path_is_on_the_last_and_longest_mount(path: str, expected: str) -> None:
    assert file_system_of(path, MOUNTINFO) == expected


def test_lines_that_are_no_mounts_are_passed_over() -> None:
    assert mounts("rubbish\n1 2 3\n - \n") == []
    assert file_system_of("/", "") == "unknown"


def test_median() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5
    with pytest.raises(ValueError, match="nothing"):
        median([])


@pytest.mark.parametrize(
    ("aim", "value", "verdict"),
    [
        (Aim("at least", 10), 10, "met"),
        (Aim("at least", 10), 9.99, "missed"),
        (Aim("at most", 10), 10, "met"),
        (Aim("at most", 10), 10.01, "missed"),
        (None, 10, "-"),
    ],
)
def test_verdict(aim: Aim | None, value: float, verdict: str) -> None:
    assert SPEED._replace(aim=aim, value=value).verdict == verdict


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (123456.7, "/s", "123,457 /s"),
        (9.876, "us", "9.88 us"),
        (31.25, "%", "31.2%"),
        (0, "", "0"),
        (250.4, "ms", "250 ms"),
    ],
)
def test_quantity(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_a_line_says_all_that_the_figure_depends_on() -> None:
    assert line(SPEED) == "records accepted: 60,000 /s (aim >= 50,000 /s: met)  [spool on ext4]"
    assert bound(SPEED._replace(aim=None)) == "-"


def test_table_has_a_line_a_figure_and_even_columns() -> None:
    lines = table([SPEED, SPEED._replace(work="w", aim=None)]).splitlines()
    assert len(lines) == 4
    assert len({len(entry) for entry in lines}) == 1
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "records accepted", "22,500 /s", ">= 50,000 /s", "60,000 /s", "met",
    ]  # fmt: skip


def test_all_durable_passes() -> None:
    assert DURABLE.all_durable().rate == 200


@pytest.mark.parametrize(
    "flawed",
    [
        DURABLE._replace(durable=99, refused=1, reason=16),
        DURABLE._replace(durable=99, duplicate=1),
        DURABLE._replace(durable=99, lost=1),
        DURABLE._replace(durable=99, foreign=1),
        DURABLE._replace(lost=1),
        DURABLE._replace(records=0, durable=0),
    ],
)
def test_one_record_of_another_fate_voids_the_figure(flawed: Outcome) -> None:
    with pytest.raises(BenchError, match="no figure"):
        flawed.all_durable()


def test_window_is_the_header_s() -> None:
    assert window_max("#define TM_ID_SIZE 16\n#define TM_WINDOW_MAX 64   /* … */\n") == 64
    with pytest.raises(BenchError, match="TM_WINDOW_MAX"):
        window_max("")
