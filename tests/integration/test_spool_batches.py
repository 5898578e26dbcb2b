# SPDX-License-Identifier: Apache-2.0
"""What a batch from the head of a lane tells of itself: how many go the same way, what is cut off it, what stays."""

from __future__ import annotations

from pathlib import Path

from naming import format5_naming
from records import number_of, record_id, split
from spooling import (
    EVENT,
    EXPIRY_US,
    HOST,
    MIB,
    MINUTE_US,
    NOW_US,
    SMALL_SEGMENTS,
    account,
    big,
    crashed,
    delivered,
    drained,
    frame_len,
    numbers,
    opened,
    put,
    segment_files,
)

from telemd import fates
from telemd.intake import Batch
from telemd.reader import Waiting
from telemd.segment import HEADER_LEN
from telemd.spool import Settlement, Spool

FIRST, SECOND = b"/etc/one.conf", b"/etc/other.conf"
ROOT, USER = 0, 1000


def put_of(spool: Spool, one: bytes, uid: int) -> None:
    """Sent by that user."""
    batch = Batch()
    assert batch.add(one, uid, 0)
    for run in batch.runs():
        run.accept(EVENT)
    spool.append(batch, {EVENT}, HOST, NOW_US)
    assert [reason for _, reason in batch.results()] == [0]


def head(spool: Spool, now_us: int = NOW_US) -> Waiting:
    waiting = spool.head(EVENT, 1000, MIB, now_us)
    assert waiting is not None
    return waiting


def test_those_that_name_the_same_file_go_together(directory: Path) -> None:
    """As long as it is the same user who does."""
    spool = opened(directory)
    put(spool, numbers(2))
    for number, (path, uid) in enumerate(
        [(FIRST, ROOT), (FIRST, ROOT), (SECOND, ROOT), (SECOND, USER), (SECOND, USER), (SECOND, USER)], 3
    ):
        put_of(spool, format5_naming(path, number), uid)
    put_of(spool, numbers(1, 9)[0], USER)
    waiting = head(spool)
    assert waiting.count == 9
    assert waiting.named(0)[:2] == (2, b"")
    assert waiting.named(1)[:2] == (1, b"")
    assert waiting.named(2) == (2, FIRST, ROOT)
    assert waiting.named(3) == (1, FIRST, ROOT)
    assert waiting.named(4) == (1, SECOND, ROOT)
    assert waiting.named(5) == (3, SECOND, USER)
    assert waiting.named(8)[:2] == (1, b"")


def test_that_holds_behind_the_expired_too(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(2))
    late_us = NOW_US + EXPIRY_US + MINUTE_US
    batch = Batch()
    for number in (3, 4, 5):
        assert batch.add(format5_naming(FIRST if number < 5 else SECOND, number), ROOT, 0)
    for run in batch.runs():
        run.accept(EVENT)
    spool.append(batch, {EVENT}, HOST, late_us)
    waiting = head(spool, late_us)
    assert spool.accounting()["expired"] == 2 and waiting.count == 3
    assert waiting.named(0) == (2, FIRST, ROOT) and waiting.named(2) == (1, SECOND, ROOT)


def test_what_is_cut_off_a_batch_comes_next(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(2))
    put(spool, numbers(5, 3), NOW_US + MINUTE_US)
    late_us = NOW_US + EXPIRY_US + 1  # the first two are expired
    waiting = head(spool, late_us)
    assert waiting.count == 5
    waiting.cut(5)
    assert [number_of(one) for one in split(waiting.records)] == [3, 4, 5, 6, 7]
    waiting.cut(3)
    assert waiting.count == 3 and [number_of(one) for one in split(waiting.records)] == [3, 4, 5]
    assert waiting.ids(0, 3) == b"".join(record_id(number) for number in (3, 4, 5))
    assert waiting.named(1)[0] == 2
    waiting.cut(4)  # no more than there are
    assert waiting.count == 3
    spool.settle(EVENT, waiting, Settlement(3, 0))
    assert drained(spool, now_us=late_us) == [6, 7]
    found = account(spool)
    assert (found["delivered"], found["expired"], found["damaged"]) == (5, 2, 0)


def test_a_batch_begins_with_the_number_that_its_first_record_has(directory: Path) -> None:
    """Also behind a gap: what is missing there is neither delivered nor damaged bytes to be kept."""
    spool = opened(directory)
    put(spool, numbers(10))
    spool.flush(NOW_US)
    crashed(spool)
    (path,) = segment_files(directory)
    data = path.read_bytes()
    at, length = HEADER_LEN + 2 * frame_len(numbers(1)[0]), 3 * frame_len(numbers(1)[0])
    path.write_bytes(data[:at] + data[at + length :])
    spool = opened(directory)
    assert delivered(spool, 2) == [1, 2]
    waiting = head(spool)
    assert (waiting.first_seq, waiting.count) == (6, 5)
    spool.settle(EVENT, waiting, Settlement(5, 0))
    found = account(spool)
    assert (found["delivered"], found["damaged"], found["pending"]) == (7, 3, 0)
    (note,) = spool.take_notes()
    assert note == f"3 records of the spool are lost: what lay in {path.name} is missing"
    assert not list(directory.glob("quarantine/*"))


def test_of_what_expired_in_many_segments_the_last_are_remembered(directory: Path) -> None:
    """In the order in which they came: what comes later pushes the oldest out."""
    spool = opened(directory)
    for first in (1, 101):
        put(spool, numbers(100, first))
        spool.lanes[EVENT].seal()
    assert spool.expire(NOW_US + EXPIRY_US + 1) == 200
    spool.fates.add(bytes(16) * (fates.FATES_MAX - 100), fates.DELIVERED, NOW_US)
    assert [spool.fates.find(record_id(number)) is not None for number in (1, 100, 101, 200)] == [False] * 2 + [
        True
    ] * 2


def test_what_is_moved_behind_is_sent_last_and_once(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(6))
    assert spool.move_behind(EVENT, 2, MIB, NOW_US) == 2
    assert drained(spool) == [3, 4, 5, 6, 1, 2]
    found = account(spool)
    assert (found["admitted"], found["delivered"]) == (6, 6)


def test_what_is_moved_behind_goes_over_segments(directory: Path) -> None:
    spool = opened(directory, 4 * SMALL_SEGMENTS)
    put(spool, big(1, 6))
    moved = 0
    while moved < 4:
        moved += spool.move_behind(EVENT, 4 - moved, MIB, NOW_US)
    assert segment_files(directory)
    assert drained(spool) == [5, 6, 1, 2, 3, 4] and account(spool)["delivered"] == 6


def test_moving_nothing(directory: Path) -> None:
    assert opened(directory).move_behind(EVENT, 5, MIB, NOW_US) == 0
