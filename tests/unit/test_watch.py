# SPDX-License-Identifier: Apache-2.0
"""What telemd keeps while somebody looks: lines, sums, what a slow reader misses; and the way of a traced record."""

from __future__ import annotations

from records import record, record_id

from telemd import watch
from telemd.courierframes import DELIVERED, REASON_BUSY, RETRY
from telemd.intake import Batch
from telemd.trace import TRACE_US, TRACES_MAX, Traces
from telemd.watch import LINES_A_ROUND, LINES_MAX, PAGE_LINES_MAX, PAYLOAD_KEPT_MAX, SOURCES_MAX, WATCH_MS, Watch

NOW_US = 1_780_000_000_000_000


def batch_of(*records: bytes, uid: int = 1000) -> Batch:
    batch = Batch()
    for each in records:
        assert batch.add(each, uid, 0)
    return batch


def test_a_line_says_what_passed() -> None:
    seen = Watch(0, NOW_US)
    batch = batch_of(record(7, classification=b"a/b/c", payload=b"secret"))
    next(iter(batch.runs())).refuse(17)
    seen.take(batch, NOW_US + 5)
    (line,) = seen.page(0).lines
    assert (line.classification, line.uid, line.record_id) == ("a/b/c", 1000, record_id(7))
    assert (line.severity, line.payload_bytes, line.payload) == (1, 6, None)
    assert (line.verdict, line.reason, line.when_us) == (2, 17, NOW_US + 5)


def test_a_payload_is_kept_only_while_somebody_asks_for_it() -> None:
    seen = Watch(0, NOW_US)
    seen.asked(10, with_payload=True)
    seen.take(batch_of(record(1, payload=b"x" * 5000)), NOW_US)
    seen.asked(11 + WATCH_MS)
    seen.take(batch_of(record(2, payload=b"x" * 5000)), NOW_US)
    first, second = seen.page(0).lines
    assert first.payload == b"x" * PAYLOAD_KEPT_MAX
    assert (second.payload, second.payload_bytes) == (None, 5000)


def test_what_isnt_a_record_is_seen_too() -> None:
    seen = Watch(0, NOW_US)
    seen.take(batch_of(b"nonsense", record(1)), NOW_US)
    nonsense, good = seen.page(0).lines
    assert (nonsense.classification, nonsense.uid, nonsense.size, nonsense.severity) == ("", -1, 0, 0)
    assert good.uid == 1000
    unreadable = seen.sums[watch.UNREADABLE, watch.UNKNOWN_UID]
    assert (unreadable.records, unreadable.refused) == (1, 1)


def test_who_begins_sees_what_comes_from_then_on() -> None:
    seen = Watch(0, NOW_US)
    seen.take(batch_of(record(1)), NOW_US)
    begin = seen.page(None)
    assert (begin.lines, begin.next_serial, begin.lost) == ([], 1, 0)
    seen.take(batch_of(record(2)), NOW_US)
    page = seen.page(begin.next_serial)
    assert [line.record_id for line in page.lines] == [record_id(2)]
    assert (page.next_serial, page.lost) == (2, 0)


def test_a_slow_reader_is_told_how_much_it_missed() -> None:
    seen = Watch(0, NOW_US)
    sent = LINES_MAX + 500
    for number in range(sent):
        seen.take(batch_of(record(number)), NOW_US)
    at, got, lost = 0, [], 0
    while at < sent:
        page = seen.page(at)
        assert len(page.lines) <= PAGE_LINES_MAX
        got += [line.serial for line in page.lines]
        lost += page.lost
        at = page.next_serial
    assert lost == 500
    assert got == list(range(500, sent))


def test_of_one_round_the_newest_are_described_and_all_are_counted() -> None:
    seen = Watch(0, NOW_US)
    seen.take(batch_of(*(record(number) for number in range(LINES_A_ROUND + 100))), NOW_US)
    page = seen.page(0)
    assert (len(page.lines), page.lost, page.next_serial) == (LINES_A_ROUND, 100, LINES_A_ROUND + 100)
    (total,) = seen.sums.values()
    assert total.records == LINES_A_ROUND + 100


def test_a_place_in_another_watch_is_no_place_here() -> None:
    seen = Watch(0, NOW_US)
    seen.take(batch_of(record(1)), NOW_US)
    assert len(seen.page(1_000_000).lines) == 1


def test_sums_by_class_and_user_are_bounded() -> None:
    seen = Watch(0, NOW_US)
    for number in range(SOURCES_MAX + 10):
        seen.take(batch_of(record(number, classification=f"a/b/c{number}".encode())), NOW_US)
    assert len(seen.sums) == SOURCES_MAX + 1
    assert seen.sums[watch.OTHERS, watch.UNKNOWN_UID].records == 10
    seen.take(batch_of(record(9999, classification=b"a/b/c0")), NOW_US + 7)
    known = seen.sums["a/b/c0", 1000]
    assert (known.records, known.last_us) == (2, NOW_US + 7)


def test_refused_ones_are_counted_by_their_run() -> None:
    seen = Watch(0, NOW_US)
    batch = batch_of(record(1, classification=b"a/b/c"), record(2, classification=b"x/y/z"))
    runs = list(batch.runs())
    runs[0].refuse(17)
    seen.take(batch, NOW_US)
    # Nothing was made durable here, so that the second counts as refused, too, until the spool says otherwise.
    assert seen.sums["a/b/c", 1000].refused == 1
    assert seen.sums["a/b/c", 1000].size == len(record(1, classification=b"a/b/c"))


# ---- one record's way -----------------------------------------------------------------------------------------------


def test_way_of_a_record() -> None:
    traces = Traces()
    assert not traces
    way = traces.follow(record_id(2), NOW_US)
    assert traces
    ids = record_id(1) + record_id(2)
    traces.taken(ids, NOW_US + 1)
    traces.answered(ids, [(DELIVERED, 0), (RETRY, REASON_BUSY)], 1, "busy", NOW_US + 2)
    traces.settled(NOW_US + 3)
    assert (way.tries, way.taken_us, way.answered_us, way.gone_us) == (1, NOW_US + 1, NOW_US + 2, 0)
    assert (way.verdict, way.reason, way.text) == (RETRY, REASON_BUSY, "busy")
    traces.taken(record_id(2), NOW_US + 4)
    assert (way.tries, way.answered_us) == (2, 0)
    traces.answered(record_id(2), [(DELIVERED, 0)], 1, "", NOW_US + 5)
    traces.settled(NOW_US + 6)
    traces.settled(NOW_US + 7)
    assert (way.verdict, way.answered_us, way.gone_us) == (DELIVERED, NOW_US + 5, NOW_US + 6)
    assert traces.follow(record_id(2), NOW_US + 8) is way


def test_an_id_is_found_only_where_one_begins() -> None:
    traces = Traces()
    way = traces.follow(b"\1" * 16, NOW_US)
    traces.taken(b"\0" * 8 + b"\1" * 16 + b"\0" * 8, NOW_US)
    assert way.tries == 0


def test_traces_are_few_and_end() -> None:
    traces = Traces()
    first = traces.follow(record_id(0), NOW_US)
    for number in range(1, TRACES_MAX + 1):
        traces.follow(record_id(number), NOW_US)
    assert traces.follow(record_id(0), NOW_US) is not first
    traces.taken(b"", NOW_US + TRACE_US + 1)
    assert not traces
