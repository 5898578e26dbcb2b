# SPDX-License-Identifier: Apache-2.0
"""At the cap: what goes and what stays, who is refused, and what the ledger knows before a file goes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ailingdisk import EIO, AilingDisk, opened_on
from records import record
from spooling import (
    EVENT,
    METRIC,
    MIB,
    NOW_US,
    SMALL_SEGMENTS,
    VITAL,
    account,
    balanced,
    big,
    crashed,
    delivered,
    drained,
    evicted,
    frame_len,
    numbers,
    on_disk,
    opened,
    put,
    segment_files,
)

from telemd.room import STUCK_MAX
from telemd.segment import SIZE_MIN
from telemd.spool import REASON_IO, REASON_NO_SPACE, Spool

LEDGER_UNWRITTEN = f"the spool's ledger could not be written {EIO}: it is tried again"


def pinned(spool: Spool, lane: int) -> None:
    """All of it is with the courier."""
    spool.lanes[lane].in_flight_to = spool.lanes[lane].ledger.next_seq - 1


def filled(spool: Spool, lane: int, first: int = 1) -> int:
    """Records until just before one would have to go; how many those are."""
    count = 0
    while spool.disk_bytes() + SIZE_MIN <= spool.cap.bytes or spool.lanes[lane].room() >= frame_len(big(1, 1)[0]):
        assert put(spool, big(first + count, 1), lane=lane) == [0]
        count += 1
    assert evicted(spool) == [0, 0, 0]
    return count


# -- the ledger first --


def test_no_file_goes_before_the_ledger_is_synced(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    drained(spool)
    for number in range(5, 35):
        put(spool, big(number, 1))
    gone = [at for at, call in enumerate(disk.done) if call.split()[0] in ("unlink", "recycle") and "event" in call]
    assert len(gone) > 10 and sum(evicted(spool)) > 10
    for at in gone:
        last = next(call for call in reversed(disk.done[:at]) if "ledger" in call or "append" in call)
        assert last == "sync ledger", disk.done[at - 5 : at + 1]


def test_a_ledger_that_cannot_be_written_is_said_once_and_keeps_every_file(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    delivered(spool, 2)
    disk.fail("sync", "ledger")
    for _ in range(3):
        spool.flush(NOW_US)
    assert spool.take_notes() == [LEDGER_UNWRITTEN]
    assert len(segment_files(directory)) == 2
    disk.heal()
    spool.flush(NOW_US)
    assert len(segment_files(directory)) == 1 and spool.take_notes() == []
    crashed(spool)
    spool = opened(directory, SMALL_SEGMENTS)
    assert drained(spool) == [3, 4] and balanced(spool)


def test_it_is_said_once_though_records_go_on_coming(disk: AilingDisk) -> None:
    """And once more when it was well in between."""
    spool = opened_on(disk, SMALL_SEGMENTS)
    for _ in range(2):
        disk.fail("sync", "ledger")
        for number in range(3):
            assert put(spool, numbers(1, number)) == [0]
            spool.flush(NOW_US)
        assert spool.take_notes() == [LEDGER_UNWRITTEN]
        disk.heal()
        spool.flush(NOW_US)


def test_a_ledger_that_cannot_be_written_may_mean_that_the_spool_is_another_one(
    directory: Path, disk: AilingDisk
) -> None:
    spool = opened_on(disk)
    put(spool, numbers(3))
    disk.fail("write", "ledger")
    spool.flush(NOW_US)
    assert not spool.is_lost()
    directory.rename(directory.with_name("before"))
    directory.mkdir(mode=0o700)
    assert not spool.is_lost()  # as long as it can be written nobody looks
    spool.flush(NOW_US)
    assert spool.is_lost()


def test_nothing_is_evicted_as_long_as_the_ledger_cannot_be_written(disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    count = filled(spool, EVENT)
    disk.fail("write", "ledger")
    assert put(spool, big(101, 2)) == [REASON_IO, REASON_IO]
    assert evicted(spool) == [0, 0, 0]
    disk.heal()
    assert put(spool, big(103, 2)) == [0, 0]
    left = drained(spool)
    assert left[-2:] == [103, 104] and len(left) + sum(evicted(spool)) == count + 2


def test_what_is_delivered_goes_before_anything_is_evicted_where_the_ledger_can_be_written(
    directory: Path, disk: AilingDisk
) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    filled(spool, EVENT)
    delivered(spool, 2)
    delivered(spool, 2)
    disk.fail("sync", "ledger")
    files = segment_files(directory)
    assert put(spool, big(101, 2)) == [REASON_IO, REASON_IO]
    assert set(files) <= set(segment_files(directory))
    assert "records are refused: the spool's ledger can't be written" in spool.take_notes()
    disk.heal()
    assert put(spool, big(103, 2)) == [0, 0]
    assert not set(files[:2]) & set(segment_files(directory)) and evicted(spool) == [0, 0, 0]


def test_what_was_evicted_counts_though_the_ledger_could_not_be_synced(directory: Path, disk: AilingDisk) -> None:
    """One segment is the price, however long that lasts; its file goes with the first ledger that is synced."""
    spool = opened_on(disk, SMALL_SEGMENTS)
    filled(spool, EVENT)
    oldest = segment_files(directory)[0]
    disk.fail("sync", "ledger")
    told = [put(spool, big(number, 1))[0] for number in range(101, 110)]
    assert told == [0] + [REASON_IO] * 8  # one has room in what had been set aside, beside one that was carried
    assert oldest.exists() and evicted(spool) == [0, 1, 0]
    notes = spool.take_notes()
    assert sorted(notes) == ["records are refused: the spool's ledger can't be written", LEDGER_UNWRITTEN]
    assert on_disk(directory) <= SMALL_SEGMENTS
    disk.heal()
    assert put(spool, big(110, 1)) == [0]
    assert not oldest.exists() and on_disk(directory) <= SMALL_SEGMENTS
    before = account(spool)
    crashed(spool)
    spool = opened(directory, SMALL_SEGMENTS)
    assert account(spool)["evicted"] == before["evicted"]
    assert drained(spool)[-3:] == [1, 101, 110]


# -- whose place it is --


def test_everything_is_with_the_courier(disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    filled(spool, EVENT)
    pinned(spool, EVENT)
    for number in range(101, 104):
        assert put(spool, big(number, 1)) == [REASON_NO_SPACE]
    assert spool.take_notes() == ["records are refused: the spool is full, and nothing in it may make room"]
    assert evicted(spool) == [0, 0, 0]


def test_events_never_take_the_place_of_crashes(disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    filled(spool, VITAL)
    for number in range(101, 104):
        assert put(spool, big(number, 1)) == [REASON_NO_SPACE]
    assert evicted(spool) == [0, 0, 0]


@pytest.mark.parametrize(("lower", "newcomer"), [(METRIC, EVENT), (METRIC, VITAL), (EVENT, VITAL)])
def test_what_is_being_written_in_a_lower_lane_goes_where_nothing_else_may(
    disk: AilingDisk, lower: int, newcomer: int
) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    assert put(spool, big(1, 1), lane=lower) == [0]
    filled(spool, VITAL)
    pinned(spool, VITAL)
    assert put(spool, big(101, 2), lane=newcomer) == [0, 0]
    assert spool.lanes[lower].ledger.evicted == sum(evicted(spool)) == 1
    assert spool.take_notes() == []


def test_what_was_to_go_was_deleted_by_somebody(directory: Path, disk: AilingDisk) -> None:
    """There is room then, and nobody is told of a failure."""
    spool = opened_on(disk, SMALL_SEGMENTS)
    count = filled(spool, EVENT)
    gone = segment_files(directory)[:4]
    for path in gone:
        path.unlink()
    assert put(spool, big(101, 8)) == [0] * 8
    assert spool.take_notes() == [
        f"segment {path.name} was deleted by somebody: what waited in it is lost" for path in gone
    ]
    assert spool.accounting()["damaged"] > 0 and balanced(spool)
    left = drained(spool)
    assert left[-8:] == list(range(101, 109))
    assert spool.accounting()["damaged"] + sum(evicted(spool)) == count + 8 - len(left)


@pytest.mark.parametrize(("less", "kept"), [(0, True), (2, False)])
def test_metrics_have_half_the_cap_and_not_a_byte_more(directory: Path, less: int, kept: bool) -> None:
    cap = 16 * SIZE_MIN
    spool = opened(directory, cap)
    assert put(spool, [record(1, b"m" * 60_000, b"org.test/metric/minute", kind=2)], lane=METRIC) == [0]
    spool.lanes[METRIC].seal()
    half = spool.lanes[METRIC].disk_bytes() + SIZE_MIN
    spool.cap.bytes = 2 * half - less
    assert put(spool, [record(2, b"m" * 100, b"org.test/metric/minute", kind=2)], lane=METRIC) == [0]
    spool.flush(NOW_US)
    assert (len(segment_files(directory)) == 2) == kept and balanced(spool)


def test_metrics_over_their_share_take_nobody_elses_place(directory: Path) -> None:
    """Also where all of theirs is with the courier."""
    spool = opened(directory, 4 * MIB)
    assert put(spool, big(1, 4)) == [0] * 4
    spool.lanes[EVENT].seal()
    number = 100
    while spool.lanes[METRIC].disk_bytes() + spool.cap.segment_size < 2 * MIB:
        number += 1
        assert put(spool, big(number, 1), lane=METRIC) == [0]
    pinned(spool, METRIC)
    before = len(segment_files(directory))
    while len(segment_files(directory)) == before:
        number += 1
        assert put(spool, big(number, 1), lane=METRIC) == [0]
    assert spool.lanes[METRIC].disk_bytes() > 2 * MIB
    assert evicted(spool) == [0, 0, 0] and drained(spool) == [1, 2, 3, 4]


# -- files that can't be removed, or made of others --


def test_what_was_evicted_is_removed_where_it_cannot_be_used_again(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk, SMALL_SEGMENTS)
    count = filled(spool, EVENT)
    disk.fail("recycle")
    for number in range(101, 121):
        assert put(spool, big(number, 1), NOW_US + number) == [0]
        assert on_disk(directory) == spool.disk_bytes() <= SMALL_SEGMENTS
    left = drained(spool)
    assert left[-1] == 120 and len(left) + sum(evicted(spool)) == count + 20
    crashed(spool)
    spool = opened(directory, SMALL_SEGMENTS)
    assert drained(spool) == [] and balanced(spool)


def test_without_a_spare_the_cap_holds_all_the_same(directory: Path, disk: AilingDisk) -> None:
    spool = without_anything_aside(disk, SMALL_SEGMENTS)
    count = filled(spool, EVENT)
    for number in range(101, 121):
        assert put(spool, big(number, 1), NOW_US + number) == [0]
        assert on_disk(directory) <= SMALL_SEGMENTS
    left = drained(spool)
    assert left[-1] == 120 and len(left) + sum(evicted(spool)) == count + 20


def without_anything_aside(disk: AilingDisk, cap_bytes: int) -> Spool:
    """No spare, and what is evicted doesn't become one."""
    spool = opened_on(disk, cap_bytes)
    disk.fail("create", "spare", errno.ENOSPC)
    disk.fail("recycle")
    return spool


