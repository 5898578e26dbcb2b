# SPDX-License-Identifier: Apache-2.0
"""What goes when the spool is full, which records are carried to safety, and what is with the courier stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import record
from spooling import (
    EVENT,
    MIB,
    NOW_US,
    SMALL_SEGMENTS,
    balanced,
    big,
    crashed,
    delivered,
    drained,
    opened,
    put,
    segment_files,
)

from telemd.segment import HEADER_LEN, SIZE_MIN
from telemd.spool import Settlement, Spool


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def filled(spool: Spool, first: int) -> None:
    """Until everything that was there before may have gone."""
    for number in range(first, first + 24):
        assert put(spool, big(number, 1)) == [0]


def of_kind(number: int, kind: bytes, length: int = 100) -> bytes:
    return record(number, b"p" * length, b"org.test/kind/" + kind)


def test_the_first_of_each_kind_is_carried_and_nothing_else(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a"), of_kind(2, b"a"), of_kind(3, b"b"), of_kind(4, b"a"), of_kind(5, b"c")])
    filled(spool, 101)
    assert spool.accounting()["damaged"] == 0 and balanced(spool)
    left = drained(spool)
    assert sorted(number for number in left if number < 100) == [1, 3, 5]
    assert [number for number in left if number > 101] == sorted(number for number in left if number > 101)
    assert balanced(spool)


def test_the_first_of_a_kind_is_found_behind_others(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a")])
    spool.lanes[EVENT].seal()
    put(spool, [of_kind(2, b"a"), of_kind(3, b"b")])
    filled(spool, 101)
    assert [number for number in drained(spool) if number < 100] in ([1, 3], [3, 1])


def test_what_is_carried_takes_half_a_segment_at_most(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a", 40_000), of_kind(2, b"b", 40_000), of_kind(3, b"c", 20_000)])
    filled(spool, 101)
    assert [number for number in drained(spool) if number < 100] == [1, 3] and balanced(spool)


def test_what_does_not_go_into_half_a_segment_is_not_carried(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    half = SIZE_MIN // 2
    length = half - 48 - len(of_kind(1, b"a", 0))
    assert length % 8 == 0 or (48 + len(of_kind(1, b"a", length)) + 7) // 8 * 8 == half
    put(spool, [of_kind(1, b"a", length), of_kind(2, b"b", length + 8)])
    filled(spool, 101)
    assert [number for number in drained(spool) if number < 100] == [1] and balanced(spool)


def test_carried_records_outlive_a_kill(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a"), of_kind(2, b"b")])
    filled(spool, 101)
    before = spool.accounting()
    crashed(spool)
    spool = opened(directory, SMALL_SEGMENTS)
    after = spool.accounting()
    assert (after["pending"], after["evicted"]) == (before["pending"], before["evicted"]) and balanced(spool)
    assert sorted(number for number in drained(spool) if number < 100) == [1, 2]
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


def test_the_first_of_a_damaged_segment_are_carried(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    some = [of_kind(number, b"%d" % number) for number in range(1, 6)]
    put(spool, some)
    spool.close(NOW_US)
    path = segment_files(directory)[0]
    data = bytearray(path.read_bytes())
    frame = (48 + len(some[0]) + 7) // 8 * 8
    data[HEADER_LEN + 2 * frame + 100] ^= 0xFF
    path.write_bytes(data)
    spool = opened(directory, SMALL_SEGMENTS)
    filled(spool, 101)
    assert balanced(spool)
    assert sorted(number for number in drained(spool) if number < 100) == [1, 2, 4, 5]
    assert balanced(spool)


@pytest.mark.parametrize(("sent", "count"), [(0, 1), (0, 2), (2, 1), (2, 2)])
def test_no_segment_of_which_something_is_with_the_courier_goes(directory: Path, sent: int, count: int) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 6))  # two in each segment
    if sent:
        delivered(spool, sent)
    waiting = spool.head(EVENT, count, MIB, NOW_US)
    assert waiting is not None and waiting.count == count
    spool.pin(EVENT, waiting)
    filled(spool, 101)
    assert spool.accounting()["evicted"] > 0 and balanced(spool)
    spool.settle(EVENT, waiting, Settlement(count, 0))
    spool.pin(EVENT, None)
    assert spool.accounting()["delivered"] == sent + count and balanced(spool)
    left = [number for number in drained(spool) if number < 100]
    assert left == [sent + 2] * (count == 1)  # the other one of its segment
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


def test_the_last_of_a_segment_is_with_the_courier(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 6))
    delivered(spool, 1)
    waiting = spool.head(EVENT, 1, MIB, NOW_US)
    assert waiting is not None and waiting.first_seq == 2
    spool.pin(EVENT, waiting)
    filled(spool, 101)
    spool.settle(EVENT, waiting, Settlement(1, 0))
    account = spool.accounting()
    assert account["delivered"] == 2 and account["evicted"] > 0 and balanced(spool)


def test_what_was_delivered_goes_uncounted(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 12))
    for _ in range(5):
        delivered(spool, 2)  # their files are still there
    assert put(spool, big(13, 6)) == [0] * 6
    assert spool.accounting()["evicted"] == 0 and balanced(spool)
    assert drained(spool) == list(range(11, 19))


def test_a_hole_that_grows_is_one_hole(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 4))
    waiting = spool.head(EVENT, 1, MIB, NOW_US)
    assert waiting is not None
    spool.pin(EVENT, waiting)
    filled(spool, 101)  # evicted, segment by segment, behind the one that is in flight
    crashed(spool)
    spool = opened(directory, SMALL_SEGMENTS)
    assert balanced(spool)
    left = drained(spool)
    assert left[:2] == [1, 2] and left[-1] == 124 and len(left) == len(set(left))
    account = spool.accounting()
    assert account["damaged"] == 0 and account["evicted"] == 28 - len(left) and balanced(spool)
