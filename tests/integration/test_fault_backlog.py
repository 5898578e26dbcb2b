# SPDX-License-Identifier: Apache-2.0
"""5,000 records after an outage, while fresh ones keep coming: all of them are gone at once when the server answers.

The C original sent 51 of them in two minutes, and none at all while fresh records came.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from httppeer import Request, accept, reply, serving
from records import record, record_id
from running import Root, running, state_root, wait_until
from senders import DURABLE, Burst, say

if TYPE_CHECKING:
    import socket

BACKLOG = 5000
GONE_S = 30.0  # about half a second in truth: bench, row `backlog`
WINDOW_MIN = 15


class Outage:
    """A server that is busy until it is well; when it answered, and what it got."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.times_s: dict[str, float] = {}

    def __call__(self, request: Request, stream: socket.socket) -> bytes | None:
        if not self.over.is_set():
            return reply(503, {"message": "busy"})
        answer = accept(request, stream)
        for each in request.records:
            self.times_s.setdefault(each["id"], time.monotonic())
        return answer

    def took_s(self, numbers: range) -> float:
        """From its first answer to the last of these records."""
        return max(self.times_s[record_id(number).hex()] for number in numbers) - min(self.times_s.values())

    def has(self, numbers: range) -> bool:
        return all(record_id(number).hex() in self.times_s for number in numbers)


class Fresh:
    """One record after the other, about a hundred a second, until the end of the block."""

    def __init__(self, root: Root, first: int) -> None:
        self._root = root
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(first,), daemon=True)
        self.sent: list[int] = []

    def __enter__(self) -> Fresh:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self, first: int) -> None:
        for number in itertools.count(first):
            answer = say(self._root.socket5, record(number))
            if answer is None or answer.verdict != DURABLE or self._end.wait(0.01):
                return
            self.sent.append(number)


def send(root: Root, numbers: range) -> None:
    burst = Burst(root.socket5, numbers).start()
    burst.join()
    assert burst.durable == set(numbers)


@pytest.mark.parametrize("limits", [False, True])
def test_a_backlog_goes_at_once_while_fresh_records_come(limits: bool) -> None:
    """limits: the defaults are in force, and the backlog is what came within them."""
    backlog = range(1000 if limits else BACKLOG)
    outage = Outage()
    settings: dict[str, Any] = {"rate_limit_enabled": limits, "retry_max_s": 1, "spool_max_size": 1 << 20}
    with serving(outage) as server, state_root(server=server.url, **settings) as root, running(root) as telemd:
        send(root, backlog)
        wait_until(lambda: telemd.status()["delivery"]["last_error"], "a try has failed")
        assert telemd.account()["pending"] == len(backlog)
        with Fresh(root, 100_000) as fresh:
            wait_until(lambda: len(fresh.sent) > 20, "fresh records come")
            outage.over.set()
            wait_until(lambda: outage.has(backlog), "the backlog is gone")
            at_the_end = len(fresh.sent)
            wait_until(lambda: len(fresh.sent) > at_the_end + 20, "fresh records still come")
        assert outage.took_s(backlog) < GONE_S
        if limits:  # what came beyond them waits for its window, and not longer
            deferred_min = telemd.ask("limits")["lanes"]["event"]["deferred_min"]
            assert WINDOW_MIN - 2 <= deferred_min <= WINDOW_MIN
            assert telemd.account()["pending"] == len(fresh.sent) + 1
        else:
            telemd.wait_delivered()
            assert all(record_id(number).hex() in outage.times_s for number in fresh.sent)
