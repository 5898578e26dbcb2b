# SPDX-License-Identifier: Apache-2.0
"""What telemctl limits, why and spool print, and what they make of answers of another version."""

from __future__ import annotations

import pytest

from telemd.ctl import asking, limits, spool_list, spool_show, why
from telemd.ctl.words import bar

NOW_US = 1_780_000_000_000_000
MINUTE_US = 60_000_000


def name_of(uid: str) -> str:
    return {"1000": "alice"}.get(uid, f"uid {uid}")


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, "...."), (0.01, "#..."), (0.5, "##.."), (0.99, "####"), (1.0, "####"), (7.0, "####"), (-1.0, "....")],
)
def test_bar(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


LIMITS = {
    "enabled": True,
    "strategy": "spool",
    "lanes": {
        "vital": {
            "records": {"used": 0, "limit": 1000, "minutes": 15},
            "bytes": {"used": 0, "limit": -1, "minutes": 20},
            "deferred_min": 0,
        },
        "event": {
            "records": {"used": 1000, "limit": 1000, "minutes": 15},
            "bytes": {"used": 2048, "limit": 4096, "minutes": 20},
            "deferred_min": 75,
        },
    },
    "sources": {"limit": 500, "minutes": 15, "used": {"1000": 250, "7": 1}},
}


def test_limits_on_a_terminal() -> None:
    assert (
        limits.rendered(LIMITS, True, name_of)
        == """\
What is over a limit is sent later (rate_limit_strategy)
vital     records  [....................] 0 of 1,000 in 15 min (0%)
          bytes    0 B, no limit
event     records  [####################] 1,000 of 1,000 in 15 min (100%)
          bytes    [##########..........] 2.0 KB of 4.0 KB in 20 min (50%)
          what comes now waits for 1 h 15 min
user      alice    [##########..........] 250 of 500 in 15 min (50%)
user      uid 7    [#...................] 1 of 500 in 15 min (0%)"""
    )


def test_limits_shows_what_users_have() -> None:
    users = {
        "records": {"used": 0, "limit": 500, "alone": 193, "minutes": 15},
        "bytes": {"used": 10240, "limit": 20480, "alone": 8192, "minutes": 20},
        "waiting": {"used": 1024, "limit": 4096, "minutes": 0},
    }
    lines = limits.rendered({**LIMITS, "lanes": {"event": {"users": users}}}, True, name_of).splitlines()
    assert lines[3:6] == [
        "          users' share of records: 0 of 500 in 15 min (0%); one alone: 193",
        "          users' share of bytes: 10.0 KB of 20.0 KB in 20 min (50%); one alone: 8.0 KB",
        "          users' share of spool: 1.0 KB of 4.0 KB (25%)",
    ]


def test_limits_elsewhere() -> None:
    answer = {**LIMITS, "strategy": "drop", "sources": {"limit": 500, "minutes": 15, "used": {}}}
    shown = limits.rendered(answer, False, name_of)
    assert "is refused" in shown and "[" not in shown
    assert "none has sent anything; each may send 500 in 15 min, as shares allow" in shown


@pytest.mark.parametrize("answer", [{}, {"enabled": False}, {"enabled": "yes"}])
def test_no_limits(answer: dict[str, object]) -> None:
    assert "no rate limits" in limits.rendered(answer, True, name_of)


def test_limits_of_another_version_are_shown_as_far_as_they_go() -> None:
    assert "\x1b" not in limits.rendered({"enabled": True, "lanes": {"\x1b[31m": 7}, "sources": []}, True, name_of)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"fate": "delivered", "when_us": NOW_US - MINUTE_US}, "delivered, and the server has it; "),
        ({"fate": "rejected", "reason": "invalid", "when_us": NOW_US}, "for good: invalid; "),
        ({"fate": "evicted", "when_us": NOW_US}, "spool_max_size"),
        ({"fate": "expired", "when_us": NOW_US}, "record_expiry"),
        ({"fate": "purged", "when_us": NOW_US}, "spool purge"),
        ({"fate": "put-away", "when_us": NOW_US}, "quarantine"),
        ({"fate": "refused", "reason": "rate-limit", "when_us": NOW_US}, "told so: rate-limit; "),
        ({"fate": "waiting", "record": {"lane": "event", "before": 1234}}, "in lane event, 1,234 before it"),
        (
            {"fate": "waiting", "record": {"lane": "event", "not_before_us": NOW_US + 90 * MINUTE_US}},
            "deferred by a rate limit until Thu 2026-05-28 21:56:40 UTC, in 1 h 30 min",
        ),
        ({"fate": "with-courier", "record": {"lane": "vital"}}, "being sent at this moment, from lane vital"),
        ({"fate": "unknown"}, "not known"),
        ({}, "not known"),
        ({"fate": 7, "record": []}, "not known"),
    ],
)
def test_why_in_words(answer: dict[str, object], words: str) -> None:
    told = why.told(answer, NOW_US)
    assert words in told
    assert "\n" not in told


def test_line_of_a_list() -> None:
    record = {
        "id": "a" * 32,
        "lane": "event",
        "severity": 3,
        "classification": "a/b/\x1b",
        "bytes": 2048,
        "admitted_us": NOW_US - 2 * MINUTE_US,
        "not_before_us": NOW_US + MINUTE_US,
    }
    begin = f"{'a' * 32} event  high     a/b/?  2.0 KB, 2 min old"
    assert spool_list.line(record, NOW_US) == f"{begin}, not before 1 min from now"
    assert spool_list.line({**record, "with_courier": True}, NOW_US) == f"{begin}, being sent"
    assert spool_list.line({}, NOW_US).startswith("unreadable ")


def test_shown_record_holds_nothing_a_terminal_obeys() -> None:
    shown = spool_show.rendered({"attributes": {"\x1b[31m": "\x1b]0;x\x07"}, "classification": "\r"}, NOW_US)
    assert all(char.isprintable() or char == "\n" for char in shown)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("0123456789abcdef" * 2, "0123456789abcdef" * 2),
        ("01234567-89AB-cdef-0123-456789ABCDEF", "0123456789abcdef" * 2),
        ("", ""),
        ("0" * 31, ""),
        ("g" * 32, ""),
    ],
)
def test_id_as_it_was_said(said: str, found: str) -> None:
    assert asking.as_id(said) == found
