# SPDX-License-Identifier: Apache-2.0
"""Points in the hub's store: kept once, asked for by machine, name and time, gone when they are old."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hubbatch import MACHINE, OTHER_MACHINE, host_line, line, ndjson
from metricpayload import T0_US, gauge, group, payload, record_fields, table

from telemhub.ingest import read_batch
from telemhub.query import PointQuery
from telemhub.store import TooManyPoints, pointreader, pointwriter
from telemhub.store.schema import FILE_NAME, METRIC_TABLES
from telemhub.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60
MINUTE_US = 60_000_000
DAY_US = 86_400_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    one = SqliteStore(tmp_path / "hub", points_kept_us=DAY_US)
    yield one
    one.close()


def add(store: SqliteStore, number: int, content: bytes, machine: str = MACHINE, received_us: int = T0_US) -> bool:
    """One record."""
    body = ndjson(host_line(machine), line(number, **record_fields(content)))
    (new,) = store.add(read_batch(body).records(), received_us).result(TIMEOUT_S)
    return new


def minute(number: int, *values: float) -> bytes:
    """Samples of load, 5 s apart, of that minute."""
    times = [T0_US + number * MINUTE_US, *[5_000_000] * (len(values) - 1)]
    return payload(table(gauge("load", list(values)), times_us=times))


def asked(store: SqliteStore, *names: str, machine: str = MACHINE, **changes: Any) -> list[tuple[str, list[Any]]]:
    """Names with attributes, and (seconds after T0, value)."""
    query = PointQuery(bytes.fromhex(machine), names or ("load",), T0_US - DAY_US, T0_US + 30 * DAY_US)
    found = store.points(query._replace(**changes)).result(TIMEOUT_S)
    return [
        (
            each.series.name + "".join(json.loads(each.series.attributes).values()),
            [((at - T0_US) / 1e6, value) for at, value, _ in each.points],
        )
        for each in found
    ]


def test_points_come_back_by_name_and_time(store: SqliteStore) -> None:
    add(store, 1, minute(0, 1, 2, 3))
    add(store, 2, minute(2, 7))
    add(store, 3, minute(1, 4, 5))  # one that was late
    points = [(0, 1), (5, 2), (10, 3), (60, 4), (65, 5), (120, 7)]
    assert asked(store) == [("load0", points)]
    since_us, until_us = T0_US + 5_000_000, T0_US + 65_000_000
    assert asked(store, since_us=since_us, until_us=until_us) == [("load0", points[1:4])]
    assert asked(store, step_us=MINUTE_US) == [("load0", [(0, 1), (60, 4), (120, 7)])]
    assert asked(store, "other") == []
    assert asked(store, machine=OTHER_MACHINE) == []
    assert asked(store, since_us=T0_US + DAY_US) == []


def test_counters_come_with_their_baselines(store: SqliteStore) -> None:
    add(store, 1, payload(table(group("time", [100, 5, None], [3, 1, 1]), group("time", [None, None, 2], start_us=7))))
    query = PointQuery(bytes.fromhex(MACHINE), ("time",), 0, T0_US + DAY_US)
    first, second = store.points(query).result(TIMEOUT_S)
    assert [(value, start) for _, value, start in first.points] == [(1.0, T0_US), (1.05, T0_US), (0.02, 7)]
    assert (second.series.kind, second.series.unit, len(second.points)) == ("counter", "s", 3)


def test_a_record_that_comes_twice_counts_once(store: SqliteStore) -> None:
    assert add(store, 1, minute(0, 1, 2))
    assert not add(store, 1, minute(0, 1, 2))
    assert add(store, 2, minute(0, 9, 9)), "another record of the same time: the first points stay"
    assert asked(store) == [("load0", [(0, 1), (5, 2)])]


def test_machines_and_series_are_listed(store: SqliteStore) -> None:
    add(store, 1, payload(table(gauge("b", [1, 2, 3], [1, 2, 3]), gauge("a", [1, None, None]))))
    add(store, 2, minute(9, 1), OTHER_MACHINE)
    series = store.series(bytes.fromhex(MACHINE)).result(TIMEOUT_S)
    assert [(each.name, each.attributes, each.last_us - T0_US) for each in series] == [
        ("a", '{"n":"0"}', 0),
        ("b", '{"n":"0"}', 10_000_000),
        ("b", '{"n":"1"}', 10_000_000),
    ]
    machines = store.machines().result(TIMEOUT_S)
    assert [(each.id.hex(), each.series) for each in machines] == [(OTHER_MACHINE, 1), (MACHINE, 3)]


def test_an_answer_has_a_limit(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointreader, "POINTS_MAX", 3)
    add(store, 1, payload(table(gauge("load", [1, 2, 3]))))
    assert len(asked(store)) == 1
    add(store, 2, minute(1, 4))
    with pytest.raises(TooManyPoints):
        asked(store)
    assert asked(store, step_us=MINUTE_US) == [("load0", [(0, 1), (60, 4)])]


def test_of_many_series_some_are_shown(store: SqliteStore) -> None:
    add(store, 1, payload(table(gauge("load", *[[1, 1, 1]] * 5))))
    assert len(asked(store, series_max=2)) == 2


def test_of_too_many_series_those_go_that_had_no_point_for_longest(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointwriter, "SERIES_MAX", 20)
    add(store, 1, minute(0, 1))
    for number in range(1, 100):
        ended = gauge("process", [1], labels=[[str(number)]])
        lasting = gauge("load", [number], labels=[["0"]])
        add(store, 1 + number, payload(table(ended, lasting, times_us=[T0_US + number * MINUTE_US])))
    series = store.series(bytes.fromhex(MACHINE)).result(TIMEOUT_S)
    pids = [json.loads(each.attributes)["n"] for each in series if each.name == "process"]
    assert 3 <= len(pids) < 20 and "99" in pids and "1" not in pids
    assert len(asked(store)[0][1]) == 100, "what lasts is kept"
    assert [len(points) for _, points in asked(store, "process")] == [1] * len(pids)


def test_of_too_many_series_at_once_some_are_not_kept(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwriter, "SERIES_MAX", 3)
    for number in range(2):
        times_us = [T0_US + number * MINUTE_US, 1, 1]
        add(store, number, payload(table(gauge("load", *[[1, 1, 1]] * 5), times_us=times_us)))
    add(store, 9, minute(3, 1), OTHER_MACHINE)
    found = asked(store)
    assert len(found) == 3 and all(len(points) >= 3 for _, points in found)
    assert len(asked(store, machine=OTHER_MACHINE)) == 1


def test_a_flood_of_names_ends_a_bounded_number_of_series(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """All other machines' batches wait meanwhile."""
    monkeypatch.setattr(pointwriter, "SERIES_MAX", 200)
    monkeypatch.setattr(pointwriter, "ENDED_MAX", 40)
    for number in range(3):
        flood = gauge(f"flood{number}", *[[1]] * 200)
        add(store, number, payload(table(flood, times_us=[T0_US + number])))
    names = [each.name for each in store.series(bytes.fromhex(MACHINE)).result(TIMEOUT_S)]
    assert len(names) == 200
    assert names.count("flood0") in range(100, 160), names.count("flood0")
    add(store, 9, minute(9, 1))
    assert asked(store), "what comes then is kept"


