# SPDX-License-Identifier: Apache-2.0
"""What goes when the spool is full, which records are carried to safety, and what is with the courier stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import number_of, record, record_id, split
from spooling import (
    EVENT,
    EXPIRY_US,
    HOST,
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
    on_disk,
    opened,
    put,
    segment_files,
    spoil,
)

from telemd import fates
from telemd.segment import FOOTER_LEN, HEADER_LEN, SIZE_MIN, Host
from telemd.spool import Settlement, Spool

HOUR_US = 60 * MINUTE_US
METRIC = 2


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


def test_what_was_delivered_is_not_carried(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a"), of_kind(2, b"a"), of_kind(3, b"b")])
    assert delivered(spool, 1) == [1]
    filled(spool, 101)
    assert [number for number in drained(spool) if number < 100] == [3] and balanced(spool)


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
    spoil(segment_files(directory)[0], 2, one=some[0])
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


def test_what_became_of_the_evicted_is_remembered(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    kinds = [b"a", b"a", b"b", b"b", b"c", b"a", b"b"]
    put(spool, [of_kind(number, kind) for number, kind in enumerate(kinds, 1)])
    filled(spool, 101)
    found = {number: spool.fates.find(record_id(number)) for number in range(1, 8)}
    assert [number for number, fate in found.items() if fate is not None and fate.end == fates.EVICTED] == [2, 4, 6, 7]
    assert len(spool.fates) == spool.accounting()["evicted"]


def test_what_became_of_the_evicted_is_remembered_also_where_nothing_can_be_carried(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    other = Host(b"o" * 16, {"arch": "x86_64"})
    put(spool, [of_kind(1, b"a"), of_kind(2, b"b")])
    for number in range(101, 125):
        assert put(spool, big(number, 1), host=other) == [0]
    found = [spool.fates.find(record_id(number)) for number in (1, 2)]
    assert [fate is not None and fate.end == fates.EVICTED for fate in found] == [True, True]
    assert len(spool.fates) == spool.accounting()["evicted"] and balanced(spool)


def test_what_cannot_be_read_goes_where_nothing_can_be_carried(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a"), of_kind(2, b"b")])
    (path,) = segment_files(directory)
    for number in range(101, 104):  # of another machine id: the first segment is closed
        assert put(spool, big(number, 1), host=Host(b"o" * 16, {})) == [0]
    path.unlink()
    path.mkdir()
    for number in range(104, 125):
        assert put(spool, big(number, 1), host=Host(b"o" * 16, {})) == [0]
    assert spool.fates.find(record_id(1)) is None
    assert spool.accounting()["evicted"] == len(spool.fates) + 2 and balanced(spool)


def test_the_carried_age_from_when_the_clock_was_put_forward(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    after_us = NOW_US + HOUR_US
    put(spool, [of_kind(1, b"a")])
    spool.clock_jumped(HOUR_US)
    put(spool, [of_kind(2, b"b")], after_us - 10 * MINUTE_US)  # stamped by the new clock, at its own time
    put(spool, [of_kind(3, b"c")], after_us)
    for number in range(101, 125):
        assert put(spool, big(number, 1), after_us + HOUR_US) == [0]
    spool.flush(after_us)
    lane = spool.lanes[EVENT]
    assert min(each.admitted_us_min for each in lane.segments) == after_us - 10 * MINUTE_US
    left = drained(spool, now_us=after_us + EXPIRY_US)
    assert [number for number in left if number < 100] == [1, 3]
    assert spool.accounting()["expired"] == 1 and balanced(spool)


def test_nothing_is_carried_where_the_lane_has_no_room(directory: Path) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, [of_kind(1, b"a", 20_000), of_kind(2, b"b", 2_000)])
    spool.lanes[EVENT].seal()
    put(spool, big(101, 2))  # leaves some 6,000 bytes
    vital = 0
    while spool.accounting()["evicted"] == 0:
        vital += 1
        assert put(spool, big(200 + vital, 1), lane=0) == [0] and vital < 20
    assert all(path.stat().st_size <= SIZE_MIN for path in segment_files(directory)) and balanced(spool)
    crashed(spool)
    spool = opened(directory, SMALL_SEGMENTS)
    assert drained(spool) == [101, 102, 2] and balanced(spool)  # 2 still went in
    assert drained(spool, 0) == list(range(201, 201 + vital))
    assert spool.accounting()["damaged"] == 0 and balanced(spool)


@pytest.mark.parametrize(("more", "carried"), [(0, [1]), (8, [])])
def test_what_is_carried_leaves_room_for_the_footer(directory: Path, more: int, carried: list[int]) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    left = SIZE_MIN - HEADER_LEN - FOOTER_LEN - 2 * frame_len(big(101, 1)[0])
    put(spool, [of_kind(1, b"a", left + more - 48 - len(of_kind(1, b"a", 0)))])
    spool.lanes[EVENT].seal()
    put(spool, big(101, 2))
    vital = 0
    while spool.lanes[EVENT].segments[0].first_seq == 1:
        vital += 1
        assert put(spool, big(200 + vital, 1), lane=0) == [0] and vital < 20
    spool.close(NOW_US)
    spool = opened(directory, SMALL_SEGMENTS)
    assert drained(spool) == [101, 102, *carried] and balanced(spool)
    assert spool.accounting()["damaged"] == 0


@pytest.mark.parametrize("held", [False, True])
def test_what_was_missing_before_the_evicted_is_counted_as_damaged(directory: Path, held: bool) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    put(spool, big(1, 12))
    spool.close(NOW_US)
    segment_files(directory)[1].unlink()  # 3 and 4
    segment_files(directory)[2].unlink()  # 7 and 8, now that it is one less
    spool = opened(directory, SMALL_SEGMENTS)
    waiting = spool.head(EVENT, 1, MIB, NOW_US)
    assert waiting is not None
    if held:
        spool.pin(EVENT, waiting)
    assert spool.accounting()["damaged"] == 4 and balanced(spool)
    for number in range(101, 125):
        assert put(spool, big(number, 1)) == [0]
        assert spool.accounting()["damaged"] == 4 and balanced(spool)
    if held:
        spool.settle(EVENT, waiting, Settlement(1, 0))
        spool.pin(EVENT, None)
    left = [number for number in drained(spool) if number < 100]
    assert left == ([2] if held else [1]) and spool.accounting()["damaged"] == 4 and balanced(spool)


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


def test_a_record_keeps_the_machine_id_it_came_under(directory: Path) -> None:
    """The id has rotated since: what can't be carried under the old one is evicted, never sent under the new one."""
    spool = opened(directory, SMALL_SEGMENTS)
    after = Host(b"n" * 16, {"arch": "x86_64"})
    put(spool, [of_kind(1, b"a")])
    for number in range(101, 125):
        assert put(spool, big(number, 1), host=after) == [0]
    assert spool.accounting()["evicted"] > 0 and balanced(spool)
    while (waiting := spool.head(EVENT, 1000, MIB, NOW_US)) is not None:
        assert 1 not in {number_of(one) for one in split(waiting.records)} or waiting.host == HOST
        spool.settle(EVENT, waiting, Settlement(waiting.count, 0))
    assert balanced(spool)


