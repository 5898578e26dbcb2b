# SPDX-License-Identifier: Apache-2.0
"""What the simulation found in telemd, each in the fewest steps that show it. Every one of these lost or miscounted
something once.
"""

from __future__ import annotations

import errno
import os
import random
from typing import Any

import pytest
from fakedisk import PAGE, FakeDisk
from records import record
from rig import DURABLE, Answer
from simulation import Simulation

from telemd import ledger

KIB = 1024
EVENT = 1
QUIET: dict[str, Any] = {
    "cap_bytes": 1024 * KIB,
    "capacity": 4096 * KIB,
    "ordered": True,
    "privileged": True,
    "records_a_batch": 1000,
    "poison_every": 0,
    "rots": False,
    "lies": False,
    "hub_trouble": 0,
}


class FailsNext(FakeDisk):
    """syncs_to_fail of the next syncs fail; while keeps_files nothing can be removed."""

    syncs_to_fail = 0
    keeps_files = False

    def unlink(self, name: str) -> None:
        if self.keeps_files:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().unlink(name)

    def sync(self, fd: int) -> None:
        self.faults.sync_eio = 1 if self.syncs_to_fail else 0
        self.syncs_to_fail = max(0, self.syncs_to_fail - 1)
        super().sync(fd)
        self.faults.sync_eio = 0


class Scene(Simulation):
    """A machine on which nothing goes wrong by itself."""

    def __init__(self, seed: int = 1, disk: type[FakeDisk] | None = None, **changes: Any) -> None:
        super().__init__(seed, disk or FailsNext, **{**QUIET, **changes})
        self.start()

    @property
    def syncs(self) -> FailsNext:
        assert isinstance(self.disk, FailsNext)
        return self.disk

    def send(self, count: int, size: int = 100, classification: bytes = b"org.test/unit/record") -> list[Answer]:
        """So many records of the event lane; what was said of them."""
        found: list[Answer] = []
        for _ in range(count):
            number = len(self.sent) + 1
            self.sent[number], self.lane_of[number] = record(number, b"p" * size, classification), EVENT
            self._post(self.life.senders[0], number)
            answers = self.life.round(self.host, self.elapsed_us, self.wall_us)
            self.durable.update(answer.number for answer in answers if answer.verdict == DURABLE)
            found += answers
        self.oracle.judge(self, self.life)
        return found

    def finish(self) -> dict[str, int]:
        """All is delivered and judged; the account."""
        self.log.append("finish")
        self.end_well()
        account = self.life.spool.accounting()
        self.life.end()
        return account


def reasons(answers: list[Answer]) -> list[int]:
    return [answer.reason for answer in answers]


def test_a_number_given_again_after_a_failed_sync() -> None:
    """The segment whose sync failed still has the frames of numbers that went to the next one; after a kill both are
    there, and the older one must not stand in for the newer."""
    scene = Scene()
    scene.send(1)
    scene.syncs.syncs_to_fail = 2
    assert reasons(scene.send(1)) == [19]
    assert reasons(scene.send(1)) == [0]
    scene.fall(power=False)
    account = scene.finish()
    assert (account["delivered"], account["damaged"]) == (account["admitted"], 0)
    assert {1, 3} <= scene.hub.stored.keys()


def test_a_failed_write_is_cut_off_and_gives_its_room_back() -> None:
    scene = Scene()
    scene.send(1)
    scene.syncs.syncs_to_fail = 2
    scene.send(1)
    scene.do_tick()
    assert scene.disk.used() < 2 * 128 * KIB + 32 * KIB  # the spare, and next to nothing
    scene.fall(power=False)
    assert scene.life.spool.pending() == 1
    scene.finish()


def test_a_ledger_that_failed_is_tried_again_in_the_same_slot() -> None:
    """The other slot holds the last good account until then."""
    scene = Scene()
    scene.send(1)
    scene.do_tick()
    good = scene.life.spool.ledger.generation
    for _ in range(2):
        scene.send(1)
        scene.syncs.syncs_to_fail = 1
        scene.do_tick()
        cache = bytes(scene.disk.files["ledger"].cache)
        slot = ledger.parse_slot(cache[ledger.slot_offset(good) :][: ledger.SLOT_LEN])
        assert slot is not None and slot.generation == good
    scene.finish()


def test_a_ledger_with_an_unreadable_slot_is_no_end() -> None:
    scene = Scene(rots=True)
    scene.send(3)
    scene.do_tick()
    scene.disk.files["ledger"].bad.add(scene.life.spool.ledger.generation % 2)
    scene.fall(power=False)
    assert scene.finish()["delivered"] >= 3


