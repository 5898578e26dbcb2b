# SPDX-License-Identifier: Apache-2.0
"""Where a purge finds room for what it keeps, and what it leaves where the disk fails or telemd is killed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ailingdisk import EIO, AilingDisk, Killed, opened_on
from records import record
from spooling import (
    EVENT,
    NOW_US,
    SMALL_SEGMENTS,
    account,
    balanced,
    big,
    crashed,
    drained,
    evicted,
    numbers,
    on_disk,
    opened,
    put,
    segment_files,
)

from telemd.segment import SIZE_MIN
from telemd.spool import Spool

A, B = b"org.test/unit/record", b"org.other/unit/record"
FAR_CAP = 20 * SIZE_MIN


def mixed(spool: Spool) -> int:
    """Even numbers are of class A, odd ones of class B, and the spool is full; how many there are."""
    for number in range(20):
        if spool.disk_bytes() + SIZE_MIN > spool.cap.bytes and spool.lanes[EVENT].room() < 61_000:
            break
        assert put(spool, big(number, 1, (A, B)[number % 2])) == [0]
    assert evicted(spool) == [0, 0, 0] and number > 10
    return number


def test_a_purge_needs_no_more_than_the_cap(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    count = mixed(spool)
    until = spool.lanes[EVENT].ledger.next_seq
    while not spool.purge(EVENT, A, until, NOW_US).done:
        assert on_disk(directory) <= SMALL_SEGMENTS
    assert disk.bytes_most <= SMALL_SEGMENTS
    assert "rename spare" in disk.done and (directory / "spare").exists()
    assert drained(spool) == list(range(1, count, 2)) and balanced(spool)


def test_a_purge_leaves_the_spare_where_there_is_room(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, FAR_CAP)
    for number in range(8):
        assert put(spool, big(number, 1, (A, B)[number % 2])) == [0]
    until = spool.lanes[EVENT].ledger.next_seq
    while not spool.purge(EVENT, A, until, NOW_US).done:
        assert (directory / "spare").exists()
    assert "rename spare" not in disk.done and drained(spool) == [1, 3, 5, 7]


def test_a_purge_of_a_full_spool_without_a_spare_says_why_it_ends(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    disk.fail("create", "spare", errno.ENOSPC)
    mixed(spool)
    waiting = spool.pending()
    with pytest.raises(
        OSError, match="^.Errno 28. the spool is full, and there is no room to keep the others$"
    ) as said:
        for _ in range(20):
            spool.purge(EVENT, B, spool.lanes[EVENT].ledger.next_seq, NOW_US)
    assert said.value.errno == errno.ENOSPC
    found = account(spool)
    assert found["purged"] + found["pending"] == waiting and found["evicted"] == 0
    assert on_disk(directory) <= SMALL_SEGMENTS


def test_what_a_purge_has_kept_is_not_there_twice_after_a_kill(directory: Path, disk: AilingDisk) -> None:
    """The segment is full in the middle of a piece; the ledger knows what lies in it before the next one begins."""
    spool = opened_on(disk, FAR_CAP)
    for number in range(1, 101):
        assert put(spool, [record(number, b"p" * 1000, (A, B)[number % 2])]) == [0]
    spool.lanes[EVENT].seal()
    assert put(spool, big(201, 2)) == [0, 0]
    assert len(segment_files(directory)) == 2
    disk.kill_at("create", "event-*.seg")
    with pytest.raises(Killed):
        spool.purge(EVENT, A, 101, NOW_US)
    crashed(spool)
    spool = opened(directory, FAR_CAP)
    left = drained(spool)
    assert len(left) == len(set(left)) and set(left) >= {*range(1, 101, 2), 201, 202} and balanced(spool)


def test_what_was_purged_may_stay_in_the_spare_where_that_cannot_be_removed(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, FAR_CAP)
    put(spool, numbers(3))
    disk.fail("unlink", "spare")
    assert spool.purge(EVENT, None, 4, NOW_US).done
    assert spool.take_notes() == [f"the file spare can't be removed {EIO}: what was evicted may still be in it"]
    assert segment_files(directory) == [] and (directory / "spare").exists()


def test_a_purge_leaves_nothing_behind_though_the_ledger_fails_once(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, FAR_CAP)
    put(spool, [record(number, b"secret") for number in range(1, 4)])
    disk.fail("sync", "ledger", times=1)
    assert spool.purge(EVENT, None, 4, NOW_US).done
    assert not any(b"secret" in path.read_bytes() for path in directory.iterdir())
    assert account(spool)["purged"] == 3
