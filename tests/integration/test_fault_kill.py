# SPDX-License-Identifier: Apache-2.0
"""kill -9 of telemd in the middle of a burst, again and again: what was answered "durable" arrives, once.

The daemon of the C original lost 4,099 of 10,000 such records, of which every send had returned 0.
"""

from __future__ import annotations

import random
import sqlite3
from typing import TYPE_CHECKING

from hubprocess import hub_at
from records import record_id
from running import running, state_root
from senders import WINDOW, Trip, bursts

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20
BURST = 10_000
SENDERS = 4
KILLED_BY = BURST - 2 * SENDERS * WINDOW
"""Answers that no sender has counted yet may be under way: with so many counted a part is still to be sent."""


def ids_at_the_hub(data: Path) -> list[bytes]:
    with sqlite3.connect(f"file:{data / 'records.sqlite'}?mode=ro", uri=True) as store:
        found = [bytes(row[0]) for row in store.execute("SELECT id FROM record")]
    store.close()
    return found


def test_twenty_kills_in_bursts_of_ten_thousand(tmp_path: Path) -> None:
    chance = random.Random(5)
    data = tmp_path / "hub"
    with hub_at(data) as hub, state_root(server=hub.url, spool_max_size=1 << 20, retry_max_s=1) as root:
        durable: set[int] = set()
        connections = 0
        for turn in range(KILLS):
            with running(root) as telemd:
                trip = Trip(chance.randrange(BURST // 20, KILLED_BY), telemd.process.kill)
                with bursts(root.socket5, BURST, SENDERS, turn * BURST, trip) as senders:
                    telemd.wait()
                    assert any(each.goes_on for each in senders), "the burst was over before the kill"
                    with running(root):
                        for each in senders:
                            each.join()
            durable.update(*(each.durable for each in senders))
            connections += sum(each.connections for each in senders)
            assert all(not each.refused for each in senders)
        assert connections > KILLS * SENDERS  # they came back
        assert len(durable) == KILLS * BURST
        with running(root) as telemd:
            account = telemd.wait_delivered()
        assert account["admitted"] == account["delivered"] >= KILLS * BURST
        assert (account["evicted"], account["expired"], account["damaged"], account["rejected"]) == (0, 0, 0, 0)
    found = ids_at_the_hub(data)
    assert len(found) == len(set(found)) == KILLS * BURST
    assert set(found) == {record_id(number) for number in durable}
