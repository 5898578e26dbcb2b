# SPDX-License-Identifier: Apache-2.0
"""Which window holds for whom, from the settings; what is kept over a restart; clocks that are set."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from telemd import limitsfile
from telemd.clock import JUMP_US, Clock
from telemd.config import Settings
from telemd.limits import SHARES, SOURCES, Limits
from telemd.usershares import FRAME_BYTES

VITAL, EVENT, METRIC = range(3)


def admit(limits: Limits, lane: int, count: int, minute: int = 100, source: int | None = None) -> list[tuple[int, int]]:
    sizes = [1000] * count
    return [(g.count, g.wait_min) for g in limits.admit(lane, source, minute, count, sum(sizes), lambda: sizes)]


def test_lanes_have_budgets_of_their_own() -> None:
    limits = Limits(Settings(record_burst_limit=10, metric_burst_limit=3, rate_limit_strategy="drop"))
    assert admit(limits, EVENT, 15) == [(10, 0)]
    assert admit(limits, VITAL, 15) == [(10, 0)]
    assert admit(limits, METRIC, 15) == [(3, 0)]


def test_a_user_has_a_limit_and_is_never_deferred() -> None:
    limits = Limits(Settings(source_burst_limit=5, record_burst_limit=100))
    assert admit(limits, EVENT, 8, source=1000) == [(5, 0)]
    assert admit(limits, EVENT, 1, source=1000) == []
    assert admit(limits, EVENT, 8, source=1001) == [(5, 0)]
    assert admit(limits, EVENT, 8) == [(8, 0)]


def test_a_user_waits_behind_what_was_deferred_and_defers_nothing() -> None:
    limits = Limits(Settings(source_burst_limit=5, record_burst_limit=100))
    assert admit(limits, EVENT, 101) == [(100, 0), (1, 15)]
    assert admit(limits, EVENT, 8, source=1000) == [(5, 15)]
    assert admit(limits, EVENT, 8, source=1000) == []


def test_a_user_within_the_limits_costs_no_list_of_sizes() -> None:
    def sizes() -> list[int]:
        raise AssertionError("asked for the size of each")

    limits = Limits(Settings(source_burst_limit=5))
    assert [grant.count for grant in limits.admit(EVENT, 1000, 100, 5, 5000, sizes)] == [5]


def test_disabled() -> None:
    limits = Limits(Settings(rate_limit_enabled=False, source_burst_limit=1, record_burst_limit=1))
    assert admit(limits, EVENT, 5000, source=1000) == [(5000, 0)]


def test_defaults_are_the_originals() -> None:
    assert admit(Limits(Settings()), EVENT, 1500) == [(1000, 0), (500, 15)]


def test_a_restart_remembers() -> None:
    before = Limits(Settings(record_burst_limit=10))
    admit(before, EVENT, 15)
    after = Limits(Settings(record_burst_limit=10))
    after.load(200, before.dump(100))
    assert admit(after, EVENT, 1, 200) == [(1, 15)]
    assert admit(after, VITAL, 1, 200) == [(1, 0)]


def test_a_lane_of_which_nothing_was_kept_begins_empty() -> None:
    limits = Limits(Settings(record_burst_limit=10))
    limits.load(200, {"metric": {"records": [[0, 10]]}})
    assert admit(limits, EVENT, 10, 200) == [(10, 0)]


def test_the_report_shows_the_fill() -> None:
    limits = Limits(Settings(record_burst_limit=20, byte_burst_limit=50_000))
    admit(limits, EVENT, 4, source=1000)
    report: Any = limits.report(100)
    assert report["lanes"]["event"]["records"] == {"used": 4, "limit": 20, "minutes": 15}
    assert report["lanes"]["event"]["bytes"] == {"used": 4000, "limit": 50_000, "minutes": 20}
    assert report["lanes"]["event"]["deferred_min"] == 0
    assert report["lanes"]["event"]["users"] == {
        "records": {"used": 4, "limit": 10, "alone": 5, "minutes": 15},
        "bytes": {"used": 4000, "limit": 25_000, "alone": 9625, "minutes": 20},
        "waiting": {
            "used": 4 * (1000 + FRAME_BYTES),
            "limit": 5120 * 1024 * 3 // 8,
            "alone": 756_940,
            "minutes": 0,
        },
    }
    assert report["lanes"]["vital"]["users"] == {}, "theirs don't get there"
    assert report["lanes"]["vital"]["records"]["used"] == 0
    assert report["sources"]["used"] == {"1000": 4}
    assert report["enabled"] is True and report["strategy"] == "spool"
    json.dumps(report)
    admit(limits, EVENT, 18)
    later: Any = limits.report(101)
    assert later["lanes"]["event"]["deferred_min"] == 14


def test_the_report_shows_a_window_that_is_off() -> None:
    limits = Limits(Settings(record_burst_limit=10, record_window_length=0, byte_burst_limit=-1))
    admit(limits, EVENT, 4)
    report: Any = limits.report(100)
    assert report["lanes"]["event"]["records"] == {"used": 4, "limit": -1, "minutes": 0}
    assert report["lanes"]["event"]["bytes"] == {"used": 4000, "limit": -1, "minutes": 20}


def test_the_file_there_and_back(tmp_path: Path) -> None:
    kept = {"event": {"records": [[-3, 7], [0, 2], [15, 1]], "bytes": []}}
    limitsfile.write(str(tmp_path), 10_000.0, kept)
    assert limitsfile.read(str(tmp_path), 10_000.0 + 185) == (3, kept)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"written_s": 1}', '{"written_s": "x", "kept": {}}', '{"written_s": 1e400, "kept": {}}',
     '{"written_s": 1, "kept": {"event": {"records": [["a", 1]]}}}', '{"written_s": 1, "kept": {"event": [1]}}',
     '{"written_s": 1, "kept": {"event": {"records": [[1, 2, 3]]}}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_counts_as_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / limitsfile.NAME).write_text(text)
    assert limitsfile.read(str(tmp_path), 100.0) == (0, {})


def test_a_file_from_the_future_or_a_link_counts_as_nothing(tmp_path: Path) -> None:
    limitsfile.write(str(tmp_path), 10_000.0, {"event": {"records": [[0, 1]], "bytes": []}})
    assert limitsfile.read(str(tmp_path), 9_000.0) == (0, {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / limitsfile.NAME).symlink_to(tmp_path / limitsfile.NAME)
    assert limitsfile.read(str(tmp_path / "other"), 10_000.0) == (0, {})


def test_a_set_clock_is_seen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    minute = clock.minute()
    assert abs(minute - time.time() // 60) <= 1
    assert clock.jumped_us() == 0
    real_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 3600 * 10**9)
    assert abs(clock.jumped_us() - 3600 * 10**6) < JUMP_US
    assert clock.jumped_us() == 0
    assert clock.minute() - minute <= 1


def test_the_file_takes_what_the_limits_keep(tmp_path: Path) -> None:
    limits = Limits(Settings(byte_burst_limit=10**6))
    admit(limits, EVENT, 10)
    admit(limits, EVENT, 10, source=1000)
    admit(limits, METRIC, 10, source=200_000)
    kept = limits.dump(100)
    limitsfile.write(str(tmp_path), 10_000.0, kept)
    assert limitsfile.read(str(tmp_path), 10_000.0) == (0, kept)
    later = Limits(Settings(byte_burst_limit=10**6))
    later.load(100, kept)
    assert later.report(100) == limits.report(100)
    assert later.dump(100) == kept


@pytest.mark.parametrize(
    ("section", "row", "usable"),
    [(SHARES + "event", [1, 2, 3, 4], True), (SHARES + "event", [1, 2], False), (SOURCES, [1, 2, 3], True),
     (SOURCES, [1, 2], False), ("event", [1, 2], True), ("event", [1, 2, 3, 4], False), (SOURCES, [1, 2, 3.5], False)],
)  # fmt: skip
def test_rows_have_the_width_of_their_section(tmp_path: Path, section: str, row: list[int], usable: bool) -> None:
    kept = {section: {"records": [row]}}
    limitsfile.write(str(tmp_path), 100.0, kept)
    assert limitsfile.read(str(tmp_path), 100.0) == (0, kept if usable else {})
