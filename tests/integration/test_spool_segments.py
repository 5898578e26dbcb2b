# SPDX-License-Identifier: Apache-2.0
"""When a lane begins a new segment, how full one gets, and what a descriptor or a name that fails does to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from records import record
from spooling import (
    EVENT,
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
)

from telemd.lane import ROLL_AFTER_US
from telemd.segment import FOOTER_LEN, HEADER_LEN, SIZE_MIN
from telemd.spool import Spool


def framed(number: int, length: int) -> bytes:
    """A record whose frame has that length."""
    one = record(number, b"p" * (length - 48 - len(record(number, b""))))
    assert 48 + len(one) == length and length % 8 == 0
    return one


@pytest.mark.parametrize(("more", "segments"), [(0, 1), (8, 2), (FOOTER_LEN, 2)])
def test_a_segment_is_filled_up_to_its_footer(directory: Path, more: int, segments: int) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    room = SIZE_MIN - HEADER_LEN - FOOTER_LEN
    put(spool, [framed(1, 64_000)])
    put(spool, [framed(2, room - 64_000 + more)])
    assert len(segment_files(directory)) == segments
    spool.close(NOW_US)
    assert {path.stat().st_size <= SIZE_MIN for path in segment_files(directory)} == {True}
    spool = opened(directory, SMALL_SEGMENTS)
    assert spool.disk_bytes() == on_disk(directory)
    assert drained(spool) == [1, 2] and balanced(spool)


def test_a_segment_is_written_for_ten_minutes(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(1))
    put(spool, numbers(1, 2), NOW_US + ROLL_AFTER_US - 1)
    assert len(segment_files(directory)) == 1
    put(spool, numbers(1, 3), NOW_US + ROLL_AFTER_US)
    assert len(segment_files(directory)) == 2
    put(spool, numbers(1, 4), NOW_US + 2 * ROLL_AFTER_US)  # also where there is but one in it
    assert len(segment_files(directory)) == 3


def test_an_empty_segment_is_not_too_old(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(1))
    lane = spool.lanes[EVENT]
    host = lane.segments[-1].header.host
    lane.roll(host, NOW_US)
    assert not lane.must_roll(host, NOW_US + ROLL_AFTER_US)
    put(spool, numbers(1, 2), NOW_US + ROLL_AFTER_US)
    assert len(segment_files(directory)) == 2 and drained(spool) == [1, 2]


def test_an_empty_segment_leaves_no_file(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(1))
    lane = spool.lanes[EVENT]
    lane.roll(lane.segments[-1].header.host, NOW_US)
    spool.close(NOW_US)
    assert len(segment_files(directory)) == 1


def test_what_waits_and_since_when(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    lane = spool.lanes[EVENT]
    assert not lane.waits() and lane.oldest_us() == 0
    put(spool, numbers(1))
    put(spool, numbers(1, 2), NOW_US + MINUTE_US)
    lane.seal()
    put(spool, numbers(1, 3), NOW_US + 2 * MINUTE_US)
    assert lane.waits() and lane.oldest_us() == NOW_US
    delivered(spool, 1)
    assert lane.oldest_us() == NOW_US  # that of its segment
    delivered(spool, 1)
    assert lane.waits() and lane.oldest_us() == NOW_US + 2 * MINUTE_US
    lane.roll(lane.segments[-1].header.host, NOW_US)
    assert lane.waits()  # the last segment is empty
    delivered(spool, 1)
    assert not lane.waits() and lane.oldest_us() == 0


def unwritable(spool: Spool) -> None:
    """From here on the open segment's descriptor can't be written: every write fails with EBADF."""
    fd = spool.lanes[EVENT].segments[-1].fd
    assert fd is not None
    reading = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(reading, fd, inheritable=False)
    os.close(reading)


def test_a_write_that_fails_is_made_again_into_the_next_segment(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    unwritable(spool)
    assert put(spool, numbers(3, 4)) == [0, 0, 0]
    first, second = spool.lanes[EVENT].segments
    assert first.sealed and first.fd is None and second.first_seq == 4
    spool.flush(NOW_US)
    assert (directory / first.name).stat().st_size == first.end + FOOTER_LEN  # it has its footer after all
    os.utime(directory / first.name, ns=(1, 1))
    spool.flush(NOW_US)
    assert (directory / first.name).stat().st_mtime_ns == 1
    assert put(spool, numbers(1, 7)) == [0] and len(segment_files(directory)) == 2
    crashed(spool)
    spool = opened(directory)
    assert drained(spool) == [1, 2, 3, 4, 5, 6, 7]
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


def test_a_write_that_fails_into_an_empty_segment_leaves_no_file(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    lane = spool.lanes[EVENT]
    empty = lane.roll(lane.segments[-1].header.host, NOW_US)
    unwritable(spool)
    assert put(spool, numbers(3, 4)) == [0, 0, 0]
    assert empty.fd is None and empty not in lane.segments and not (directory / empty.name).exists()
    assert drained(spool) == [1, 2, 3, 4, 5, 6] and balanced(spool)


def test_a_segment_that_cannot_be_sealed_loses_nothing(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    unwritable(spool)
    spool.lanes[EVENT].seal()
    assert any("could not be sealed" in note for note in spool.take_notes())
    (sealed,) = spool.lanes[EVENT].segments
    spool.flush(NOW_US)
    assert (directory / sealed.name).stat().st_size == sealed.end + FOOTER_LEN
    assert put(spool, numbers(3, 4)) == [0, 0, 0]
    crashed(spool)
    spool = opened(directory)
    assert drained(spool) == [1, 2, 3, 4, 5, 6] and balanced(spool)


def test_a_file_that_cannot_be_removed_is_removed_later(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    path = segment_files(directory)[0]
    length = path.stat().st_size
    delivered(spool, 2)
    assert spool.take_notes() == []
    path.unlink()
    path.mkdir()  # what is no file can't be unlinked
    before = spool.disk_bytes()
    spool.flush(NOW_US)
    assert any("could not be removed" in note for note in spool.take_notes())
    assert spool.disk_bytes() == before  # its bytes may still be there
    spool.flush(NOW_US)
    assert path.exists() and spool.disk_bytes() == before
    path.rmdir()
    spool.flush(NOW_US)
    assert spool.disk_bytes() == before - length and spool.take_notes() == []
    assert drained(spool) == [3, 4] and balanced(spool)
