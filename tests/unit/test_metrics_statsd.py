# SPDX-License-Identifier: Apache-2.0
"""What is sent to statsd: lines as its clients write them, and sums that stay small whatever is sent."""

from __future__ import annotations

import random

import pytest

from telemetry_probes.metrics import statsdlines, statsdsums
from telemetry_probes.metrics.statsdlines import line, lines
from telemetry_probes.metrics.statsdsums import Count, Level, Members, Times


def read(text: str) -> statsdlines.Line:
    found = line(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "kind", "name", "values", "rate", "tags"),
    [
        ("gorets:1|c", "counter", "gorets", ["1"], 1.0, ()),
        ("gorets:1|c|@0.1", "counter", "gorets", ["1"], 0.1, ()),
        ("glork:320|ms|@0.1", "timer", "glork", ["320"], 0.1, ()),
        ("gaugor:-10|g", "gauge", "gaugor", ["-10"], 1.0, ()),
        ("uniques:765|s", "set", "uniques", ["765"], 1.0, ()),
        ("users.ids:a:b|s", "set", "users.ids", ["a:b"], 1.0, ()),
        ("page.views:1:2:32|d|#env:dev,canary", "histogram", "page.views", ["1", "2", "32"], 1.0,
         (("canary", ""), ("env", "dev"))),
        ("page.size:2|h|@0.5|#a:b:c|c:ci-0123|T1656581400", "histogram", "page.size", ["2"], 0.5, (("a", "b:c"),)),
        ("a b/ü\x1b:1|c", "counter", "a_b___", ["1"], 1.0, ()),
    ],
)  # fmt: skip
def test_a_line_is_read(
    text: str, kind: str, name: str, values: list[str], rate: float, tags: tuple[tuple[str, str], ...]
) -> None:
    found = read(text)
    assert (found.kind, found.name, found.values, found.rate, found.tags) == (kind, name, values, rate, tags)


@pytest.mark.parametrize(
    "text",
    ["x", "x:1", "x|c", ":1|c", "x:|c", "x:1|q", "x:1|c|@0", "x:1|c|@2", "x:1|c|@nan", "x:1|c|@", "x" * 101 + ":1|c",
     "_e{5,4}:title|text", "_sc|name|0", "x:1|"],
)  # fmt: skip
def test_what_is_no_line_is_refused(text: str) -> None:
    assert line(text) is None


def test_a_datagram_has_several_lines() -> None:
    found = list(lines(b"a:1|c\n\nbad\nb:2|g\n"))
    assert [each and each.name for each in found] == ["a", None, "b"]
    assert len(list(lines(b"a:1|c\n" * 10_000))) == statsdlines.LINES_MAX


def test_any_datagram_is_read_or_refused() -> None:
    chance = random.Random(2)
    good = b"page.views:1:2:32|d|@0.5|#env:dev,canary\nx:+1|g\nu:me|s\n"
    for _ in range(2000):
        text = bytearray(good[: chance.randrange(len(good))])
        for _ in range(min(3, len(text))):
            text[chance.randrange(len(text))] = chance.choice(b":|@#,.\n-+e9\xff\x00n")
        for each in lines(bytes(text)):
            if each is not None:
                statsdsums.begun(each.kind).take(each)


def test_a_counter_counts_what_was_not_sent_too() -> None:
    count = Count()
    assert count.take(read("a:2|c")) and count.take(read("a:1|c|@0.1"))
    assert count.total == 12
    for bad in ("a:-1|c", "a:nan|c", "a:1e16|c", "a:x|c", "a:1_0|c"):
        assert not count.take(read(bad)), bad
    assert count.total == 12
    count.total = statsdsums.LARGEST
    count.take(read("a:9e14|c"))
    assert count.total == 0, "it begins anew"


def test_a_gauge_is_the_last_value() -> None:
    level = Level()
    for text in ("a:5|g", "a:+3|g", "a:-10|g"):
        assert level.take(read(text))
    assert level.value == -2
    assert not level.take(read("a:inf|g"))
    level.value = -statsdsums.LARGEST
    level.take(read("a:-9e14|g"))
    assert level.value == 0


def test_times_of_a_few() -> None:
    times = Times()
    for value in (40, 10, 30, 20):
        assert times.take(read(f"a:{value}|ms"))
    assert (times.total, times.sum) == (4, 100)
    assert times.spread() == [10, 40, 30, 40, 40]
    assert times.spread() == [None] * 5
    assert not times.take(read("a:-1|ms"))
    assert (times.total, times.sum) == (4, 100)


def test_times_of_many_are_a_fair_sample() -> None:
    times = Times()
    values = list(range(20_000))
    random.Random(3).shuffle(values)
    for start in range(0, 20_000, 200):
        assert times.take(read("a:" + ":".join(map(str, values[start : start + 200])) + "|ms"))
    smallest, largest, p50, p90, p99 = times.spread()
    assert (smallest, largest, times.total) == (0, 19_999, 20_000)
    assert p50 is not None and 8_000 < p50 < 12_000
    assert p90 is not None and 17_000 < p90 < 19_000
    assert p99 is not None and 19_300 < p99 < 20_000


@pytest.mark.parametrize("different", [0, 1, 500, 20_000])
def test_a_set_has_so_many(different: int) -> None:
    members = Members()
    for number in range(different):
        members.take(read(f"a:user{number}|s"))
        members.take(read(f"a:user{number // 2}|s"))
    found = members.count()
    assert found == different if different <= statsdsums.KEPT_HASHES else 0.75 < found / different < 1.25
    assert members.count() == 0
