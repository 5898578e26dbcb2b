# SPDX-License-Identifier: Apache-2.0
"""The rate limits of a running telemd: what is refused, what is deferred, what a restart remembers, who is limited."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hubprocess import hub_at
from records import record
from running import NOBODY, Root, needs_root, running, state_root
from senders import DURABLE, REFUSED, connected, receive_answer

from libtelemetry.wire import REASON_NAMES

LIMIT = 20


def verdicts(stream: socket.socket, first: int, count: int) -> list[int]:
    stream.sendall(b"".join(record(number) for number in range(first, first + count)))
    answers = [receive_answer(stream) for _ in range(count)]
    assert all(answer is not None for answer in answers)
    refused = [REASON_NAMES[answer.reason] for answer in answers if answer is not None and answer.verdict == REFUSED]
    assert set(refused) <= {"rate-limit"}
    return [answer.verdict for answer in answers if answer is not None]


def sent(root: Root, first: int, count: int) -> list[int]:
    with connected(root.socket5) as stream:
        return verdicts(stream, first, count)


def test_drop_refuses_the_surplus_and_says_so() -> None:
    with (
        state_root(rate_limit_enabled=True, record_burst_limit=LIMIT, rate_limit_strategy="drop") as root,
        running(root) as telemd,
    ):
        assert sent(root, 0, LIMIT + 10) == [DURABLE] * LIMIT + [REFUSED] * 10
        assert sent(root, 100, 1) == [REFUSED]
        assert telemd.refused() == {"rate-limit": 11}
        event = telemd.ask("limits")["lanes"]["event"]
        assert event["records"] == {"used": LIMIT, "limit": LIMIT, "minutes": 15}


def test_spool_keeps_the_surplus_and_sends_only_what_was_within(tmp_path: Path) -> None:
    with hub_at(tmp_path) as hub, state_root(server=hub.url, rate_limit_enabled=True, record_burst_limit=LIMIT) as root:
        with running(root) as telemd:
            assert sent(root, 0, LIMIT + 10) == [DURABLE] * (LIMIT + 10)
            telemd.wait_account("what is within is there", lambda seen: seen["delivered"] == LIMIT)
            assert 14 <= telemd.ask("limits")["lanes"]["event"]["deferred_min"] <= 15
        with running(root) as telemd:  # the surplus is still deferred, and nothing passes it
            assert sent(root, 100, 1) == [DURABLE]
            telemd.wait_account("it is admitted", lambda seen: seen["admitted"] == LIMIT + 11)
            assert telemd.account()["pending"] == 11


def test_a_restart_remembers_what_passed() -> None:
    with state_root(rate_limit_enabled=True, record_burst_limit=LIMIT, rate_limit_strategy="drop") as root:
        with running(root):
            assert sent(root, 0, LIMIT - 5) == [DURABLE] * (LIMIT - 5)
        with running(root):
            assert sent(root, 100, 10) == [DURABLE] * 5 + [REFUSED] * 5


def test_a_reload_changes_the_limit_and_keeps_the_count() -> None:
    settings: dict[str, str | int] = {"rate_limit_enabled": True, "rate_limit_strategy": "drop"}
    with state_root(True, record_burst_limit=LIMIT, **settings) as root, running(root) as telemd:
        assert sent(root, 0, LIMIT) == [DURABLE] * LIMIT
        root.configure(record_burst_limit=LIMIT + 5, **settings)
        assert telemd.ask("reload")["reloaded"] is True
        assert sent(root, 100, 10) == [DURABLE] * 5 + [REFUSED] * 5


def test_bytes_are_counted_as_bytes() -> None:
    size = len(record(0))
    settings: dict[str, str | int] = {
        "rate_limit_enabled": True,
        "rate_limit_strategy": "drop",
        "byte_burst_limit": 10 * size,
    }
    with state_root(True, **settings) as root, running(root):
        assert sent(root, 0, 12) == [DURABLE] * 10 + [REFUSED] * 2


def test_one_user_cannot_use_up_what_all_may_send() -> None:
    needs_root()
    with state_root(rate_limit_enabled=True, source_burst_limit=LIMIT) as root, running(root) as telemd:
        stream = as_nobody(root)
        with stream:
            assert verdicts(stream, 0, LIMIT + 10) == [DURABLE] * LIMIT + [REFUSED] * 10
        assert sent(root, 100, LIMIT + 10) == [DURABLE] * (LIMIT + 10)
        assert telemd.ask("limits")["sources"]["used"] == {str(NOBODY): LIMIT}


def as_nobody(root: Root) -> socket.socket:
    return as_user(root, NOBODY)


def as_user(root: Root, uid: int) -> socket.socket:
    """A connection that belongs to that user: SO_PEERCRED is who connected."""
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(60)
    os.seteuid(uid)
    try:
        stream.connect(str(root.socket5))
    except OSError:
        stream.close()
        raise
    finally:
        os.seteuid(0)
    return stream


def test_a_narrow_umask_shuts_nobody_out() -> None:
    needs_root()
    with state_root() as root:
        before = os.umask(0o077)
        try:
            daemon = running(root)
            with daemon, as_nobody(root) as stream:
                assert verdicts(stream, 0, 1) == [DURABLE]
        finally:
            os.umask(before)


def flood(root: Root, uid: int, first: int, count: int, size: int) -> tuple[int, set[str]]:
    """How many large records of that user were taken, and why the others weren't."""
    taken, why = 0, set[str]()
    with as_user(root, uid) as stream:
        for number in range(first, first + count):
            stream.sendall(record(number, b"x" * size))
            answer = receive_answer(stream)
            assert answer is not None
            taken += answer.verdict == DURABLE
            if answer.verdict == REFUSED:
                why.add(REASON_NAMES[answer.reason])
    return taken, why


