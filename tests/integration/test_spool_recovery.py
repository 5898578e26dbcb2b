# SPDX-License-Identifier: Apache-2.0
"""What a start makes of what it finds: footers believed, numbers given twice, strange files, a lost account."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ailingdisk import AilingDisk
from spooling import (
    EVENT,
    EXPIRY_US,
    MINUTE_US,
    NOW_US,
    SMALL_SEGMENTS,
    balanced,
    big,
    crashed,
    delivered,
    drained,
    numbers,
    on_disk,
    opened,
    put,
    segment_files,
    spoil,
)

from telemd import frames
from telemd.disk import Disk
from telemd.recovery import SEGMENT_LEN_MAX
from telemd.salvage import TRIES
from telemd.segment import HEADER_LEN, SIZE_MIN
from telemd.spool import Spool

VITAL = 0


def test_a_footer_tells_of_a_last_record_that_is_damaged(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    spool.close(NOW_US)
    spoil(segment_files(directory)[0], 9)
    (directory / "ledger").unlink()
    spool = opened(directory)
    assert spool.pending() == 10
    assert drained(spool) == list(range(1, 10))
    assert spool.accounting()["damaged"] == 1 and balanced(spool)


def test_a_scan_finds_when_the_records_came(directory: Path) -> None:
    spool = opened(directory)
    for minute in range(3):
        put(spool, numbers(3, 3 * minute + 1), NOW_US + minute * MINUTE_US)
    spool.flush(NOW_US)
    crashed(spool)
    spoil(segment_files(directory)[0], 4)  # two pieces are found
    spool = opened(directory)
    assert spool.lanes[EVENT].oldest_us() == NOW_US
    last_us = NOW_US + 2 * MINUTE_US
    assert spool.expire(last_us + EXPIRY_US) == 0
    assert spool.expire(last_us + EXPIRY_US + 1) == 9
    assert balanced(spool)


def test_a_number_that_was_given_again_belongs_to_the_newer_segment(directory: Path, tmp_path: Path) -> None:
    elsewhere = opened(tmp_path / "elsewhere")
    put(elsewhere, numbers(10))
    crashed(elsewhere)
    spool = opened(directory)
    put(spool, numbers(7))
    spool.flush(NOW_US)
    spool.lanes[EVENT].seal()
    put(spool, numbers(3, 101))
    spool.flush(NOW_US)
    crashed(spool)
    older, newer = segment_files(directory)
    older.write_bytes(segment_files(tmp_path / "elsewhere")[0].read_bytes())  # as after a sync that failed
    assert older.name == segment_files(tmp_path / "elsewhere")[0].name and newer.name > older.name
    spool = opened(directory)
    assert drained(spool) == [*range(1, 8), 101, 102, 103]
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


@pytest.mark.parametrize("name", ["vital-0000000000000001.seg", "event-0000000000000002.seg"])
def test_a_segment_under_another_name_is_not_taken_for_it(directory: Path, name: str) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.close(NOW_US)
    data = segment_files(directory)[0].read_bytes()
    (directory / name).write_bytes(data)
    spool = opened(directory)
    assert spool.take_notes() == [f"{name} in the spool has no usable header: moved to quarantine/"]
    assert spool.disk_bytes() == on_disk(directory)
    assert [drained(spool, lane) for lane in range(3)] == [[], [1, 2, 3], []]
    (kept,) = (directory / "quarantine").iterdir()
    assert kept.name == name and kept.read_bytes() == data and balanced(spool)


@pytest.mark.parametrize(("length", "found"), [(SEGMENT_LEN_MAX, [1, 2, 3]), (SEGMENT_LEN_MAX + 1, [])])
def test_a_file_that_is_far_too_long_is_no_segment(directory: Path, length: int, found: list[int]) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.close(NOW_US)
    with segment_files(directory)[0].open("r+b") as file:
        file.truncate(length)
    spool = opened(directory)
    assert drained(spool) == found and balanced(spool)


def test_what_has_no_place_in_quarantine_is_removed(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.close(NOW_US)
    (directory / "quarantine").mkdir(exist_ok=True)
    for number in range(64):
        (directory / "quarantine" / str(number)).touch()
    with segment_files(directory)[0].open("r+b") as file:
        file.write(b"garbage")
    spool = opened(directory)
    assert any(note.endswith(": removed") for note in spool.take_notes())
    assert segment_files(directory) == [] and balanced(spool)


def test_a_file_without_a_byte_in_it_is_not_worth_keeping(directory: Path) -> None:
    opened(directory).close(NOW_US)
    path = directory / "event-00000000000000ff.seg"
    path.write_bytes(bytes(SIZE_MIN))  # what a power cut leaves of a new one
    spool = opened(directory)
    assert not path.exists() and spool.take_notes() == []
    assert not list(directory.glob("quarantine/*")) and spool.disk_bytes() == on_disk(directory)


def test_a_sealed_segment_is_not_written_again(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.close(NOW_US)
    (path,) = segment_files(directory)
    os.utime(path, ns=(1, 1))
    spool = opened(directory)
    spool.close(NOW_US)
    assert path.stat().st_mtime_ns == 1


def test_what_cannot_be_read_is_said_and_left(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.close(NOW_US)
    (directory / "event-00000000000000ff.seg").mkdir()
    spool = opened(directory)
    assert any("event-00000000000000ff.seg in the spool can't be read" in note for note in spool.take_notes())
    assert drained(spool) == [1, 2, 3]


class FailingDisk(Disk):
    """A real disk on which one file can't be opened so many times, and no segment be removed."""

    def __init__(self, directory: Path, name: str = "", times: int = 0) -> None:
        super().__init__(str(directory))
        self._name = name
        self._times = times

    def open(self, name: str) -> int:
        if name == self._name and self._times:
            self._times -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return super().open(name)

    def unlink(self, name: str) -> None:
        if name.endswith(".seg"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), name)
        super().unlink(name)


