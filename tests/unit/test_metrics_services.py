# SPDX-License-Identifier: Apache-2.0
"""What systemctl, telemd and an endpoint say, and how an endpoint is named."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest

from telemetry_probes.metrics import gathering, jsonfigures, webget
from telemetry_probes.metrics.collectors import http, own, services
from telemetry_probes.metrics.model import Absent

SCENE = Path(__file__).parents[1] / "golden/metrics/services/root"
SAID = (SCENE / "usr/bin/systemctl.said").read_bytes()


def test_units_that_are_not_there_are_none() -> None:
    found = {unit.name: unit for unit in services.units(SAID)}
    assert "missing.service" not in found
    assert (found["ssh.service"].restarts, found["ssh.service"].memory_bytes) == (3, 44249088)
    assert (found["old.service"].restarts, found["old.service"].memory_bytes) == (None, None)


@pytest.mark.parametrize(
    "block",
    [
        b"Id=\nLoadState=loaded\nActiveState=active",
        b"Id=a\x1b[2J.service\nLoadState=loaded\nActiveState=active",
        b"Id=" + b"a" * 256 + b"\nLoadState=loaded\nActiveState=active",
        b"Id=a.service\nActiveState=active",
        b"Id=a.service\nLoadState=loaded\nActiveState=\nSubState=x",
        b"Id=a.service\nLoadState=loaded\nActiveState=fine",
        b"Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=\x07",
    ],
)
def test_units_that_cannot_be_are_none(block: bytes) -> None:
    assert services.units(block) == []


def test_any_output_of_systemctl_is_read() -> None:
    chance = random.Random(6)
    for _ in range(300):
        text = bytearray(SAID[: chance.randrange(len(SAID))])
        for _ in range(min(4, len(text))):
            text[chance.randrange(len(text))] = chance.choice(b"=\n[]9-\xff")
        for unit in services.units(bytes(text)):
            for number in (unit.cpu_ns, unit.memory_bytes, unit.tasks, unit.restarts):
                assert number is None or 0 <= number < (1 << 64) - 1


@pytest.mark.parametrize(
    ("text", "place", "target"),
    [
        ("a=http://127.0.0.1:8404/stats?x=1", ("", "127.0.0.1", 8404), "/stats?x=1"),
        ("a=http://localhost/", ("", "127.0.0.1", 80), "/"),
        ("a = http://[::1]:9000", ("", "::1", 9000), "/"),
        ("a=unix:/run/a.sock:/metrics", ("/run/a.sock", "", 0), "/metrics"),
        ("a=unix:/run/a.sock", ("/run/a.sock", "", 0), "/"),
    ],
)
def test_an_endpoint_is_named(text: str, place: tuple[str, str, int], target: str) -> None:
    found = http.endpoint(text)
    assert (found.name, found.target) == ("a", target)
    assert (found.place.unix, found.place.host, found.place.port) == place


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("http://127.0.0.1/", "isn't NAME=URL"),
        ("a=127.0.0.1/", "must begin with http://"),
        ("", "isn't NAME=URL"),
        ("=http://127.0.0.1/", "isn't NAME=URL"),
        ("a\nb=http://127.0.0.1/", "isn't NAME=URL"),
        ("a=https://127.0.0.1/", "must begin with http://"),
        ("a=http://example.org/", "in numbers"),
        ("a=http://127.0.0.1:x/", "a port that is none"),
        ("a=http://127.0.0.1:70000/", "a port that is none"),
        ("a=http://[::1/", "in numbers"),
        ("a=http://127.0.0.1/ HTTP/1.0\r\nX: y", "can't be asked for"),
        ("a=http://127.0.0.1/\N{SNOWMAN}", "can't be asked for"),
        ("a=http://a\x00b/", "in numbers"),
    ],
)
def test_an_endpoint_that_is_none_is_said(text: str, complaint: str) -> None:
    with pytest.raises(Absent, match=complaint):
        http.endpoint(text)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"requests_per_second": 5, "p99_ms": 1.5, "error_rate": 0, "active_backends": 2}', [5, 1.5, 0, 2]),
        (b'{"p99": -1, "error_rate": 100.5, "active_backends": true}', [None] * 4),
        (b'{"p99": NaN, "error_rate": Infinity, "requests_per_second": 1e400}', [None] * 4),
        (b'{"p99": {"p99": 1}}', [None] * 4),
        (b"[]", [None] * 4),
        (b"{" * 100_000, [None] * 4),
        (b"", [None] * 4),
        (b"<html>", [None] * 4),
        (b"\xff\xfe", [None] * 4),
        (b"requests_per_second 7\np99 -3\n", [7, None, None, None]),
    ],
)
def test_what_an_endpoint_says(body: bytes, found: list[float | None]) -> None:
    assert http.figures(body) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 12", (200, 12)),
        (b"HTTP/1.1 404\r\ncontent-length:0", (404, 0)),
        (b"HTTP/1.1 200 OK\r\nServer: x", (200, -1)),
    ],
)
def test_the_head_of_an_answer(text: bytes, found: tuple[int, int]) -> None:
    assert webget.head(text) == found


@pytest.mark.parametrize(
    "text",
    [b"", b"HTTP/1.0", b"HTTP/2 200", b"HTTP/1.0 20", b"HTTP/1.0 2x0 OK", b"SSH-2.0-OpenSSH", b"HTTP/1.0 \xb2\xb2\xb2",
     b"HTTP/1.0 200 OK\r\nContent-Length: -1", b"HTTP/1.0 200 OK\r\nContent-Length: " + b"9" * 16,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"],
)  # fmt: skip
def test_the_head_of_no_answer(text: bytes) -> None:
    with pytest.raises(ValueError, match="answer"):
        webget.head(text)


def test_figures_of_others_json() -> None:
    found = {"a": {"b": 5, "c": [1], "t": "x\ny"}, "big": 2**64, "no": True, "half": "\ud800"}
    assert jsonfigures.number(found, "a", "b") == 5
    assert [jsonfigures.number(found, *names) for names in (("big",), ("no",), ("a",), ("a", "b", "c"), ("x",))] == (
        [None] * 5
    )
    assert jsonfigures.listed(found, "a", "c") == [1]
    assert jsonfigures.listed(found, "a") == []
    assert jsonfigures.word(found, "a", "t") == "x?y"
    assert jsonfigures.word(found, "half") == "?"


DEEP = (
    b"[" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'["\\"",' + b"[" * 100_000 + b"]" * 100_001,
    b'["\\\\",' + b"[" * 100_000 + b"]" * 100_001,
    ('["' + chr(0x2200) + '",' + "[" * 100_000 + "]" * 100_000 + '"]').encode("utf-16"),
    b"[" * 33 + b"]" * 33,
)


def test_json_that_is_deep_is_refused_also_where_the_stack_is_small() -> None:
    """A Python whose limit is above what a thread's stack holds ends without a word, and this test with it."""
    refused: list[str] = []

    def work() -> None:
        for content in DEEP:
            try:
                jsonfigures.parsed(content)
            except ValueError as error:
                refused.append(str(error))

    before = threading.stack_size(gathering.THREAD_STACK_BYTES)
    thread = threading.Thread(target=work)
    thread.start()
    threading.stack_size(before)
    thread.join()
    assert len(refused) == len(DEEP)


def test_json_that_is_not_deep_is_read() -> None:
    said = {"[[[": ["}{", {'\\"[': {}}], "a": [[], [{}]], "deep": json.loads("[" * 31 + "]" * 31)}
    assert jsonfigures.parsed(json.dumps(said).encode()) == said
    for bad in (b"", b"[", b"{]}", b'"', b'["\\"]', b"nul", b"\xff"):
        with pytest.raises(ValueError, match="JSON"):
            jsonfigures.parsed(bad)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("backup_seconds", "s"), ("backup_bytes_total", "By"), ("seconds", "s"), ("hot_celsius", "Cel"), ("count", "1")],
)
def test_unit_of_a_name(name: str, unit: str) -> None:
    assert own.unit(name) == unit