def test_large_records_of_users_displace_nobody_elses() -> None:
    """32 MB each, of several users, into a spool of 5 MB from which nothing is delivered."""
    needs_root()
    with state_root(rate_limit_enabled=True) as root, running(root) as telemd:
        assert sent(root, 0, 200) == [DURABLE] * 200
        with as_user(root, 2000) as stream:
            assert verdicts(stream, 1000, 3) == [DURABLE] * 3
        for place, uid in enumerate((1000, 1001, 1002, 1003)):
            taken, why = flood(root, uid, 10_000 * (place + 1), 150, 64_000)
            assert taken < 25 and why == {"rate-limit"}
        with as_user(root, 2001) as stream:
            assert verdicts(stream, 2000, 3) == [DURABLE] * 3
        assert sent(root, 500, 200) == [DURABLE] * 200
        seen = telemd.wait_account("all is counted", lambda seen: seen["received"] == 2 * 203 + 4 * 150)
        assert seen["evicted"] == 0
        users = telemd.ask("limits")["lanes"]["event"]["users"]
        assert 0 < users["waiting"]["used"] <= users["waiting"]["limit"] == 5120 * 1024 * 3 // 8


def test_users_cannot_defer_what_root_sends(tmp_path: Path) -> None:
    needs_root()
    with (
        hub_at(tmp_path) as hub,
        state_root(server=hub.url, rate_limit_enabled=True, record_burst_limit=100) as root,
        running(root) as telemd,
    ):
        taken = 0
        for place in range(20):
            with as_user(root, 1000 + place) as stream:
                taken += verdicts(stream, 1000 * (place + 1), 30).count(DURABLE)
        assert 20 <= taken <= 50
        assert sent(root, 0, 50) == [DURABLE] * 50
        telemd.wait_account("nothing of it is deferred", lambda seen: seen["delivered"] == taken + 50)
        assert telemd.ask("limits")["lanes"]["event"]["deferred_min"] == 0


def test_a_restart_and_many_user_ids_open_no_window() -> None:
    needs_root()
    with state_root(rate_limit_enabled=True, source_burst_limit=LIMIT, record_burst_limit=-1) as root:
        with running(root):
            with as_user(root, 1000) as stream:
                assert verdicts(stream, 0, LIMIT) == [DURABLE] * LIMIT
            taken = [flood(root, 100_000 + member, 1000 * (member + 1), LIMIT, 100)[0] for member in range(10)]
            assert taken == [LIMIT] * 4 + [0] * 6
        with running(root):
            with as_user(root, 1000) as stream:
                assert verdicts(stream, 500, 5) == [REFUSED] * 5
            assert flood(root, 100_000, 50_000, 5, 100)[0] == 0