def test_an_unreadable_page_costs_what_lay_in_it() -> None:
    scene = Scene(rots=True)
    scene.send(300)
    scene.do_tick()
    name = scene.life.spool.lanes[EVENT].segments[0].name
    scene.disk.files[name].bad.add(4)
    account = scene.finish()
    a_page = PAGE // (48 + len(scene.sent[1]))
    assert 0 < account["damaged"] <= a_page + 2 and account["delivered"] + account["damaged"] == account["admitted"]


def test_a_file_that_cannot_be_read_at_the_first_try_is_not_lost() -> None:
    scene = Scene()
    scene.send(5)
    scene.disk.faults.eio = 0.3
    for _ in range(20):
        scene.fall(power=False)
        scene.oracle.judge(scene, scene.life)
    scene.disk.faults.eio = 0
    account = scene.finish()
    assert account["damaged"] == 0 and account["delivered"] == account["admitted"] == 6


def test_a_disk_that_cannot_write_the_ledger_evicts_nothing() -> None:
    scene = Scene(cap_bytes=640 * KIB)
    scene.send(8, 60_000)
    before = scene.life.spool.accounting()
    del scene.disk.files["spare"]
    scene.life.spool.cap.spare.bytes = 0
    scene.life.spool.cap.bytes = scene.disk.used()
    scene.disk.faults.read_only = True
    assert set(reasons(scene.send(10, 60_000))) <= {0, 16, 19}  # what is open already may still take one
    assert scene.life.spool.accounting()["evicted"] <= before["evicted"]
    scene.disk.faults.read_only = False
    scene.life.spool.cap.bytes = 640 * KIB
    assert reasons(scene.send(1, 60_000)) == [0]
    scene.finish()


def test_what_is_carried_and_not_synced_is_not_counted() -> None:
    """The first of its kind is to be saved from eviction, and that fails: it is neither there twice nor evicted."""
    scene = Scene(cap_bytes=640 * KIB)
    scene.send(1, 100, b"org.test/rare/kind")
    syncs = iter(range(100))
    for _ in range(12):
        scene.syncs.syncs_to_fail = next(syncs) % 3
        scene.send(1, 60_000)
        scene.do_tick()
    scene.syncs.syncs_to_fail = 0
    scene.send(3, 60_000)
    account = scene.finish()
    assert 1 in scene.hub.stored
    assert account["evicted"] > 0


def test_a_file_that_cannot_be_removed_is_counted_until_it_is() -> None:
    scene = Scene(cap_bytes=640 * KIB)
    for _ in range(4):
        scene.syncs.keeps_files = True
        scene.send(2, 60_000)
        scene.do_pump()
        scene.life.courier.work()
        scene.do_courier()
        scene.do_tick()
        assert scene.life.spool.disk_bytes() == scene.disk.used() <= 640 * KIB
        scene.syncs.keeps_files = False
        scene.do_tick()
        assert scene.disk.used() <= 3 * 128 * KIB
    scene.finish()


def test_a_spare_that_was_lost_is_made_again() -> None:
    scene = Scene(cap_bytes=640 * KIB)
    scene.send(8, 60_000)
    scene.disk.files.pop("spare", None)
    answers = scene.send(6, 60_000)
    assert reasons(answers)[-1] == 0
    scene.finish()


def test_what_a_power_cut_leaves_of_a_new_segment_does_not_fill_the_quarantine() -> None:
    scene = Scene(cap_bytes=640 * KIB)
    for number in range(30):
        scene.disk.files[f"event-{0x1000 + number:016x}.seg"] = file_of(128 * KIB, b"")
        scene.disk.files[f"vital-{0x2000 + number:016x}.seg"] = file_of(128 * KIB, b"junk" * 1000)
        scene.fall(power=False)
        assert scene.disk.used() <= 640 * KIB
    assert reasons(scene.send(1)) == [0]
    scene.finish()


def file_of(size: int, begin: bytes) -> Any:
    disk = FakeDisk(random.Random(1), 1 << 30, True)
    fd = disk.create("x", size)
    disk.write(fd, begin, 0)
    return disk.files["x"]


def test_a_gap_before_an_evicted_segment_is_counted() -> None:
    scene = Scene(cap_bytes=640 * KIB, rots=True)
    scene.send(8, 60_000)
    scene.do_tick()
    first = scene.life.spool.lanes[EVENT].segments[0]
    del scene.disk.files[first.name]
    scene.fall(power=False)
    assert scene.life.spool.accounting()["damaged"] == first.count
    scene.send(8, 60_000)
    scene.do_tick()
    assert scene.life.spool.accounting()["damaged"] == first.count
    scene.finish()


