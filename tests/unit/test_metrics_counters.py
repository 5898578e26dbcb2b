# SPDX-License-Identifier: Apache-2.0
"""Counters that wrap, begin anew or waver, and lines that come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry_probes.metrics.account import OTHER, REASON_CHARS_MAX, REASONS_MAX, Account
from telemetry_probes.metrics.collectors import probe
from telemetry_probes.metrics.lines import LOOK_AGAIN_S, THINGS_MAX, Wanted
from telemetry_probes.metrics.places import Places
from telemetry_probes.metrics.wraps import WRAP, Going

# ---- 32 bits --------------------------------------------------------------------------------------------------------


def test_a_counter_of_32_bits_goes_on() -> None:
    """[events, milliseconds]: 50 days of work, three times over."""
    going = Going((0,))
    worked_ms = 0
    for step in range(60):
        worked_ms += WRAP // 20 + step
        assert going.on([10 + step, worked_ms % WRAP]) == [10 + step, worked_ms]


def test_another_disk_begins_anew() -> None:
    going = Going((0,))
    going.on([1000, WRAP - 10])
    assert going.on([1001, 5]) == [1001, WRAP + 5]
    assert going.on([3, 7]) == [3, 7]
    assert going.on([4, 8]) == [4, 8]


def test_what_shrinks_by_little_has_stayed() -> None:
    going = Going((0,))
    going.on([10, 5000])
    assert going.on([11, 4990]) == [11, 5000]
    assert going.on([11, 5003]) == [11, 5003]


def test_a_counter_of_64_bits_that_shrinks_begins_anew() -> None:
    going = Going((0,))
    going.on([10, WRAP * 5])
    assert going.on([11, 17]) == [11, 17]


def test_the_largest_there_are() -> None:
    going = Going((0,))
    largest = 2**64 - 1
    assert going.on([largest, largest]) == [largest, largest]
    assert going.on([largest, 0]) == [largest, 0]


@pytest.mark.parametrize("after", [0, 1, WRAP // 2 - 1])
def test_never_less_than_before_while_the_events_grow(after: int) -> None:
    going = Going((0,))
    before = going.on([1, WRAP - 1])[1]
    assert going.on([2, after])[1] >= before


# ---- lines ----------------------------------------------------------------------------------------------------------


def followed(wants: str = "") -> Wanted:
    """Lines as `name: figures`."""
    return Wanted(
        lambda line: line[: line.find(b":") + 1],
        lambda head: head[:-1].strip(),
        lambda name: not wants or name.decode().startswith(wants),
    )


def test_only_what_is_wanted() -> None:
    wanted = followed("e")
    assert wanted.chosen(b"head\n lo: 1\n e0: 2\n e1: 3\n", 0) == [b" 2", b" 3"]
    assert wanted.names == [b"e0", b"e1"]


def test_names_are_another_list_only_where_they_are_others() -> None:
    wanted = followed("e")
    wanted.chosen(b"e0: 2\nlo: 1\n", 0)
    names = wanted.names
    assert wanted.chosen(b"e0: 3\nlo: 1\n", 1) == [b" 3"]
    assert wanted.chosen(b"lo: 1\nx: 1\ne0: 4\n", 2) == [b" 4"]
    assert wanted.names is names
    assert wanted.chosen(b"lo: 1\nx: 1\ne2: 4\n", 3) == [b" 4"]
    assert wanted.names == [b"e2"]
    assert wanted.chosen(b"lo: 1\n", 4) == []
    assert wanted.names == []


def test_one_that_came_as_another_went_is_seen_in_a_minute() -> None:
    wanted = followed("e")
    assert wanted.chosen(b"e0: 2\nveth1: 1\n", 0) == [b" 2"]
    assert wanted.chosen(b"e0: 2\ne1: 1\n", LOOK_AGAIN_S) == [b" 2", b" 1"]


def test_a_clock_that_goes_back_looks_again() -> None:
    wanted = followed("e")
    wanted.chosen(b"e0: 2\nlo: 1\n", 1000)
    assert wanted.chosen(b"e0: 2\ne1: 1\n", 3) == [b" 2", b" 1"]


def test_a_last_line_that_is_cut_is_none() -> None:
    wanted = followed()
    assert wanted.chosen(b"a: 1\nb: 2", 0) == [b" 1"]
    assert wanted.chosen(b"", 1) == []


def test_the_same_name_twice_and_too_many() -> None:
    wanted = followed()
    assert wanted.chosen(b"a: 1\na: 2\n", 0) == [b" 1"]
    many = b"".join(b"n%d: 1\n" % number for number in range(THINGS_MAX + 10))
    assert len(wanted.chosen(many, 1)) == THINGS_MAX


# ---- the account ----------------------------------------------------------------------------------------------------


def test_reasons_are_counted_and_bounded() -> None:
    account = Account()
    assert account.failed("cpu", "a") is True
    assert account.failed("cpu", "a") is False
    for number in range(1000):
        account.failed("cpu", f"reason {number}")
    account.failed("gpu", "x" * 10_000)
    assert account.failures["cpu", "a"] == 2
    assert account.failures["cpu", OTHER] == 1000 - (REASONS_MAX - 1)
    assert account.failures["gpu", "x" * REASON_CHARS_MAX] == 1
    assert len(account.failures) == REASONS_MAX + 2


def test_keys_tell_that_there_is_something_new() -> None:
    account = Account()
    seen = account.keys
    account.sampled("cpu", 0.25)
    assert account.keys != seen
    seen = account.keys
    account.sampled("cpu", 0.5)
    account.sampled("cpu", -1.0)
    assert account.keys == seen
    assert account.spent_s == {"cpu": 0.75}


def test_the_collector_probe_tells_the_account(tmp_path: Path) -> None:
    places = Places(str(tmp_path))
    collector = probe.Collector(places, {})
    assert collector.sample(1.0) == [None]
    places.account.sampled("cpu", 0.5)
    places.account.failed("gpu", "it takes longer than 60 s")
    places.account.failed("gpu", "it takes longer than 60 s")
    assert collector.sample(2.0) == [None, 0.5, 2]
    told = [(series.metric.name, dict(series.attributes)) for series in collector.series]
    assert told[1:] == [
        ("x.metricprobe.sampling_time", {"collector": "cpu"}),
        ("x.metricprobe.failures", {"collector": "gpu", "reason": "it takes longer than 60 s"}),
    ]
    series = collector.series
    places.account.sampled("cpu", 0.5)
    assert collector.sample(3.0) == [None, 1.0, 2]
    assert collector.series is series
    collector.close()
