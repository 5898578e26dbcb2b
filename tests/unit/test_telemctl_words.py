# SPDX-License-Identifier: Apache-2.0
"""What telemctl tail, top, selftest and send-now print, and what they make of answers of another version."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from telemd.ctl import tail
from telemd.ctl.exitcodes import MEANINGS
from telemd.ctl.send_now import Outcome, told
from telemd.ctl.toptext import Snapshot, rates, rendered
from telemd.ctl.words import Paint, clock

NOW_US = 1_780_000_000_123_456
S = 1_000_000
PLAIN = Paint(False)


def user(uid: int) -> str:
    return {0: "root", 1000: "alice-with-a-long-name"}.get(uid, "?")


RECORD: dict[str, Any] = {
    "when_us": NOW_US,
    "id": "a" * 32,
    "classification": "a/b/c",
    "severity": 3,
    "uid": 0,
    "pid": 7,
    "bytes": 2048,
    "verdict": "durable",
    "reason": "",
    "payload_bytes": 5000,
}


def test_line_of_a_record() -> None:
    shown = f"20:26:40.123  {'a' * 32}  high        2.0 KB  root/7          durable    a/b/c"
    assert tail.line(RECORD, PLAIN, user) == shown
    assert len(tail.HEADING.partition("Class")[0]) == len(shown.partition("a/b/c")[0])
    refused = tail.line({**RECORD, "verdict": "refused", "reason": "rate-limit"}, PLAIN, user)
    assert refused.endswith("refused    a/b/c  (rate-limit)")
    assert "\x1b" not in tail.line({"classification": "\x1b[31m", "id": 7, "verdict": "\x1b"}, PLAIN, user)


def test_payload_is_shown_as_far_as_it_was_kept() -> None:
    encoded = base64.b64encode(b"one\n\x1b[2Jtwo\n" + b"x" * 10).decode()
    shown = tail.payload({**RECORD, "payload_base64": encoded})
    assert shown.splitlines() == ["    one", "    ?[2Jtwo", f"    {'x' * 10}", "    ... 4.9 KB more"]
    assert tail.payload({"payload_base64": "!"}) == ""


@pytest.mark.parametrize(("seconds", "shown"), [(0.0005, "00:00:00.000"), (-1e20, "?")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def look(now_us: int, since_us: int = NOW_US, **records: int) -> Snapshot:
    sums = [
        {
            "classification": f"example.org/{name.replace('_', '/')}",
            "uid": 0,
            "records": count,
            "bytes": 100 * count,
            "refused": count // 10,
            "last_us": now_us - 3 * S,
        }
        for name, count in records.items()
    ]
    top = {"since_us": since_us, "now_us": now_us, "passed": sum(records.values()), "sums": sums}
    return Snapshot(top, {"accounting": {"pending": 12}, "delivery": {"state": "idle"}})


def test_rates_are_those_between_two_looks_the_busiest_first() -> None:
    found = rates(look(NOW_US + 2 * S, a_b=100, c_d=1000), look(NOW_US + 4 * S, a_b=140, c_d=1000, e_f=10))
    assert [(each.classification, each.records_s, each.bytes_s) for each in found] == [
        ("example.org/a/b", 20.0, 2000.0),
        ("example.org/e/f", 5.0, 500.0),
        ("example.org/c/d", 0.0, 0.0),
    ]


def test_rates_of_another_watch_begin_anew() -> None:
    (found,) = rates(look(NOW_US + 2 * S, a_b=1000), look(NOW_US + 4 * S, since_us=NOW_US + 3 * S, a_b=5))
    assert found.records_s == 5.0


@pytest.mark.parametrize("columns", [80, 81, 132])
def test_top_keeps_to_the_screen(columns: int) -> None:
    before = look(NOW_US + 2 * S, **{f"some_rather_long_name_of_a_probe_{n}": n for n in range(40)})
    now = look(NOW_US + 4 * S, **{f"some_rather_long_name_of_a_probe_{n}": 10 ** (n % 9) for n in range(40)})
    page = rendered(before, now, columns, 24, PLAIN, user)
    lines = page.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= columns
    assert "and 20 more" in lines[-1]
    assert lines[0].startswith("222,222,")
    assert "12 records waiting, delivery idle" in lines[0]


def test_top_of_nothing_and_of_another_version() -> None:
    nothing = look(NOW_US)
    assert "nothing has come yet" in rendered(nothing, nothing, 80, 24, PLAIN, user)
    odd = Snapshot({"sums": [7, {"classification": "\x1b", "uid": "x", "records": None}]}, {"delivery": []})
    assert "\x1b" not in rendered(odd, odd, 80, None, PLAIN, user)


def outcome(**values: Any) -> Outcome:
    found = Outcome(values.pop("waited"))
    for name, value in values.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (outcome(waited=0), "nothing waits"),
        (outcome(waited=1, delivered=1, left=0, took_s=0.5), "1 record waited, 1 delivered after 0.5 s"),
        (
            outcome(waited=5, delivered=2, rejected=1, left=2, took_s=1.0, why="busy"),
            "5 records waited, 2 delivered, 1 rejected by the server for good, 2 left after 1.0 s: busy",
        ),
    ],
)
def test_send_now_in_words(found: Outcome, said: str) -> None:
    assert told(found) == said


def test_every_exit_code_has_a_meaning() -> None:
    assert sorted(MEANINGS) == [0, 1, 2, 3, 130]