@pytest.mark.parametrize(("times", "found"), [(TRIES - 1, [1, 2, 3]), (TRIES, [])])
def test_a_segment_that_opens_at_the_last_try_is_there(directory: Path, times: int, found: list[int]) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.close(NOW_US)
    name = segment_files(directory)[0].name
    spool = Spool(FailingDisk(directory, name, times), -1, EXPIRY_US)
    notes = spool.take_notes()
    assert any(f"{name} in the spool can't be read (" in note for note in notes) == (found == [])
    assert drained(spool) == found and balanced(spool)


def test_useless_files_that_stay_are_said_and_count(directory: Path) -> None:
    opened(directory).close(NOW_US)
    names = ["event-00000000000000fe.seg", "event-00000000000000ff.seg"]
    for length, name in enumerate(names, 5000):
        (directory / name).write_bytes(b"x" * length)
    spool = Spool(FailingDisk(directory), -1, EXPIRY_US)
    notes = spool.take_notes()
    assert [any(note.startswith(f"{name} in the spool has no") for note in notes) for name in names] == [True, True]
    assert all("can't be removed (" in note for note in notes) and len(notes) == 2
    assert spool.disk_bytes() == on_disk(directory)


def test_useless_files_go_once_they_can_be_removed(directory: Path, disk: AilingDisk) -> None:
    """They take the room of records, and did so until the next start."""
    names = ["event-00000000000000fe.seg", "event-00000000000000ff.seg"]
    for name in names:
        (directory / name).write_bytes(b"x" * (SMALL_SEGMENTS // 2))
    disk.fail("unlink", "event-*")
    spool = Spool(disk, SMALL_SEGMENTS, EXPIRY_US)
    assert sum("can't be removed (" in note for note in spool.take_notes()) == 2
    put(spool, big(1, 1))
    assert spool.pending() == 0
    disk.heal()
    spool.flush(NOW_US)
    assert {note.partition(" ")[0] for note in spool.take_notes()} >= set(names)
    assert not any((directory / name).exists() for name in names)
    assert spool.disk_bytes() == on_disk(directory)
    put(spool, big(2, 1))
    assert drained(spool) == [2]


def test_everything_in_the_directory_counts(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    spool.close(NOW_US)
    for folder, length in (("quarantine", 1000), ("drop", 300)):
        (directory / folder).mkdir(exist_ok=True)
        (directory / folder / "one").write_bytes(bytes(length))
    spool = opened(directory, SMALL_SEGMENTS)
    assert spool.disk_bytes() == on_disk(directory)


def test_a_new_account_over_old_segments_begins_where_they_begin(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 6))
    spool.close(NOW_US)
    segment_files(directory)[0].unlink()
    (directory / "ledger").unlink()
    spool = opened(directory, SMALL_SEGMENTS)
    account = spool.accounting()
    assert (account["admitted"], account["pending"], account["damaged"]) == (4, 4, 0)
    assert drained(spool) == [3, 4, 5, 6] and balanced(spool)
    put(spool, numbers(1, 7))
    assert spool.accounting()["admitted"] == 5 and balanced(spool)


def test_a_new_account_is_said(directory: Path) -> None:
    spool = opened(directory)
    assert spool.take_notes() == []
    put(spool, numbers(3))
    spool.close(NOW_US)
    spool = opened(directory)
    assert spool.take_notes() == []
    spool.close(NOW_US)
    (directory / "ledger").unlink()
    spool = opened(directory)
    assert [note.startswith("the spool has no readable ledger: ") for note in spool.take_notes()] == [True]


def lost(spool_notes: list[str]) -> list[str]:
    return [note.split(" at the end")[0] for note in spool_notes if "at the end of lane event" in note]


@pytest.mark.parametrize("sent", [0, 3])
def test_what_is_lost_at_the_end_is_said(directory: Path, sent: int) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 5))
    if sent:
        delivered(spool, 2)
        delivered(spool, 1)
    spool.close(NOW_US)
    segment_files(directory)[-1].unlink()
    spool = opened(directory, SMALL_SEGMENTS)
    assert lost(spool.take_notes()) == ["1 records"] and balanced(spool)