def test_keys_are_remembered_within_limits(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwriter, "KEYS_BYTES_MAX", 2_000)
    for number in range(3):
        add(store, number, payload(table(gauge("load", *[[number]] * 20), times_us=[T0_US + number])))
    assert len(asked(store)) == 20
    assert all(len(points) == 3 for _, points in asked(store))
    assert len(store._writer._points._keys) <= 5


def test_an_answer_has_a_limit_of_words(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointreader, "WORDS_CHARS_MAX", 1_000)
    labels = [[str(at) * 200] for at in range(9)]
    add(store, 1, payload(table(*(gauge(name, *[[1, 1, 1]] * 3, labels=labels[:3]) for name in ("a", "b")))))
    assert len(store.series(bytes.fromhex(MACHINE)).result(TIMEOUT_S)) == 4
    assert len(asked(store, "a")) == 3
    with pytest.raises(TooManyPoints):
        asked(store, "a", "b")


def test_what_is_old_goes_and_so_does_a_series_without_points(store: SqliteStore) -> None:
    add(store, 1, payload(table(gauge("gone", [1, 1, 1]))))
    for number in range(3):
        add(store, 2 + number, minute(number, number), received_us=T0_US)
    now_us = T0_US + DAY_US + 90_000_000
    add(store, 9, minute(3, 3), received_us=now_us)
    assert asked(store) == [("load0", [(120, 2), (180, 3)])]
    assert asked(store, "gone") == []
    assert [each.name for each in store.series(bytes.fromhex(MACHINE)).result(TIMEOUT_S)] == ["load"]
    add(store, 10, payload(table(gauge("gone", [1], labels=[["0"]]), times_us=[now_us])), received_us=now_us)
    assert len(asked(store, "gone")) == 1, "it may come again"


def test_old_points_go_in_pieces(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwriter, "AGED_POINTS", 2)
    for number in range(5):
        add(store, number, minute(number, number))
    left = []
    for number in range(4):
        add(store, 10 + number, minute(9_000 + number, 1), received_us=T0_US + 10 * DAY_US)
        old = asked(store, until_us=T0_US + 10 * MINUTE_US)
        left.append(len(old[0][1]) if old else 0)
    assert left == [3, 1, 0, 0]


def test_without_an_age_nothing_goes(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "hub")
    add(store, 1, minute(0, 1))
    add(store, 2, minute(1, 1), received_us=T0_US + 9_999 * DAY_US)
    assert len(asked(store)[0][1]) == 2
    store.close()


def test_a_store_of_before_metrics_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    store = SqliteStore(folder)
    store.add(read_batch(ndjson(host_line(), line(1))).records(), T0_US).result(TIMEOUT_S)
    store.close()
    with sqlite3.connect(folder / FILE_NAME) as before:
        before.executescript("DROP TABLE points; DROP TABLE series; PRAGMA user_version = 1;")
    before.close()
    assert "CREATE TABLE points" in METRIC_TABLES
    for number in (2, 3):
        store = SqliteStore(folder)
        add(store, number, minute(number, 1))
        assert store.stats().result(TIMEOUT_S).records == number
        assert len(asked(store)[0][1]) == number - 1
        store.close()
