# SPDX-License-Identifier: Apache-2.0
"""The simulation has teeth: telemd with a fault put into it on purpose is found out within a few seeds.

Each fault is one that a change could bring: an order reversed, a sync forgotten, a check left out, a count made twice.
They are made at seams, on the real rooms; nothing of the source is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fakedisk import FakeDisk
from oracle import Violation
from simulation import Simulation

from telemd import delivery, frames, ledger, recovery
from telemd import room as room_module
from telemd.cap import Cap
from telemd.intake import Share
from telemd.lane import Lane
from telemd.ledger import LaneLedger
from telemd.outbound import Outbound
from telemd.reader import Reader, Waiting
from telemd.room import Room
from telemd.segment import crc32c
from telemd.spool import Settlement, Spool

SEEDS_MAX = 3000
FIRST_SEED = 500_000


ROTTING_AT_THE_CAP: dict[str, Any] = {
    "rots": True,
    "cap_bytes": 640 * 1024,
    "sizes": (60_000,),
    "sync_eio": 0,
    "eio": 0,
    "enospc": 0,
}
OFTEN_WITHOUT_POWER = {"send": 20, "pump": 15, "courier": 20, "tick": 30, "loss_soon": 10, "disk": 5}
OFTEN_KILLED = {"send": 40, "disk": 10, "kill": 5, "pump": 1, "courier": 1, "tick": 3}


def found_after(disk_class: type[FakeDisk] = FakeDisk, seeds: int = SEEDS_MAX, **changes: Any) -> int | None:
    """How many seeds it took; None where none of them saw anything. A fault that isn't put in well, so that telemd only
    stumbles over it, is no proof: those exceptions are raised."""
    for count in range(1, seeds + 1):
        try:
            Simulation(FIRST_SEED + count, disk_class, **changes).run()
        except Violation as violation:
            if isinstance(violation.__cause__, TypeError | AttributeError | NameError):
                raise
            print(f"found by seed {FIRST_SEED + count}, the {count}th: {violation}")
            return count
    return None


class AnswersBeforeSync(FakeDisk):
    """The records' sync comes with the next call that writes, and the answers have gone by then."""

    _owed: int | None = None

    def write_share(self, fd: int, share: Share, offset: int) -> int:
        self.write(fd, share.data(), offset)
        self._owed = fd
        return 0

    def write(self, fd: int, data: bytes, offset: int) -> None:
        owed, self._owed = self._owed, None
        if owed in self._open:
            self.sync(owed)
        super().write(fd, data, offset)


class ForgetsTheDirectory(FakeDisk):
    """Names are never made durable."""

    def sync_directory(self) -> None:
        self._call("fsync of the directory", writes=False)


class TrustsAFailedSync(FakeDisk):
    """The sync is simply tried once more, and then it succeeds."""

    def sync(self, fd: int) -> None:
        try:
            super().sync(fd)
        except OSError:
            super().sync(fd)


@pytest.mark.parametrize("disk_class", [AnswersBeforeSync, ForgetsTheDirectory, TrustsAFailedSync])
def test_a_sync_that_is_missing_is_found(disk_class: type[FakeDisk]) -> None:
    assert found_after(disk_class) is not None


def unlink_before_ledger(room: Room, now_us: int) -> None:
    for lane in room._lanes:
        for done in lane.finished():
            lane.remove(done)
    for doomed in room._cap.doomed:
        room._lanes[doomed.header.lane].unlink(doomed)
    room._cap.doomed.clear()
    true_flush(room, now_us)


true_flush = Room.flush


def test_an_unlink_before_the_ledgers_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Room, "flush", unlink_before_ledger)
    assert found_after() is not None


def recycle_before_ledger(room: Room, now_us: int) -> None:
    cap = room._cap
    for doomed in list(cap.doomed):
        if not cap.is_over(cap.spare.size - doomed.size) and cap.spare.make_of(doomed):
            cap.doomed.remove(doomed)
    true_flush(room, now_us)


def test_a_file_that_is_used_again_before_the_ledgers_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Room, "flush", recycle_before_ledger)
    assert found_after() is not None


def test_a_ledger_slot_whose_checksum_nobody_looks_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "crc32c", lambda data, crc=0: 0)
    assert found_after(weights=OFTEN_WITHOUT_POWER) is not None