def test_what_is_lost_behind_the_last_delivered_is_said(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    delivered(spool, 2)
    spool.close(NOW_US)
    (left,) = segment_files(directory)
    left.unlink()
    spool = opened(directory, SMALL_SEGMENTS)
    assert lost(spool.take_notes()) == ["2 records"]
    assert spool.accounting()["damaged"] == 2 and balanced(spool)


def test_what_was_delivered_is_not_lost(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    assert drained(spool) == [1, 2, 3, 4] and spool.take_notes() == []
    spool.close(NOW_US)
    assert segment_files(directory) == []
    spool = opened(directory, SMALL_SEGMENTS)
    assert spool.take_notes() == [] and balanced(spool)


def test_a_ledger_of_two_slots_is_made(directory: Path) -> None:
    opened(directory).close(NOW_US)
    assert (directory / "ledger").stat().st_size == 8192
    assert SIZE_MIN == 32 * HEADER_LEN


def test_what_was_evicted_does_not_come_back_with_a_frame_more(directory: Path) -> None:
    """Its last write failed after a frame was on the disk whole, and its number was given again; then the power fails
    between the ledger and the use of its file for another."""
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    waiting = spool.head(EVENT, 1, 1 << 20, NOW_US)
    spool.pin(EVENT, waiting)
    line, second = spool.lanes[EVENT].ledger, spool.lanes[EVENT].segments[1]
    assert (second.first_seq, second.last_seq) == (3, 4)
    data = (directory / second.name).read_bytes()[: second.end]
    spool.lanes[EVENT].seal()
    for number in range(5, 30):
        put(spool, big(number, 1), lane=VITAL)
    assert (line.hole_first, line.hole_next) == (3, 5)
    evicted = spool.accounting()["evicted"]
    crashed(spool)
    generation = second.header.generation
    one_more = frames.scan(data[HEADER_LEN:], generation, 2).rebuilt(0, generation, 5, 0)
    (directory / second.name).write_bytes(data + one_more + bytes(4096))
    spool = opened(directory, SMALL_SEGMENTS)
    assert balanced(spool) and spool.accounting()["evicted"] == evicted and spool.accounting()["damaged"] == 0
    left = drained(spool)
    assert len(left) == len(set(left)) and balanced(spool)
