# SPDX-License-Identifier: Apache-2.0
"""telemd killed at each of its fault points while senders send, started again, and killed at the next: in the end the
real hub has what was answered "durable", and has it once.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hubprocess import hub_at
from records import record, record_id
from running import Root, Telemd, running, state_root
from senders import DURABLE, WINDOW, Burst, bursts, say

from telemd import faultpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubprocess import HubProcess

ENDING = Path(__file__).parent / "ending_telemd.py"
SENDERS = 3
A_LIFE = 1500
ON_THE_WAY = (
    "segment-created",
    "header-written",
    "directory-synced",
    "frames-written",
    "frames-synced",
    "settled",
    "ledger-due",
    "ledger-written",
    "ledger-synced",
    "footer-written",
    "unlinked",
)
AT_THE_CAP = ("evicted", "carried", "carry-synced", "recycled", "ledger-due", "ledger-written", "ledger-synced")
FIRST = 1_000_000
BIG = b"x" * 4000
SMALLEST_CAP = 512


def ending(point: str, passes: int) -> list[str]:
    return [sys.executable, "-I", str(ENDING), point, str(passes)]


def dies(telemd: Telemd, point: str) -> None:
    """It ends itself there."""
    try:
        code = telemd.wait()
    except BaseException:
        telemd.kill()
        print(f"{point} was not reached: {telemd.log()}")
        raise
    assert code == -signal.SIGKILL, f"{point}: {telemd.log()}"


class Story:
    """Lives of telemd on one root, each with senders of its own that go on in the next ones until all is answered."""

    def __init__(self, root: Root, payload: bytes = b"x" * 200) -> None:
        self.root = root
        self.senders: list[Burst] = []
        self.lives = 0
        self._payload = payload
        self._next = 0

    def lives_until(self, point: str, passes: int, records: int = A_LIFE) -> None:
        """One telemd, from its start to that point."""
        telemd = Telemd(self.root, command=ending(point, passes))
        try:
            for _ in range(SENDERS):
                numbers = range(self._next, self._next + records)
                self.senders.append(Burst(self.root.socket5, numbers, payload=self._payload).start())
                self._next += records
            dies(telemd, point)
        except BaseException:
            for each in self.senders:
                each.give_up()
            telemd.kill()
            raise
        self.lives += 1

    def told(self) -> set[int]:
        """Wait until every sender has all its answers; what was answered "durable"."""
        for each in self.senders:
            each.join()
            assert not each.refused
        durable = set[int]().union(*(each.durable for each in self.senders))
        assert durable == set(range(self._next))
        return durable

    @property
    def sent_twice_max(self) -> int:
        """A kill may come between a sync and the answers that nobody gets then."""
        return self.lives * len(self.senders) * WINDOW


def at_the_hub(hub: HubProcess) -> set[str]:
    found = [str(each["id"]) for each in hub.records(limit=1000)]
    assert len(found) == len(set(found)), "twice"
    return set(found)


def ids(numbers: set[int]) -> set[str]:
    return {record_id(number).hex() for number in numbers}


def nothing_but(account: Mapping[str, int], *reasons: str) -> None:
    """Records came to no other end."""
    ends = {"delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending"}
    assert {name: account[name] for name in ends - {"delivered", *reasons}} == dict.fromkeys(
        ends - {"delivered", *reasons}, 0
    )


def test_every_point_has_its_test() -> None:
    assert {*ON_THE_WAY, *AT_THE_CAP, "quarantined"} == set(faultpoint.POINTS)


@pytest.mark.parametrize("passes", [0, 3])
def test_killed_at_each_point_on_the_way_to_the_hub(tmp_path: Path, passes: int) -> None:
    """passes 3: in the midst of the work, where there is some; a segment begins once in a life."""
    once = {"segment-created", "header-written", "directory-synced", "footer-written", "unlinked"}
    with hub_at(tmp_path) as hub, state_root(server=hub.url, spool_max_size=1 << 20, retry_max_s=1) as root:
        story = Story(root)
        for point in ON_THE_WAY:
            story.lives_until(point, 0 if point in once else passes)
        with running(root) as telemd:
            durable = story.told()
            account = telemd.wait_delivered()
        nothing_but(account)
        assert len(durable) <= account["delivered"] <= len(durable) + story.sent_twice_max
        assert at_the_hub(hub) == ids(durable)


def test_killed_at_each_point_of_eviction(tmp_path: Path) -> None:
    """No server at first, and a spool that is too small: what is missing at the hub in the end is what the account says
    was evicted, and the first of its kind isn't among it."""
    with hub_at(tmp_path) as hub, state_root(spool_max_size=SMALLEST_CAP) as root:
        story = Story(root, BIG)
        with running(root):
            answer = say(root.socket5, record(FIRST, BIG))
            assert answer is not None
            assert answer.verdict == DURABLE
        for point in AT_THE_CAP:
            story.lives_until(point, 1, records=200)
        with running(root):
            durable = story.told() | {FIRST}
        root.configure(spool_max_size=SMALLEST_CAP, server=hub.url)
        with running(root) as telemd:
            account = telemd.wait_delivered()
        nothing_but(account, "evicted")
        arrived = at_the_hub(hub)
        assert arrived <= ids(durable)
        assert ids({FIRST}) <= arrived
        twice = account["admitted"] - len(durable)
        assert 0 <= twice <= story.sent_twice_max
        missing = len(durable) - len(arrived)
        assert account["evicted"] - twice <= missing <= account["evicted"]
        assert missing > 0


def test_killed_when_damage_was_put_away(tmp_path: Path) -> None:
    """And before anything says so on disk: it is counted all the same, and once."""
    with hub_at(tmp_path) as hub, state_root() as root:
        with running(root), bursts(root.socket5, 300, 1):
            pass
        damaged = damage_one(root)
        root.configure(server=hub.url)
        dies(Telemd(root, command=ending("quarantined", 0)), "quarantined")
        with running(root) as telemd:
            account = telemd.wait_delivered()
        nothing_but(account, "damaged")
        assert (account["delivered"], account["damaged"]) == (299, 1)
        assert at_the_hub(hub) == ids(set(range(300)) - {damaged})
        assert len(list((root.spool / "quarantine").iterdir())) == 1


def damage_one(root: Root) -> int:
    """Turn a byte of one record's payload in the segment; which record that is."""
    (segment,) = root.spool.glob("event-*.seg")
    data = bytearray(segment.read_bytes())
    damaged = 150
    at = data.index(record_id(damaged)) + 150
    assert data[at] == ord("x")
    data[at] ^= 1
    segment.write_bytes(data)
    return damaged