def test_a_disk_that_fails_costs_no_more_than_the_cap_does(disk: AilingDisk) -> None:
    """One segment had to go; that the next one can't be made is no reason to let another go."""
    spool = without_anything_aside(disk, SMALL_SEGMENTS)
    assert put(spool, big(1, 4), lane=METRIC) == [0] * 4
    spool.lanes[METRIC].seal()
    filled(spool, EVENT)
    disk.fail("create", "vital-*")
    assert put(spool, big(101, 2), lane=VITAL) == [REASON_IO] * 2
    assert evicted(spool) == [0, 0, 2]


def test_what_may_go_is_not_enough(directory: Path, disk: AilingDisk) -> None:
    """What may not go stays all the same."""
    spool = without_anything_aside(disk, SMALL_SEGMENTS)
    for lane in (VITAL, METRIC):
        assert put(spool, big(1, 2), lane=lane) == [0, 0]
        spool.lanes[lane].seal()
    filled(spool, EVENT)
    pinned(spool, EVENT)
    disk.fail("unlink", "*.seg")
    assert put(spool, big(101, 2)) == [REASON_NO_SPACE] * 2
    assert evicted(spool) == [0, 0, 2]
    why = "the spool is full, and nothing more in it may make room"
    assert spool.take_notes()[0] == f"records are refused: {why}"
    disk.heal()
    spool.flush(NOW_US)
    assert put(spool, big(103, 1)) == [0]
    assert on_disk(directory) == spool.disk_bytes() <= SMALL_SEGMENTS and evicted(spool) == [0, 0, 2]


def test_where_no_file_can_be_removed_not_everything_goes_for_nothing(directory: Path, disk: AilingDisk) -> None:
    spool = without_anything_aside(disk, SMALL_SEGMENTS)
    count = filled(spool, EVENT)
    disk.fail("unlink", "*.seg")
    for number in range(101, 121):
        assert put(spool, big(number, 1)) == [REASON_NO_SPACE]
    assert sum(evicted(spool)) <= 2 * STUCK_MAX < count
    assert on_disk(directory) == spool.disk_bytes() <= SMALL_SEGMENTS
    disk.heal()
    spool.flush(NOW_US)
    assert put(spool, big(121, 2)) == [0, 0]
    left = drained(spool)
    assert left[-2:] == [121, 122] and len(left) + sum(evicted(spool)) == count + 2