def test_what_was_carried_before_the_clock_was_set_is_not_old() -> None:
    scene = Scene(cap_bytes=640 * KIB)
    scene.send(1, 100, b"org.test/rare/kind")
    scene.send(4, 60_000)
    scene._wall_shift_us = 400 * 24 * 3600 * 1_000_000
    scene.life.spool.clock_jumped(scene._wall_shift_us)
    scene.send(12, 60_000)
    account = scene.finish()
    assert account["expired"] == 0 and 1 in scene.hub.stored


class LedgerFails(FailsNext):
    """The ledger can be written ledger_writes more times, and then not; below 0 it always can."""

    ledger_writes = -1

    def write(self, fd: int, data: bytes, offset: int) -> None:
        if self._open[fd] is self.files["ledger"] and self.ledger_writes >= 0:
            if self.ledger_writes == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self.ledger_writes -= 1
        super().write(fd, data, offset)


def test_nothing_is_sent_past_an_eviction_that_no_ledger_tells_of() -> None:
    """The ledger can't be written when a segment is evicted; killed then, telemd finds it again, and would send it
    after what came behind it."""
    scene = Scene(disk=LedgerFails, cap_bytes=640 * KIB)
    disk = scene.disk
    assert isinstance(disk, LedgerFails)
    while not scene.life.spool.accounting()["evicted"]:
        disk.ledger_writes = 1
        scene.send(1, 60_000)
        assert len(scene.sent) < 50
    disk.ledger_writes = 0
    scene.do_pump()
    scene.life.courier.work()
    scene.do_courier()
    disk.ledger_writes = -1
    scene.fall(power=False)
    scene.finish()


def test_an_account_that_only_the_page_cache_has_is_made_durable() -> None:
    """Its sync failed and telemd was killed: the next one reads what the medium doesn't have, and unlinks by it."""
    scene = Scene()
    scene.send(3)
    scene.do_tick()
    scene.send(3)
    scene.syncs.syncs_to_fail = 1
    scene.do_tick()
    file = scene.disk.files["ledger"]
    scene.fall(power=False)
    assert file.platter == file.cache
    scene.finish()


class HidesOne(FailsNext):
    """While `hidden` names a file it can neither be read nor removed."""

    hidden = ""

    def read(self, fd: int, offset: int, count: int) -> bytes:
        if self._open[fd] is self.files.get(self.hidden):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(fd, offset, count)

    def unlink(self, name: str) -> None:
        if name == self.hidden:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().unlink(name)


def test_a_number_given_twice_stays_the_newer_segments_also_after_a_footer() -> None:
    """The newer one couldn't be read for one start, in which the older one was sealed with the number that was given
    again."""
    scene = Scene(disk=HidesOne)
    disk = scene.disk
    assert isinstance(disk, HidesOne)
    scene.send(1)
    disk.syncs_to_fail = 2
    assert reasons(scene.send(1)) == [19]
    assert reasons(scene.send(1)) == [0]
    disk.hidden = scene.life.spool.lanes[EVENT].segments[-1].name
    scene.fall(power=False)
    disk.hidden = ""
    scene.fall(power=False)
    account = scene.finish()
    assert (account["delivered"], account["damaged"]) == (account["admitted"], 0)
    assert {1, 3} <= scene.hub.stored.keys()


@pytest.mark.parametrize("seed", range(8))
def test_a_number_given_again_to_what_was_evicted_is_not_there_once_more(seed: int) -> None:
    """A power cut takes the footer of the segment whose sync failed; the one that had the number after it was evicted
    while it was in flight."""
    scene = Scene(seed, cap_bytes=640 * KIB, rots=True)
    scene.send(1)
    scene.do_pump()
    scene.syncs.syncs_to_fail = 2
    assert reasons(scene.send(1)) == [19]
    while not scene.life.spool.ledger.lanes[EVENT].hole_first:
        scene.send(1, 60_000)
    scene.do_tick()
    scene.fall(power=True)
    scene.finish()


def test_nothing_is_sent_past_what_expired_before_the_ledger_tells_of_it() -> None:
    """Killed then, with the clock put back, telemd would send what had expired after what was sent."""
    scene = Scene()
    scene.send(1)
    scene._wall_shift_us = 400 * 24 * 3600 * 1_000_000  # while telemd isn't told
    scene.expiry_us = 0
    scene.send(1)
    scene.do_pump()
    scene.life.courier.work()
    scene._wall_shift_us = 0
    scene.fall(power=False)
    assert scene.finish()["expired"] == 1
