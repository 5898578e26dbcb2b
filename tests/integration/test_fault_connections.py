# SPDX-License-Identifier: Apache-2.0
"""More connections than places: the service goes on, at rest it costs nothing, and a reload is answered.

With 1,100 idle connections and 1,024 descriptors the daemon of the C original span for ever; SIGHUP hung it.
"""

from __future__ import annotations

import contextlib
import resource
import time
from typing import TYPE_CHECKING

import pytest
from records import record
from running import Root, Telemd, running, state_root, wait_until
from senders import DURABLE, bursts, connected, is_closed, receive_answer, say

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

IDLE = 1100
DESCRIPTORS = 1024
FEW = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
LOOK_S = 2.0
CPU_SHARE_MAX = 0.25
MANY = 10_000


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """As many as the hard limit gives, for the connections' other ends."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def needs_descriptors(count: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count:
        pytest.skip(f"needs {count} descriptors: raise the hard limit (ulimit -Hn)")


@contextlib.contextmanager
def idle(root: Root, count: int, first_bytes: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that say no more than that."""
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(count):
            stream = stack.enter_context(connected(root.socket5))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # closed again, to make room
                stream.sendall(first_bytes)
            held.append(stream)
        yield held


def assert_serves(root: Root, number: int) -> None:
    for each in range(number, number + 20):
        answer = say(root.socket5, record(each))
        assert answer is not None
        assert answer.verdict == DURABLE


def assert_rests(telemd: Telemd) -> None:
    """It comes to rest: one that spins never does."""

    def rests() -> bool:
        before_s, began_s = telemd.cpu_s(), time.monotonic()
        time.sleep(LOOK_S)  # not to wait for anything: this is the time that is measured
        return telemd.cpu_s() - before_s < CPU_SHARE_MAX * (time.monotonic() - began_s)

    wait_until(rests, f"it uses less than {CPU_SHARE_MAX:.0%} of a processor with nothing to do")


def test_more_idle_connections_than_descriptors() -> None:
    with state_root(spool_max_size=1 << 20) as root, running(root, command=FEW) as telemd, idle(root, IDLE):
        assert_serves(root, 1)
        assert_rests(telemd)
        assert_serves(root, 100)
        status = telemd.status()
        assert 0 < status["connections"] <= DESCRIPTORS
        assert status["closed_for_room"] >= IDLE - DESCRIPTORS
        assert telemd.account()["admitted"] == 40


def test_more_unfinished_records_than_descriptors() -> None:
    with (
        state_root(spool_max_size=1 << 20) as root,
        running(root, command=FEW) as telemd,
        idle(root, IDLE, record(1)[:40]),
    ):
        assert_serves(root, 1)
        assert_rests(telemd)
        account = telemd.wait_account("their time is over", lambda seen: seen["refused"].get("timeout") == IDLE)
        assert (account["admitted"], account["refused"]) == (20, {"timeout": IDLE})
        assert_serves(root, 100)


def test_the_longest_silent_goes_first_and_the_newest_stays() -> None:
    with state_root(connections_max=16) as root, running(root) as telemd, idle(root, 16) as old:
        wait_until(lambda: telemd.status()["connections"] == 16, "all are taken in")
        for number, stream in enumerate(old[1:]):  # everybody but the first says something
            stream.sendall(record(number))
            assert receive_answer(stream) is not None
        with connected(root.socket5) as newest:
            newest.sendall(record(99))
            answer = receive_answer(newest)
            assert answer is not None
            assert answer.verdict == DURABLE
            assert is_closed(old[0])
            for number, stream in enumerate(old[1:]):
                stream.sendall(record(200 + number))
                assert receive_answer(stream) is not None
        assert telemd.status()["closed_for_room"] == 1


def test_reload_and_status_while_all_places_are_taken_and_senders_send() -> None:
    with (
        state_root(spool_max_size=1 << 20) as root,
        running(root, command=FEW) as telemd,
        idle(root, IDLE),
        bursts(root.socket5, 20_000, 4) as senders,
    ):
        root.configure(spool_max_size=1 << 20, retry_max_s=7)
        telemd.reload()
        telemd.wait_log("the configuration was read again")
        assert telemd.status()["ok"]
        for each in senders:
            each.join()
        assert telemd.account()["admitted"] >= 20_000


def test_ten_thousand_connections_at_once() -> None:
    needs_descriptors(MANY + 100)
    with state_root(spool_max_size=1 << 20) as root, running(root) as telemd, idle(root, MANY) as held:
        assert_serves(root, 1)
        assert_rests(telemd)
        newest = held[-1]
        newest.sendall(record(50))
        answer = receive_answer(newest)
        assert answer is not None
        assert answer.verdict == DURABLE
        assert telemd.status()["connections"] <= MANY


def test_ten_thousand_connections_with_a_record_each() -> None:
    with state_root(spool_max_size=1 << 20) as root, running(root) as telemd:
        for first in range(0, MANY, 500):
            with idle(root, 500) as streams:
                for number, stream in enumerate(streams, first):
                    stream.sendall(record(number))
                answers = [receive_answer(stream) for stream in streams]
                assert all(answer is not None and answer.verdict == DURABLE for answer in answers)
        account = telemd.account()
        assert (account["admitted"], account["refused"]) == (MANY, {})
        wait_until(lambda: telemd.status()["connections"] == 0, "all are gone")