class Killed(BaseException):
    pass


def test_after_a_kill_in_an_eviction_there_is_a_spare_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had become a segment already, and no room was left to make another: without one nothing would be protected
    any more."""
    cap = 512 * 1024
    spool = opened(directory, cap)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("telemd.eviction.evict", lambda *_: (_ for _ in ()).throw(Killed()))
        for number in range(1, 1000):
            put(spool, [record(number, b"p" * 4000)])
    crashed(spool)
    assert not (directory / "spare").exists()
    spool = opened(directory, cap)
    for number in range(1001, 1100):
        put(spool, [record(number, b"p" * 4000)])
    assert (directory / "spare").exists()
    put(spool, [of_kind(2000, b"a")])
    for number in range(2001, 2300):
        assert put(spool, [record(number, b"p" * 4000)]) == [0]
        assert on_disk(directory) <= cap
    left = drained(spool)
    assert 2000 in left
    assert 1100 not in left
    assert balanced(spool)


def test_a_kind_for_every_record_does_not_keep_it_busy_for_ever(directory: Path) -> None:
    """Large records, each the first of its kind: what is carried must leave room for what comes."""
    spool = opened(directory, SMALL_SEGMENTS)
    for number in range(1, 200):
        assert put(spool, [of_kind(number, b"x%d" % number, 65_000)]) == [0]
    assert balanced(spool) and spool.accounting()["evicted"] > 150
    assert drained(spool)[-1] == 199


@pytest.mark.parametrize("length", [27_000, 40_000, 55_000, 60_000, 65_536])
def test_every_size_of_first_records_makes_progress(directory: Path, length: int) -> None:
    spool = opened(directory, SMALL_SEGMENTS)
    for number in range(1, 60):
        assert put(spool, [of_kind(number, b"x%d" % number, length)]) == [0]
    assert balanced(spool) and drained(spool)[-1] == 59


def test_metrics_have_half_the_cap_at_most(directory: Path) -> None:
    spool = opened(directory, 4 * MIB)
    assert put(spool, [record(1, b"p" * 1000, b"org.test/event/first")]) == [0]
    for number in range(2, 102):
        assert put(spool, [record(number, b"m" * 60_000, b"org.test/metric/minute", kind=2)], lane=METRIC) == [0]
        assert spool.lanes[METRIC].disk_bytes() <= 2 * MIB
    assert spool.lanes[EVENT].pending() == 1 and balanced(spool)
    kept = drained(spool, METRIC)
    assert kept[-1] == 101 and len(kept) > 24, "the newest stay, and there is room for half of it"
    assert sorted(kept[-24:]) == list(range(78, 102))