def scan_without_checksum(
    data: bytes, generation: int, seq_floor: int, offset: int = 0, records_max: int = 1024, bytes_max: int = 1 << 62
) -> frames.Spans:
    """What frames.scan() would be if the C engine didn't compare the checksum: it is made right before it is read."""
    mended = bytearray(data)
    at = offset
    while at + frames.HEADER_LEN <= len(mended) and mended[at : at + 4] == b"TFR5":
        length = int.from_bytes(mended[at + 4 : at + 8], "little")
        if at + frames.HEADER_LEN + length > len(mended) or length > 131072:
            break
        mended[at + 8 : at + 12] = bytes(4)
        seed = (generation & 0xFFFFFFFF) ^ (generation >> 32)
        crc = true_crc(bytes(mended[at : at + frames.HEADER_LEN + length]), seed)
        mended[at + 8 : at + 12] = crc.to_bytes(4, "little")
        at += (frames.HEADER_LEN + length + 7) // 8 * 8
    return true_scan(bytes(mended), generation, seq_floor, offset, records_max, bytes_max)


true_scan = frames.scan
true_crc = crc32c


def test_a_frame_whose_checksum_nobody_looks_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "scan", scan_without_checksum)
    assert found_after() is not None


def twice(method: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any) -> Any:
        method(*args)
        return method(*args)

    return called


def test_a_verdict_that_is_applied_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "settle", twice(Spool.settle))
    assert found_after() is not None


def settle_and_pass_one_more(spool: Spool, lane: int, waiting: Waiting, settlement: Settlement) -> None:
    """The count is right, the cursor is one too far."""
    true_settle(spool, lane, waiting, settlement)
    line = spool.ledger.lanes[lane]
    if line.cursor < line.next_seq:
        line.cursor += 1
        line.delivered += 1


true_settle = Spool.settle


def test_a_cursor_that_is_one_too_far_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "settle", settle_and_pass_one_more)
    assert found_after() is not None


def lost_is_delivered(outbound: Outbound, spool: Spool, text: str, now_ms: int, now_us: int) -> None:
    """A courier that is gone has delivered what it had, surely."""
    for lane, batch in list(outbound.delivery.in_flight.items()):
        spool.settle(lane, batch.waiting, Settlement(batch.waiting.count, 0))
    outbound.delivery.lost(text, now_ms, 0.5)


def test_a_lost_answer_that_is_taken_for_a_good_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbound, "_lost", lost_is_delivered)
    assert found_after() is not None


def test_a_retry_that_is_taken_for_a_rejection_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "REJECTED", 3)
    assert found_after() is not None


def test_a_segment_with_the_courier_that_is_evicted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in flight is delivered and evicted, and so counted twice."""
    monkeypatch.setattr(Spool, "pin", lambda self, lane, waiting: None)
    monkeypatch.setattr(Reader, "advance", advance_without_looking)
    assert found_after() is not None


def advance_without_looking(reader: Reader, waiting: Waiting, count: int) -> None:
    reader._lane.ledger.cursor = waiting.first_seq + count
    reader._place = None


def test_a_number_that_was_given_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed write the next segment begins with the same number: recovery must believe the newer one."""
    true_scan_segment = recovery._scan
    monkeypatch.setattr(
        recovery, "_scan", lambda disk, fd, found, ceiling: true_scan_segment(disk, fd, found, recovery.SEQ_MAX)
    )
    assert found_after() is not None


def test_a_gap_that_eviction_forgets_to_count_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LaneLedger, "unheld", lambda self, before_seq: 0)
    assert found_after(weights=OFTEN_KILLED, **ROTTING_AT_THE_CAP) is not None


def test_a_file_that_could_not_be_removed_and_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lane, "sweep", lambda self: self.leftover.clear())
    assert found_after() is not None


def test_a_cap_that_is_not_looked_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cap, "is_over", lambda self, more: False)
    assert found_after() is not None


def test_an_expiry_that_is_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    true_head = Reader.head
    monkeypatch.setattr(
        Reader,
        "head",
        lambda self, records_max, bytes_max, now_us, expiry_us: true_head(
            self, records_max, bytes_max, now_us, expiry_us // 4
        ),
    )
    assert found_after() is not None


def test_the_spool_as_it_is_passes_the_same_seeds() -> None:
    """Else the teeth above prove nothing."""
    assert room_module.Room.flush is true_flush
    assert found_after(seeds=200) is None
    assert found_after(seeds=100, weights=OFTEN_WITHOUT_POWER) is None
    assert found_after(seeds=100, weights=OFTEN_KILLED, **ROTTING_AT_THE_CAP) is None
