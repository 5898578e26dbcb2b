# SPDX-License-Identifier: Apache-2.0
"""What is next in a lane: what waits for its time, is too old, damaged or missing, and what lies behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import number_of, record, record_id, split
from spooling import (
    EVENT,
    EXPIRY_US,
    MIB,
    MINUTE_US,
    NOW_US,
    SMALL_SEGMENTS,
    balanced,
    big,
    crashed,
    delivered,
    drained,
    frame_len,
    numbers,
    opened,
    put,
    segment_files,
    spoil,
)

from telemd import fates
from telemd.reader import DEFER_MAX_US
from telemd.segment import HEADER_LEN
from telemd.spool import Settlement, Spool

FRAME = frame_len(record(1))
HOUR_US = 60 * MINUTE_US


def seen(spool: Spool, now_us: int, records_max: int = 1000, bytes_max: int = MIB) -> list[int]:
    """The numbers of what could be sent now; nothing of it is."""
    waiting = spool.head(EVENT, records_max, bytes_max, now_us)
    return [number_of(one) for one in split(waiting.records)] if waiting is not None else []


def ended(spool: Spool, end: int, last: int) -> list[int]:
    """Which of the first so many are remembered to have ended so."""
    found = {number: spool.fates.find(record_id(number)) for number in range(1, last + 1)}
    return [number for number, fate in found.items() if fate is not None and fate.end == end]


def test_the_deferred_wait_for_their_time(directory: Path) -> None:
    spool = opened(directory)
    due_us = NOW_US + 15 * MINUTE_US
    put(spool, numbers(2))
    put(spool, numbers(2, 3), not_before_us=due_us)
    assert spool.waits(NOW_US)[EVENT] and spool.deferred_until_us() == []
    assert delivered(spool, 2) == [1, 2]
    assert seen(spool, NOW_US) == []
    assert spool.deferred_until_us() == [due_us]
    assert not spool.waits(due_us - 1)[EVENT] and spool.waits(due_us)[EVENT]
    assert seen(spool, due_us - 1) == []
    assert seen(spool, due_us) == [3, 4]
    assert spool.deferred_until_us() == [] and spool.waits(NOW_US)[EVENT]


def test_the_deferred_behind_the_expired_wait_for_their_time(directory: Path) -> None:
    spool = opened(directory)
    late_us = NOW_US + EXPIRY_US + 1
    put(spool, numbers(3))
    put(spool, numbers(2, 4), late_us, not_before_us=late_us + MINUTE_US)
    assert seen(spool, late_us) == []
    assert spool.accounting()["expired"] == 3 and spool.deferred_until_us() == [late_us + MINUTE_US]
    assert seen(spool, late_us + MINUTE_US) == [4, 5] and balanced(spool)


def test_nobody_waits_for_longer_than_anything_is_deferred(directory: Path) -> None:
    spool = opened(directory)
    due_us = NOW_US + DEFER_MAX_US + MINUTE_US
    put(spool, numbers(3), not_before_us=due_us)
    assert seen(spool, NOW_US + MINUTE_US) == [] and spool.deferred_until_us() == [due_us]
    assert seen(spool, NOW_US + MINUTE_US - 1) == [1]  # its clock was put back: it goes, and the next one in its turn
    assert spool.deferred_until_us() == []


def test_expired_ones_are_counted_batch_by_batch(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(7))
    late_us = NOW_US + EXPIRY_US + 1
    put(spool, numbers(3, 8), late_us)
    assert seen(spool, late_us, records_max=2) == [8, 9]
    assert spool.accounting()["expired"] == 7
    assert ended(spool, fates.EXPIRED, 10) == list(range(1, 8))
    assert drained(spool, now_us=late_us) == [8, 9, 10]
    assert spool.accounting()["damaged"] == 0 and balanced(spool)
    assert spool.take_notes() == [] and not list(directory.glob("quarantine/*"))


def test_what_came_before_the_clock_was_put_forward_ages_from_then(directory: Path) -> None:
    after_us = NOW_US + HOUR_US
    spool = opened(directory)
    put(spool, numbers(2))
    spool.clock_jumped(HOUR_US)
    put(spool, numbers(2, 3), after_us)
    assert seen(spool, after_us + EXPIRY_US) == [1, 2]  # one batch has one shift
    assert delivered(spool, 2, now_us=after_us + EXPIRY_US) == [1, 2]
    assert seen(spool, after_us + EXPIRY_US) == [3, 4]
    assert seen(spool, after_us + EXPIRY_US + 1) == []
    assert spool.accounting()["expired"] == 2 and balanced(spool)


def test_segments_from_before_the_clock_was_put_forward_age_from_then(directory: Path) -> None:
    after_us = NOW_US + HOUR_US
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 2))
    spool.lanes[EVENT].seal()
    spool.clock_jumped(HOUR_US)
    put(spool, big(3, 1), after_us)
    spool.lanes[EVENT].seal()
    put(spool, big(4, 1), after_us)
    assert spool.expire(after_us + EXPIRY_US) == 0
    assert spool.expire(after_us + EXPIRY_US + 1) == 3  # the last one is still being written
    assert balanced(spool)


def test_a_segment_that_spans_the_jump_ages_from_its_last_record(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(2))
    spool.clock_jumped(HOUR_US)
    put(spool, numbers(1, 3), NOW_US + MINUTE_US)
    spool.lanes[EVENT].seal()
    assert spool.expire(NOW_US + MINUTE_US + EXPIRY_US) == 0
    assert spool.expire(NOW_US + MINUTE_US + EXPIRY_US + 1) == 3


def test_of_a_segment_the_waiting_ones_alone_expire(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 6))
    assert delivered(spool, 2) + delivered(spool, 1) == [1, 2, 3]
    assert spool.expire(NOW_US + EXPIRY_US + 1) == 1  # 4; 5 and 6 are in the segment that is being written
    account = spool.accounting()
    assert (account["delivered"], account["expired"], account["pending"]) == (3, 1, 2) and balanced(spool)
    assert ended(spool, fates.EXPIRED, 6) == [4] and len(spool.fates) == 1


def test_what_became_of_the_expired_is_remembered_as_far_as_it_can_be_read(directory: Path) -> None:
    spool = opened(directory)
    for first in (1, 4, 7):
        put(spool, numbers(3, first))
        spool.lanes[EVENT].seal()
    spool.close(NOW_US)
    spoil(segment_files(directory)[1], 1)
    spool = opened(directory)
    assert spool.expire(NOW_US + EXPIRY_US + 1) == 9
    assert ended(spool, fates.EXPIRED, 9) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert len(spool.fates) == 8


def test_of_what_expired_the_last_megabytes_are_read_again(directory: Path) -> None:
    spool = opened(directory, 10 * MIB)
    for first in range(1, 81, 4):
        assert put(spool, big(first, 4)) == [0] * 4  # 20 segments of 240 kB
        spool.lanes[EVENT].seal()
    assert spool.expire(NOW_US + EXPIRY_US + 1) == 80
    known = ended(spool, fates.EXPIRED, 80)
    assert known == list(range(81 - len(known), 81)) and 60 <= len(known) < 72


def test_of_what_expired_is_remembered_what_can_be_read(directory: Path) -> None:
    spool = opened(directory)
    for first in (1, 4, 7):
        put(spool, numbers(3, first))
        spool.lanes[EVENT].seal()
    segment_files(directory)[0].unlink()
    assert spool.expire(NOW_US + EXPIRY_US + 1) == 9
    assert ended(spool, fates.EXPIRED, 9) == [4, 5, 6, 7, 8, 9]


def test_the_ids_of_what_waits(directory: Path) -> None:
    spool = opened(directory)
    late_us = NOW_US + EXPIRY_US + MINUTE_US
    put(spool, numbers(2))
    put(spool, numbers(4, 3), NOW_US + MINUTE_US)
    waiting = spool.head(EVENT, 1000, MIB, late_us)  # behind two that are expired
    assert waiting is not None
    assert waiting.ids(0, 4) == b"".join(record_id(number) for number in range(3, 7))
    assert waiting.ids(1, 2) == record_id(4) + record_id(5)


def test_a_batch_does_not_span_a_jump_of_the_clock(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(5))
    spool.clock_jumped(HOUR_US)
    put(spool, numbers(2, 6), NOW_US + MINUTE_US)
    assert len(segment_files(directory)) == 1
    assert delivered(spool, 2) == [1, 2]
    assert seen(spool, NOW_US + MINUTE_US) == [3, 4, 5]
    assert delivered(spool, 3) == [3, 4, 5]
    assert seen(spool, NOW_US + MINUTE_US) == [6, 7]


def test_expiry_stops_at_a_gap(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 8))
    spool.close(NOW_US)
    segment_files(directory)[1].unlink()
    spool = opened(directory, SMALL_SEGMENTS)
    late_us = NOW_US + EXPIRY_US + 1
    assert spool.expire(late_us) == 2
    assert seen(spool, late_us) == []
    account = spool.accounting()
    assert (account["expired"], account["damaged"], account["pending"]) == (6, 2, 0) and balanced(spool)
    (note,) = spool.take_notes()
    assert note.startswith("2 records of the spool are lost: what lay before event-")


def test_damage_for_which_there_is_no_room_is_said(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(4))
    spool.close(NOW_US)
    (directory / "quarantine").mkdir(exist_ok=True)
    for number in range(64):
        (directory / "quarantine" / str(number)).touch()
    (path,) = segment_files(directory)
    spoil(path, 1)
    spool = opened(directory)
    assert drained(spool) == [1, 3, 4]
    assert any("could not be kept in quarantine/" in note for note in spool.take_notes())


@pytest.mark.parametrize("sent", [1, 2, 9])
def test_a_restart_finds_the_place(directory: Path, sent: int) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    delivered(spool, sent)
    spool.close(NOW_US)
    spool = opened(directory)
    assert drained(spool) == list(range(sent + 1, 11))
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


def test_behind_a_segment_that_was_deleted_it_goes_on_at_once(directory: Path) -> None:
    spool = opened(directory)
    for first in (1, 4, 7):
        put(spool, numbers(3, first))
        spool.lanes[EVENT].seal()
    for path in segment_files(directory)[:2]:
        path.unlink()
    assert seen(spool, NOW_US) == [7, 8, 9]
    assert spool.accounting()["damaged"] == 6 and balanced(spool)


@pytest.mark.parametrize("at", [0, 2, 4])
def test_damage_in_what_was_delivered_harms_nobody(directory: Path, at: int) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    delivered(spool, 5)
    spool.flush(NOW_US)
    spool.close(NOW_US)
    spoil(segment_files(directory)[0], at)
    spool = opened(directory)
    assert drained(spool) == [6, 7, 8, 9, 10]
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


@pytest.mark.parametrize(("at", "left"), [(5, [7, 8, 9, 10]), (7, [6, 7, 9, 10]), (9, [6, 7, 8, 9])])
def test_damage_in_what_waits_is_counted_wherever_it_is(directory: Path, at: int, left: list[int]) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    delivered(spool, 5)
    spool.close(NOW_US)
    path = segment_files(directory)[0]
    spoil(path, at)
    data = path.read_bytes()
    spool = opened(directory)
    assert drained(spool) == left
    assert spool.accounting()["damaged"] == 1 and spool.pending() == 0 and balanced(spool)
    (note,) = spool.take_notes()
    assert note.startswith("1 records of the spool are lost: what lay in event-")
    kept = [path.read_bytes() for path in directory.glob("quarantine/*")]
    assert at == 5 or kept == [data[HEADER_LEN + at * FRAME : HEADER_LEN + (at + 1) * FRAME]]


def test_nothing_good_is_left(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    delivered(spool, 8)
    spool.close(NOW_US)
    spoil(segment_files(directory)[0], 8, 9)
    spool = opened(directory)
    assert drained(spool) == []
    assert spool.accounting()["damaged"] == 2 and spool.pending() == 0 and balanced(spool)


def test_records_that_a_segment_leaves_out_are_counted(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    spool.flush(NOW_US)
    crashed(spool)
    path = segment_files(directory)[0]
    data = path.read_bytes()
    cut = HEADER_LEN + 2 * FRAME
    path.write_bytes(data[:cut] + data[cut + 3 * FRAME :])
    spool = opened(directory)
    assert delivered(spool, 2) == [1, 2]
    assert drained(spool) == [6, 7, 8, 9, 10]
    assert spool.accounting()["damaged"] == 3 and balanced(spool)
    assert any("3 records of the spool are lost" in note for note in spool.take_notes())


def test_a_batch_is_no_larger_than_asked_for(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    length = len(record(1))
    assert seen(spool, NOW_US, bytes_max=3 * length) == [1, 2, 3]
    assert seen(spool, NOW_US, bytes_max=3 * length - 1) == [1, 2]
    assert seen(spool, NOW_US, bytes_max=1) == [1]  # or it would never be sent


def test_what_lies_behind_a_part_of_a_batch_comes_next(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(10))
    waiting = spool.head(EVENT, 8, MIB, NOW_US)
    assert waiting is not None
    spool.settle(EVENT, waiting, Settlement(2, 1))
    spool.settle(EVENT, waiting, Settlement(0, 0))
    assert seen(spool, NOW_US, records_max=2) == [4, 5]
    assert drained(spool) == [4, 5, 6, 7, 8, 9, 10]
    account = spool.accounting()
    assert (account["delivered"], account["rejected"], account["damaged"]) == (9, 1, 0) and balanced(spool)


def test_few_files_are_open_however_many_there_are(directory: Path) -> None:
    spool = opened(directory, 2 * SMALL_SEGMENTS)
    put(spool, big(1, 16))
    for _ in range(8):
        delivered(spool, 2)  # without removing their files
        assert sum(each.fd is not None for each in spool.lanes[EVENT].segments) <= 2
