# SPDX-License-Identifier: Apache-2.0
"""telemhub.points: a payload becomes the points that docs/protocol.md, section 10, says, and a hostile one none."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hubbatch import batch
from metricpayload import T0_US, gauge, group, packed, payload, record_fields, table

from telemhub import ingest
from telemhub.ingest import TooMany, read_batch
from telemhub.points import COLUMNS_MAX, PLAIN_MAX, Points, Unreadable, read_points, unpacked
from telemhub.rates import rates
from telemhub.records import Record


def points_of(found: Points) -> list[tuple[float, float]]:
    """Seconds after T0, and values."""
    return [((at_us - T0_US) / 1e6, value) for at_us, value in unpacked(found.first_us, found.data)]


def test_scaled_differences_and_plain_numbers() -> None:
    first, second, third = read_points(
        payload(table(group("a", [1050, 5, 0], [None, 7, 1]), gauge("b", [0.1, None, 2**64 - 1], labels=[["ü\n"]])))
    )
    assert points_of(first) == [(0, 10.5), (5, 10.55), (10, 10.55)]
    assert points_of(second) == [(5, 0.07), (10, 0.08)]
    assert points_of(third) == [(0, 0.1), (10, float(2**64 - 1))]
    assert (first.name, first.unit, first.kind, first.start_us) == ("a", "s", "counter", T0_US)
    assert (third.kind, third.start_us, json.loads(third.attributes)) == ("gauge", 0, {"n": "ü\n"})
    assert (second.first_us, second.last_us) == (T0_US + 5_000_000, T0_US + 10_000_000)


def test_a_series_is_the_same_whatever_the_order_of_its_attributes() -> None:
    one, other = read_points(
        payload(
            table(gauge("a", [1, 1, 1], attributes=["x", "y"], labels=[["1", "2"]])),
            table(gauge("a", [1, 1, 1], attributes=["y", "x"], labels=[["2", "1"]])),
        )
    )
    assert one.attributes == other.attributes == '{"x":"1","y":"2"}'


def test_an_empty_column_has_no_points() -> None:
    assert read_points(payload(table(gauge("a", [None, None, None])))) == []
    assert read_points(payload()) == []


GOOD = gauge("a", [1, 2, 3])
TOO_MANY = COLUMNS_MAX + 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        packed(""),
        packed("[]"),
        packed('{"tables": 1}'),
        packed('{"tables": [' + "[" * 100_000),
        payload(table(GOOD))[:-1],
        payload(table(GOOD)) + b"x",
        zlib.compress(b" " * (PLAIN_MAX + 1) + b'{"tables": []}'),
        payload(*[table(GOOD)] * 257),
        payload(table(GOOD, times_us=[T0_US, 5, 0])),
        payload(table(GOOD, times_us=[T0_US, 5, -1])),
        payload(table(GOOD, times_us=[-1, 5, 5])),
        payload(table(GOOD, times_us=[T0_US, 3_600_000_000, 1])),
        payload(table(GOOD, times_us=[7_258_118_399_999_999, 1, 1])),
        payload(table(gauge("a", [1] * 4097), times_us=[T0_US, *[1] * 4096])),
        payload(table(gauge("a", [1, 2]))),
        payload(table(gauge("a", [1, 2, "3"]))),
        payload(table(gauge("a", [1, 2, 3], labels=[]))),
        payload(table(gauge("a", [1, 2, 3], labels=[["1", "2"]]))),
        payload(table(gauge("a", [1, 2, 3], attributes=["x", "x"], labels=[["1", "2"]]))),
        payload(table(gauge("a", [1, 2, 3], attributes=["x"] * 17, labels=[["1"] * 17]))),
        payload(table(gauge("a", [1, 2, 3], labels=[["x" * 257]]))),
        payload(table(gauge("", [1, 2, 3]))),
        payload(table(gauge("x" * 129, [1, 2, 3]))),
        payload(table(group("a", [1, 2, 3], kind="histogram"))),
        payload(table(group("a", [1, 2, 3], scale=10))),
        payload(table(group("a", [1, 2, 0.5]))),
        payload(table(group("a", [2**53, 1, 0]))),
        payload(table(group("a", [-(2**53), -1, 0]))),
        payload(table(group("a", [1, 2, 3], start_us=-1))),
        packed(zlib.decompress(payload(table(gauge("a", [77, 2, 3])))).decode().replace("77", "1e400")),
        packed(json.dumps({"tables": [table(gauge("a", [10**400, 1, 1]))]})),
        payload(table(gauge("a", *[[1]] * TOO_MANY, labels=[[]] * TOO_MANY, attributes=[]), times_us=[1])),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        read_points(content)


def test_cut_and_changed_payloads_never_do_worse() -> None:
    whole = payload(table(group("a", [1050, 5, 0], [None, 7, 1]), gauge("b", [0.1, None, 2])))
    rng = random.Random(1)
    for end in range(len(whole)):
        with pytest.raises(Unreadable):
            read_points(whole[:end])
    plain = zlib.decompress(whole).decode()
    for _ in range(2_000):
        at = rng.randrange(len(plain))
        changed = plain[:at] + rng.choice('0123456789-,[]{}:"ne') + plain[at + rng.randrange(2) :]
        try:
            found = read_points(packed(changed))
        except Unreadable:
            continue
        assert all(unpacked(each.first_us, each.data)[0][0] == each.first_us for each in found)


# ---- in a batch -----------------------------------------------------------------------------------------------------


def only(**fields: Any) -> Record:
    (found,) = read_batch(batch(1, **fields)).items
    assert isinstance(found, Record)
    return found


def test_a_metric_record_brings_its_points() -> None:
    record = only(**record_fields(payload(table(GOOD))))
    assert [each.name for each in record.points] == ["a"]


@pytest.mark.parametrize(
    "fields",
    [
        record_fields(b"\0nothing"),
        record_fields(payload(table(GOOD)), payload_version=2),
        record_fields(payload(table(GOOD)), payload_kind="json-zstd"),
        {"payload_kind": "metric", "payload": "text"},
    ],
)
def test_what_cant_be_read_is_kept_without_points(fields: dict[str, Any]) -> None:
    record = only(**fields)
    assert record.points == () or record.points == []
    assert record.payload


def test_a_batch_of_too_many_points_is_to_be_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "POINTS_MAX", 5)
    assert only(**record_fields(payload(table(GOOD)))).points
    with pytest.raises(TooMany):
        read_batch(batch(1, 2, **record_fields(payload(table(GOOD)))))


def test_a_few_bytes_do_not_become_much_memory() -> None:
    """Names of attributes stand once in a payload, and in each of its series."""
    names = [chr(1) * 62 + "\U0001f600" + chr(65 + at) for at in range(16)]
    many = 4_000
    content = payload(table(gauge("a", *[[1]] * many, attributes=names, labels=[[""] * 16] * many), times_us=[T0_US]))
    assert len(content) < 10_000
    with pytest.raises(Unreadable):
        read_points(content)
    assert len(read_points(payload(table(gauge("a", *[[1]] * many), times_us=[T0_US])))) == many


@pytest.mark.parametrize("limit", ["PLAIN_MAX", "ATTRIBUTES_BYTES_MAX"])
def test_what_many_records_of_a_batch_take_is_counted(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = payload(table(gauge("a", [1, 2, 3], labels=[["x" * 200]])))
    monkeypatch.setattr(ingest, limit, 500)
    assert only(**record_fields(content)).points
    with pytest.raises(TooMany):
        read_batch(batch(1, 2, 3, **record_fields(content)))


def test_what_cant_be_read_costs_a_batch_its_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed('{"tables": [' + "[]," * 100)
    monkeypatch.setattr(ingest, "PLAIN_MAX", 500)
    assert not only(**record_fields(content)).points
    with pytest.raises(TooMany):
        read_batch(batch(1, 2, **record_fields(content)))


# ---- rates ----------------------------------------------------------------------------------------------------------


def test_rates_are_taken_within_one_baseline_alone() -> None:
    points = [(0, 10.0, 1), (5_000_000, 20.0, 1), (10_000_000, 3.0, 2), (20_000_000, 8.0, 2), (20_000_000, 9.0, 2)]
    assert rates(points) == [(5_000_000, 2.0), (20_000_000, 0.5)]


def test_no_rate_is_below_zero_whatever_a_sender_says() -> None:
    assert rates([(0, 10.0, 1), (5_000_000, 9.0, 1), (4_000_000, 20.0, 1)]) == []
