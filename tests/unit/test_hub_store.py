# SPDX-License-Identifier: Apache-2.0
"""telemhub.store.sqlite: each record once, all of a batch or nothing, and pages that neither repeat nor skip."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import wait
from typing import TYPE_CHECKING

import pytest
from hubbatch import CREATED_US, MACHINE, OTHER_MACHINE, host_line, line, ndjson, record_id

from telemhub.ingest import read_batch
from telemhub.query import Query
from telemhub.store import PAGE_BYTES_MAX, Unavailable
from telemhub.store.schema import FILE_NAME
from telemhub.store.sqlite import CannotOpen, SqliteStore
from telemhub.store.writer import WAITING_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from telemhub.records import Record
    from telemhub.store import StoredRecord

TIMEOUT_S = 60
MIB = 1024 * 1024


def records(*numbers: int, machine: str = MACHINE, **changes: Any) -> list[Record]:
    return read_batch(ndjson(host_line(machine), *(line(number, **changes) for number in numbers))).records()


def numbers(found: list[StoredRecord]) -> list[int]:
    return [int.from_bytes(record.id[9:], "big") for record in found]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    one = SqliteStore(tmp_path / "hub")
    yield one
    one.close()


def add(store: SqliteStore, *numbers: int, received_us: int = 7, **changes: Any) -> list[bool]:
    return store.add(records(*numbers, **changes), received_us).result(TIMEOUT_S)


def find(store: SqliteStore, **query: Any) -> list[int]:
    return numbers(store.find(Query(**query)).result(TIMEOUT_S).records)


def test_a_record_comes_back_whole(store: SqliteStore) -> None:
    facts, attributes = {"build": "13"}, {"17": "AAE="}
    add(store, 1, severity=3, payload="ü\n", facts=facts, attributes=attributes, received_us=99)
    add(store, 2, payload=None, payload_base64="AP8=", payload_kind="json-zstd", event_id="0" * 32)
    second, first = store.find(Query()).result(TIMEOUT_S).records
    assert (first.id.hex(), first.event_id.hex()) == (record_id(1), f"{1:032x}")
    assert (first.created_us, first.received_us, first.machine_id.hex()) == (CREATED_US + 1, 99, MACHINE)
    assert (first.classification, first.severity, first.payload_version) == ("org.test/hub/record", 3, 1)
    assert (first.payload_kind, first.payload) == (0, "ü\n")
    assert json.loads(first.host_facts) == {"arch": "x86_64", "build": "12"}
    assert (json.loads(first.facts or ""), json.loads(first.attributes or "")) == (facts, attributes)
    assert (second.payload_kind, second.payload) == (3, b"\0\xff")
    assert (second.event_id, second.facts, second.attributes) == (bytes(16), None, None)


def test_a_record_is_kept_once(store: SqliteStore) -> None:
    assert add(store, 1, 2, 2, 3, 1) == [True, True, False, True, False]
    assert add(store, 3, 4) == [False, True]
    assert add(store, 1, 2, 3, 4, payload="something else", machine=OTHER_MACHINE) == [False] * 4
    assert find(store) == [4, 3, 2, 1]
    stats = store.stats().result(TIMEOUT_S)
    assert (stats.records, stats.machines) == (4, 1)


def test_batches_that_wait_together_know_each_others_records(store: SqliteStore) -> None:
    answers = [store.add(records(*range(first, first + 300)), 7) for first in range(1, 1001, 100)]
    news = [answer.result(TIMEOUT_S) for answer in answers]
    assert sum(map(sum, news)) == 1200
    assert news[0] == [True] * 300
    assert all(one == [False] * 200 + [True] * 100 for one in news[1:])


def test_what_was_answered_is_there_after_opening_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hub")
    add(store, 1, 2)
    store.close()
    again = SqliteStore(tmp_path / "hub")
    assert add(again, 2, 3) == [False, True]
    assert find(again) == [3, 2, 1]
    again.close()


def test_the_directory_is_its_owners_alone_and_used_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hub")
    assert (tmp_path / "hub").stat().st_mode & 0o777 == 0o700
    with pytest.raises(CannotOpen, match="another telemhub"):
        SqliteStore(tmp_path / "hub")
    store.close()
    SqliteStore(tmp_path / "hub").close()


def test_what_cannot_be_a_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="give a directory"):
        SqliteStore(tmp_path / "missing" / "hub")
    (tmp_path / "file").touch()
    with pytest.raises(CannotOpen, match="give a directory"):
        SqliteStore(tmp_path / "file")
    for name, content in (("garbage", b"not a database, but long enough to be one" * 100),):
        (tmp_path / name).mkdir()
        (tmp_path / name / FILE_NAME).write_bytes(content)
        with pytest.raises(CannotOpen, match="can't be opened"):
            SqliteStore(tmp_path / name)
    (tmp_path / "other").mkdir()
    other = sqlite3.connect(tmp_path / "other" / FILE_NAME)
    other.execute("CREATE TABLE record (id)")
    other.close()
    with pytest.raises(CannotOpen, match="not a store of this version"):
        SqliteStore(tmp_path / "other")


def test_every_filter_filters(store: SqliteStore) -> None:
    add(store, 1, 2, classification="org.test/crash/clr", severity=3)
    add(store, 3, classification="org.test/crash/unknown", event_id="ab" * 16)
    add(store, 4, classification="org.test/[a?]/x", machine=OTHER_MACHINE)
    add(store, 5, classification="org.test/aa/x", event_id="ab" * 16)
    machine = bytes.fromhex(OTHER_MACHINE)
    for query, expected in (
        ({}, [5, 4, 3, 2, 1]),
        ({"classification": "*"}, [5, 4, 3, 2, 1]),
        ({"classification": "org.test/crash/clr"}, [2, 1]),
        ({"classification": "org.test/crash/*"}, [3, 2, 1]),
        ({"classification": "*/x"}, [5, 4]),
        ({"classification": "org.test/[a?]/x"}, [4]),
        ({"classification": "org.test/[a?]/*"}, [4]),
        ({"classification": "org.test/??/*"}, []),
        ({"classification": "nowhere/*"}, []),
        ({"classification": "' OR 1=1 --*"}, []),
        ({"classification": "*", "severity": 3}, [2, 1]),
        ({"severity": 3}, [2, 1]),
        ({"severity": 4}, []),
        ({"machine": machine}, [4]),
        ({"machine": b"\xaa" * 16}, []),
        ({"machine": machine, "classification": "org.test/crash/*"}, []),
        ({"event": b"\xab" * 16}, [5, 3]),
        ({"event": bytes(16)}, []),
        ({"id": bytes.fromhex(record_id(3))}, [3]),
        ({"id": bytes.fromhex(record_id(9))}, []),
        ({"since_us": CREATED_US + 4}, [5, 4]),
        ({"until_us": CREATED_US + 3}, [2, 1]),
        ({"since_us": CREATED_US + 2, "until_us": CREATED_US + 4, "classification": "org.test/*"}, [3, 2]),
        ({"limit": 2}, [5, 4]),
    ):
        assert find(store, **query) == expected, query


@pytest.mark.parametrize("pattern", ["", "org.test/*", "org.test/hub/record", "*e*"])
def test_pages_are_all_there_was_at_the_first_and_nothing_twice(store: SqliteStore, pattern: str) -> None:
    same_time = {"created_us": CREATED_US}
    add(store, *range(1, 101))
    add(store, *range(101, 201), classification="org.test/other/e", **same_time)
    page = store.find(Query(pattern, limit=7)).result(TIMEOUT_S)
    seen = numbers(page.records)
    late = 1000
    while page.next:
        late += 2
        # One that would stand before the place reached, and one behind it.
        add(store, late, created_us=CREATED_US + 10**9)
        add(store, late + 1, created_us=CREATED_US - 10**9)
        page = store.find(Query(pattern, limit=7, cursor=page.next)).result(TIMEOUT_S)
        seen += numbers(page.records)
    others = [] if pattern == "org.test/hub/record" else list(range(200, 100, -1))
    assert seen == [*range(100, 0, -1), *others]


def test_more_classifications_than_are_looked_up_one_by_one(store: SqliteStore) -> None:
    for number in range(1, 101):
        add(store, number, classification=f"org.test/many/{number}")
    add(store, 500, classification="org.else/one/x", created_us=CREATED_US + 10**6)
    assert find(store, classification="org.test/*") == list(range(100, 0, -1))
    assert find(store, classification="org.test/*", limit=3) == [100, 99, 98]
    assert find(store, classification="org.test/many/1*") == [100, *range(19, 9, -1), 1]


def test_a_page_of_large_records_ends_early(store: SqliteStore) -> None:
    for first in range(1, 201, 50):
        add(store, *range(first, first + 50), payload="x" * 65_536)
    page = store.find(Query(limit=1000)).result(TIMEOUT_S)
    assert 1 < len(page.records) <= PAGE_BYTES_MAX // 65_536
    seen = numbers(page.records)
    while page.next:
        page = store.find(Query(limit=1000, cursor=page.next)).result(TIMEOUT_S)
        seen += numbers(page.records)
    assert seen == list(range(200, 0, -1))


def test_totals_are_kept(store: SqliteStore) -> None:
    assert store.stats().result(TIMEOUT_S) == (0, 0, None, [], [])
    add(store, 1, 2, 2, received_us=10)
    add(store, 2, 3, classification="org.test/x/y", machine=OTHER_MACHINE, received_us=20)
    stats = store.stats().result(TIMEOUT_S)
    assert (stats.records, stats.machines, stats.newest_us) == (3, 2, 20)
    assert stats.classifications == [("org.test/hub/record", 2), ("org.test/x/y", 1)]
    assert stats.top_machines == [(bytes.fromhex(MACHINE), 2), (bytes.fromhex(OTHER_MACHINE), 1)]


def test_a_full_store_keeps_nothing_of_a_batch_and_comes_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hub", 8 * MIB)
    store.check().result(TIMEOUT_S)
    taken = 0
    with pytest.raises(Unavailable, match="full") as caught:
        for first in range(1, 100_001, 50):
            add(store, *range(first, first + 50), payload="x" * 30_000)
            taken += 50
    assert caught.value.retry_after_s > 0
    assert taken > 0
    with pytest.raises(Unavailable, match="full"):
        store.check().result(TIMEOUT_S)
    assert store.stats().result(TIMEOUT_S).records == taken
    assert find(store, limit=1) == [taken]
    # What is refused as a batch of new classifications and machines must not be remembered as made.
    with pytest.raises(Unavailable, match="full"):
        add(store, *range(9001, 9101), payload="x" * 60_000, classification="org.test/new/x", machine=OTHER_MACHINE)
    store.close()

    larger = SqliteStore(tmp_path / "hub", 64 * MIB)
    larger.check().result(TIMEOUT_S)
    assert add(larger, taken, taken + 1, classification="org.test/new/x", machine=OTHER_MACHINE) == [False, True]
    assert larger.stats().result(TIMEOUT_S).records == taken + 1
    larger.close()


def test_a_batch_that_does_not_fit_spoils_none_that_waits_with_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hub", 4 * MIB)
    small = [store.add(records(number, machine=f"{number:032x}"), 7) for number in range(1, 6)]
    large = store.add(records(*range(1000, 1200), payload="x" * 60_000), 7)
    after = [store.add(records(number, machine=f"{number:032x}"), 7) for number in range(6, 11)]
    assert all(answer.result(TIMEOUT_S) == [True] for answer in (*small, *after))
    with pytest.raises(Unavailable, match="full"):
        large.result(TIMEOUT_S)
    assert find(store) == list(range(10, 0, -1))
    assert store.stats().result(TIMEOUT_S).machines == 10
    store.close()


def test_too_much_waiting_is_refused_and_nothing_of_it_lost(store: SqliteStore, tmp_path: Path) -> None:
    blocker = sqlite3.connect(tmp_path / "hub" / FILE_NAME, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # the writer waits for it
    answers = []
    with pytest.raises(Unavailable, match="waiting") as caught:
        for number in range(1, 3 * WAITING_MAX):
            answers.append(store.add(records(number), 7))
    assert caught.value.retry_after_s > 0
    blocker.execute("ROLLBACK")
    blocker.close()
    assert all(answer.result(TIMEOUT_S) == [True] for answer in answers)
    assert len(find(store)) == len(answers)


def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hub")
    answers = [store.add(records(*range(first, first + 500)), 7) for first in range(1, 10_001, 500)]
    store.close()
    done, waiting = wait(answers, 0)
    assert not waiting
    assert all(all(answer.result()) for answer in done)
    with pytest.raises(Unavailable, match="stopping"):
        store.add(records(1), 7)
    with pytest.raises(Unavailable, match="stopping"):
        store.find(Query())
    store.close()


def test_a_question_that_takes_too_long_is_given_up(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for first in range(1, 20_001, 1000):
        add(store, *range(first, first + 1000))
    monkeypatch.setattr("telemhub.store.reader.DEADLINE_S", -1.0)
    with pytest.raises(Unavailable, match="narrow it"):
        find(store, severity=4)
    monkeypatch.undo()
    assert find(store, severity=4) == []
