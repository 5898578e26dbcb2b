# SPDX-License-Identifier: Apache-2.0
"""The journal: its lines, its length, and what stands in its place that isn't one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telemd import journalfile
from telemd.intake import Mark
from telemd.journalfile import (
    BYTES_MAX,
    LINES_KEPT,
    LINES_MAX,
    Entry,
    append,
    append_lines,
    encode,
    parse,
    parse_line,
    read,
)

BOOT = "12a62978-b309-4b35-a7be-90876e311a93"
LINE = f"{'a' * 32}\x1e1700000000\x1eorg.clearlinux/hello/world\x1e{'b' * 32}\x1e{BOOT}"
ENTRY = Entry("a" * 32, 1_700_000_000, "org.clearlinux/hello/world", "b" * 32, BOOT)


def mark(number: int) -> Mark:
    return Mark(number.to_bytes(16, "big"), bytes(16), (1_700_000_000 + number) * 1_000_000 + 5, "a/b/c")


def journal(log_dir: Path) -> Path:
    return log_dir / journalfile.NAME


# ---- the format -----------------------------------------------------------------------------------------------------


def test_line_is_the_documented_one() -> None:
    assert encode(ENTRY) == LINE + "\n"
    assert parse_line(LINE) == ENTRY
    assert parse(LINE + "\n" + LINE + "\n") == [ENTRY, ENTRY]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\x1e\x1e\x1e\x1e",
        LINE[:-1],
        LINE + "\x1e",
        LINE.replace("1700000000", "-1"),
        LINE.replace("1700000000", "17e9"),
        LINE.replace("1700000000", "1" * 14),
        LINE.replace("1700000000", "\u0661"),
        LINE.replace("hello", "\x1b[31m"),
        LINE.replace("hello", "h\u00e4"),
        LINE.replace("hello", "h" * 200),
        LINE.replace("a" * 32, "A" * 32),
        LINE.replace("b" * 32, "b" * 31),
    ],
)
def test_line_that_isnt_ours_is_left_out(line: str) -> None:
    assert parse_line(line) is None
    assert parse(f"{LINE}\n{line}\n{LINE}\n") == [ENTRY, ENTRY]


@pytest.mark.parametrize("created_us", [0, 2**63 - 1])
def test_no_creation_time_that_a_sender_can_name_hides_a_record(tmp_path: Path, created_us: int) -> None:
    append(str(tmp_path), [Mark(b"\xaa" * 16, b"\xbb" * 16, created_us, "a/b/c")])
    (entry,) = read(str(tmp_path))
    assert (entry.record_id, entry.timestamp_s) == ("a" * 32, created_us // 1_000_000)


@pytest.mark.parametrize(
    ("count", "left"), [(0, 0), (1, 1), (LINES_MAX, LINES_MAX), (LINES_MAX + 1, LINES_KEPT), (999, 100)]
)
def test_pruned_to_the_newest_100_when_over_150(count: int, left: int) -> None:
    lines = [b"%d\n" % number for number in range(count)]
    assert list(journalfile.pruned(lines)) == lines[count - left :]


# ---- the file -------------------------------------------------------------------------------------------------------


def test_nothing_there_is_an_empty_journal(tmp_path: Path) -> None:
    assert read(str(tmp_path / "missing")) == []


def test_accepted_records_are_added(tmp_path: Path) -> None:
    log_dir = tmp_path / "log"
    append(str(log_dir), [mark(1)])
    append(str(log_dir), [mark(2), mark(3)])
    entries = read(str(log_dir))
    assert [entry.record_id for entry in entries] == [f"{number:032x}" for number in (1, 2, 3)]
    assert [entry.timestamp_s for entry in entries] == [1_700_000_001, 1_700_000_002, 1_700_000_003]
    assert {entry.boot_id for entry in entries} == {Path(journalfile.BOOT_ID_FILE).read_text().strip()}
    assert os.listdir(log_dir) == [journalfile.NAME]


def test_no_records_make_no_journal(tmp_path: Path) -> None:
    append(str(tmp_path), [])
    assert os.listdir(tmp_path) == []


def test_length_stays_between_100_and_150(tmp_path: Path) -> None:
    for number in range(400):
        append(str(tmp_path), [mark(number)])
        lines = journal(tmp_path).read_bytes().count(b"\n")
        assert lines <= LINES_MAX
        assert lines == number + 1 if number < LINES_MAX else lines >= LINES_KEPT
        assert read(str(tmp_path))[-1].record_id == f"{number:032x}"
    append(str(tmp_path), [mark(number) for number in range(1000)])
    assert [entry.record_id for entry in read(str(tmp_path))] == [f"{number:032x}" for number in range(900, 1000)]
    assert os.listdir(tmp_path) == [journalfile.NAME]


def test_room_is_used_before_anything_is_written_anew(tmp_path: Path) -> None:
    append(str(tmp_path), [mark(1)])
    inode = journal(tmp_path).stat().st_ino
    append(str(tmp_path), [mark(2)])
    assert journal(tmp_path).stat().st_ino == inode


def test_torn_end_costs_one_line(tmp_path: Path) -> None:
    append(str(tmp_path), [mark(1), mark(2)])
    os.truncate(journal(tmp_path), journal(tmp_path).stat().st_size - 7)
    append(str(tmp_path), [mark(3)])
    assert [entry.record_id[-1] for entry in read(str(tmp_path))] == ["1", "3"]
    assert journal(tmp_path).read_bytes().count(b"\n") == 2


def test_file_left_by_a_kill_doesnt_matter(tmp_path: Path) -> None:
    (tmp_path / journalfile.NEW_NAME).write_text("half")
    append(str(tmp_path), [mark(number) for number in range(200)])
    assert len(read(str(tmp_path))) == LINES_KEPT
    assert os.listdir(tmp_path) == [journalfile.NAME]


def test_link_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    journal(tmp_path).symlink_to(victim)
    with pytest.raises(OSError):
        read(str(tmp_path))
    append(str(tmp_path), [mark(1)])
    assert victim.read_text() == "precious"
    assert [entry.record_id[-1] for entry in read(str(tmp_path))] == ["1"]


def test_fifo_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(journal(tmp_path))
    with pytest.raises(OSError):
        read(str(tmp_path))
    append(str(tmp_path), [mark(1)])
    assert len(read(str(tmp_path))) == 1


def test_directory_in_its_place_is_an_error(tmp_path: Path) -> None:
    journal(tmp_path).mkdir()
    with pytest.raises(OSError):
        append(str(tmp_path), [mark(1)])


def test_huge_file_is_cut_to_size(tmp_path: Path) -> None:
    journal(tmp_path).write_bytes(b"x" * (3 * BYTES_MAX) + b"\n" + encode(ENTRY).encode())
    assert read(str(tmp_path)) == [ENTRY]
    append_lines(str(tmp_path), [encode(ENTRY).encode()])
    assert read(str(tmp_path)) == [ENTRY, ENTRY]
    assert journal(tmp_path).stat().st_size < 1000
