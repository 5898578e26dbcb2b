# SPDX-License-Identifier: Apache-2.0
"""A disk that others have filled up, far below the cap: nothing goes, but what is worth less for what is worth more."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ailingdisk import EIO, FOLDER, AilingDisk, open_files, opened_on
from records import record
from spooling import (
    EVENT,
    METRIC,
    NOW_US,
    VITAL,
    balanced,
    big,
    crashed,
    drained,
    evicted,
    frame_len,
    numbers,
    on_disk,
    opened,
    put,
    segment_files,
)

from telemd.segment import FOOTER_LEN, HEADER_LEN, SIZE_MIN
from telemd.spool import REASON_IO, REASON_NO_SPACE, Spool

FAR_CAP = 20 * SIZE_MIN


def full(disk: AilingDisk, directory: Path, *, leave: int = 0) -> None:
    disk.capacity = on_disk(directory) + leave


def test_a_spare_that_cannot_be_made_is_said_unless_there_is_no_room(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, FAR_CAP)
    disk.fail("create", "spare")
    assert put(spool, big(1, 2)) == [0, 0]
    assert spool.take_notes() == [f"no segment could be set aside {EIO}, ignoring"]
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        disk.fail("create", "spare", code)
        assert put(spool, big(3, 2)) == [0, 0]
        assert spool.take_notes() == []
    disk.heal()
    assert put(spool, big(5, 2)) == [0, 0]
    assert (directory / "spare").stat().st_size == SIZE_MIN


def test_a_disk_that_fails_is_no_reason_to_let_anything_go(directory: Path, disk: AilingDisk) -> None:
    """Nor to take what is set aside for a full one."""
    spool = opened_on(disk, FAR_CAP)
    several(spool, directory)
    disk.fail("create", "*.seg")
    assert put(spool, big(41, 2), lane=VITAL) == [REASON_IO] * 2
    assert (directory / "spare").exists() and evicted(spool) == [0, 0, 0]
    disk.heal()
    disk.fail("create", "*", errno.ENOSPC)
    assert put(spool, big(43, 2), lane=VITAL) == [0, 0]  # now it is taken
    assert not (directory / "spare").exists()
    disk.heal()
    disk.fail("create", "*.seg")
    assert put(spool, big(45, 2), lane=VITAL) == [REASON_IO] * 2
    assert evicted(spool) == [0, 0, 0]


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_segment_that_cannot_be_begun_leaves_no_file(directory: Path, disk: AilingDisk, call: str) -> None:
    spool = opened_on(disk, FAR_CAP)
    before = open_files(directory)
    disk.fail(call, "*.seg" if call == "write" else FOLDER)
    assert put(spool, numbers(2)) == [REASON_IO] * 2
    assert segment_files(directory) == [] and open_files(directory) == before
    disk.heal()
    assert put(spool, numbers(2)) == [0, 0] and drained(spool) == [1, 2]


def several(spool: Spool, directory: Path) -> None:
    """Two segments in each lane, the last ones open; no spare any more."""
    for lane, first in ((VITAL, 1), (EVENT, 11), (METRIC, 21)):
        assert put(spool, big(first, 4), lane=lane) == [0] * 4
    assert len(segment_files(directory)) == 6


def without_spare(disk: AilingDisk, directory: Path, spool: Spool) -> None:
    full(disk, directory)
    assert put(spool, big(31, 2), lane=VITAL) == [0, 0]  # into what was set aside
    assert not (directory / "spare").exists() and evicted(spool) == [0, 0, 0]


@pytest.mark.parametrize("lane", [VITAL, EVENT, METRIC])
def test_a_full_disk_is_a_reason_to_let_the_lowest_lane_go(directory: Path, disk: AilingDisk, lane: int) -> None:
    """But never one's own."""
    spool = opened_on(disk, FAR_CAP)
    several(spool, directory)
    without_spare(disk, directory, spool)
    reasons = put(spool, big(41, 2), lane=lane)
    if lane == METRIC:
        assert reasons == [REASON_NO_SPACE] * 2 and evicted(spool) == [0, 0, 0]
        assert "records are refused: No space left on device" in spool.take_notes()
    else:
        assert reasons == [0, 0] and evicted(spool) == [0, 0, 2]
    assert on_disk(directory) <= disk.capacity
    assert drained(spool, VITAL)[:6] == [1, 2, 3, 4, 31, 32] and drained(spool, EVENT)[:4] == [11, 12, 13, 14]


