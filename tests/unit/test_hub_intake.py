# SPDX-License-Identifier: Apache-2.0
"""telemhub.web.intake: limits of time and memory that a client over the network can't be made to reach quickly."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import pytest
from hubbatch import batch, host_line, line, ndjson
from metricpayload import gauge, payload, record_fields, table
from starlette.requests import Request

from telemhub import points
from telemhub.records import PAYLOAD_MAX, POINTS_OVERHEAD
from telemhub.store.sqlite import SqliteStore
from telemhub.web import intake
from telemhub.web.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Message


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    one = SqliteStore(tmp_path / "hub")
    yield one
    one.close()


def request(receive: Callable[[], Awaitable[Message]], **headers: str) -> Request:
    given = {"content-type": "application/x-ndjson", **headers}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": "POST", "path": "/v1/records", "headers": raw}, receive)


def whole(body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return request(receive)


def test_a_body_that_never_ends_is_given_up(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_DEADLINE_S", 0.2)

    async def receive() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    answer = asyncio.run(Intake(store, lambda: 1).post(request(receive)))
    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"


def test_a_client_that_leaves_is_no_fault(store: SqliteStore) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    assert asyncio.run(Intake(store, lambda: 1).post(request(receive))).status_code == 400


def test_a_batch_that_was_handed_over_is_stored_though_nobody_waits(store: SqliteStore) -> None:
    async def leave() -> None:
        post = asyncio.ensure_future(Intake(store, lambda: 1).post(whole(batch(1, 2))))
        while store.stats().result(60).records == 0:
            await asyncio.sleep(0)
        post.cancel()

    asyncio.run(leave())
    assert store.stats().result(60).records == 2


def test_memory_held_by_all_bodies_is_bounded_and_comes_free(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "HELD_MAX", 1_000_000)
    senders = 40

    async def run() -> tuple[list[Response], Response]:
        one = Intake(store, lambda: 1)
        all_began = asyncio.Event()
        began = 0

        def slow(body: bytes) -> Request:
            pieces = [body]

            async def receive() -> Message:
                nonlocal began
                if pieces:
                    return {"type": "http.request", "body": pieces.pop(), "more_body": True}
                began += 1
                if began == senders:
                    all_began.set()
                await all_began.wait()
                return {"type": "http.request", "body": b"", "more_body": False}

            return request(receive)

        bodies = [batch(number, payload="x" * 60_000) for number in range(1, senders + 1)]
        answers = await asyncio.gather(*(one.post(slow(body)) for body in bodies))
        return answers, await one.post(
            whole(ndjson(host_line(), *(line(n, payload="x" * 60_000) for n in range(50, 60))))
        )

    answers, last = asyncio.run(run())
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(503)) == (16, 24)
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 503)
    assert last.status_code == 200


def test_a_batch_that_would_never_find_room_is_to_be_sent_in_parts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its sender would try for ever: a machine after a long outage has many records of many series."""
    monkeypatch.setattr(intake, "HELD_MAX", 100_000)
    monkeypatch.setattr(intake, "BATCH_HELD_MAX", 80_000)
    content = payload(table(gauge("load", *[[1, 2, 3]] * 100)))
    both = ndjson(host_line(), *(line(number, **record_fields(content)) for number in range(2)))
    one = ndjson(host_line(), line(1, **record_fields(content)))
    asked = Intake(store, lambda: 1)
    assert asyncio.run(asked.post(whole(both))).status_code == 413
    assert asyncio.run(asked.post(whole(one))).status_code == 200


def test_one_record_always_finds_room() -> None:
    series = points.COLUMNS_MAX * (POINTS_OVERHEAD + sys.getsizeof("{}"))
    attributes = 4 * points.ATTRIBUTES_BYTES_MAX  # a str takes so much where one character is beyond 16 bits
    values = points.PLAIN_MAX // 2 * points.POINT_BYTES
    assert series + attributes + values + 2 * PAYLOAD_MAX < intake.BATCH_HELD_MAX < intake.HELD_MAX


def test_the_log_names_rejected_records_and_is_not_flooded(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [1_000_000_000]
    one = Intake(store, lambda: clock[0])
    bad = ndjson(host_line(), *(line(number, severity=9, payload="SECRET") for number in range(1, 11)), line(11))

    async def run() -> None:
        for _ in range(20):
            assert (await one.post(whole(bad))).status_code == 200
        clock[0] += intake.REPORT_EVERY_US
        assert (await one.post(whole(bad))).status_code == 200

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    first, second = caplog.messages
    assert first.startswith("Rejected 10 of 11 records of a batch (0000000000007000800000000000000")
    assert ": severity" in first
    assert "and 190 since" in second
    assert "SECRET" not in caplog.text