@pytest.mark.parametrize("recycled", [True, False])
def test_on_a_full_disk_the_evicted_make_room_at_once(directory: Path, disk: AilingDisk, recycled: bool) -> None:
    """Their file is the next one, or it is removed and another made."""
    spool = opened_on(disk, FAR_CAP)
    several(spool, directory)
    without_spare(disk, directory, spool)
    disk.capacity += SIZE_MIN // 4  # for what a closed segment is shorter than an open one
    metrics = sorted(directory.glob("metric-*"))
    before = len(disk.done)
    if not recycled:
        disk.fail("recycle")
    assert put(spool, big(41, 2), NOW_US + 1, lane=VITAL) == [0, 0]
    assert [path.exists() for path in metrics] == [False, True]
    assert evicted(spool) == [0, 0, 2]
    assert any(call.startswith("create vital") for call in disk.done[before:]) != recycled
    assert put(spool, big(43, 1), NOW_US + 2, lane=VITAL) == [0]
    crashed(spool)
    spool = opened(directory, FAR_CAP)
    assert drained(spool, VITAL) == [1, 2, 3, 4, 31, 32, 41, 42, 43]
    assert drained(spool, METRIC) == [23, 24] and balanced(spool)


def test_on_a_full_disk_what_is_being_written_goes_where_nothing_else_may(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, FAR_CAP)
    assert put(spool, big(31, 2), lane=VITAL) == [0, 0]
    assert put(spool, big(1, 2)) == [0, 0]
    full(disk, directory, leave=SIZE_MIN // 4)
    assert put(spool, big(33, 2), lane=VITAL) == [0, 0]  # into what was set aside
    assert put(spool, big(35, 2), lane=VITAL) == [0, 0]
    assert evicted(spool) == [0, 2, 0]
    assert put(spool, big(37, 2), lane=VITAL) == [REASON_NO_SPACE] * 2
    assert drained(spool, VITAL) == [31, 32, 33, 34, 35, 36] and balanced(spool)


@pytest.mark.parametrize(("more", "carried"), [(0, [51]), (8, [])])
def test_what_is_carried_on_a_full_disk_may_fill_its_segment(
    directory: Path, disk: AilingDisk, more: int, carried: list[int]
) -> None:
    """Who comes needs nothing of it: that is another lane."""
    spool = opened_on(disk, FAR_CAP)
    left = SIZE_MIN - HEADER_LEN - FOOTER_LEN - 2 * frame_len(big(61, 1)[0])
    kind = b"org.test/kind/first"
    assert put(spool, [record(51, b"f" * (left + more - 48 - len(record(51, b"", kind))), kind)], lane=EVENT) == [0]
    spool.lanes[EVENT].seal()
    assert put(spool, big(61, 2), lane=EVENT) == [0, 0]
    full(disk, directory)
    assert put(spool, big(31, 2), lane=VITAL) == [0, 0]  # into what was set aside
    full(disk, directory, leave=SIZE_MIN - 12_000)  # enough with what the evicted one gives, not without
    assert put(spool, big(33, 2), lane=VITAL) == [0, 0]
    assert drained(spool, EVENT) == [61, 62, *carried]
    assert evicted(spool) == [0, 1 - len(carried), 0] and drained(spool, VITAL) == [31, 32, 33, 34]
