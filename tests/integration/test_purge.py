# SPDX-License-Identifier: Apache-2.0
"""Purging on a real spool: what is meant goes and is counted, everything else stays, in order, whatever happens."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from feeding import Feeder
from records import number_of, record, record_id, split
from spooling import EVENT, EXPIRY_US, HOST, MIB, NOW_US, account, crashed, drained, opened

from telemd import fates, inspection
from telemd.purge import PIECE_RECORDS_MAX
from telemd.segment import Host
from telemd.spool import Settlement

if TYPE_CHECKING:
    from telemd.spool import Spool

A, B = b"org.test/unit/record", b"org.other/unit/record"


def mixed(count: int, payload: bytes = b"x" * 100) -> list[bytes]:
    """Even numbers are of class A, odd ones of class B."""
    return [record(number, payload, (A, B)[number % 2]) for number in range(count)]


def purged(spool: Spool, pattern: bytes | None, lane: int = EVENT, until: int = 0) -> int:
    """Step by step to the end; the number of records dropped."""
    until = until or spool.lanes[lane].ledger.next_seq
    count = 0
    while True:
        step = spool.purge(lane, pattern, until, NOW_US)
        account(spool)
        assert step.count + step.kept <= PIECE_RECORDS_MAX or pattern is None
        assert len(step.ids) == 16 * step.count
        count += step.count
        if step.done:
            return count
        assert step.count + step.kept > 0


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.seg"))


def test_whole_lane(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    for lane in range(3):
        feeder.fill(spool, mixed(50), lane=lane)
    assert purged(spool, None) == 50
    assert [lane.pending() for lane in spool.lanes] == [50, 0, 50]
    found = account(spool)
    assert (found["purged"], found["pending"], found["damaged"]) == (50, 100, 0)
    feeder.fill(spool, [record(1000)])
    assert drained(spool) == [1000]
    assert drained(spool, 0) == list(range(50))


def test_many_segments_go_one_a_call_and_their_files_with_them(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, mixed(20, b"p" * 60_000))
    before = len(files(directory))
    assert before == 10
    spool.purge(EVENT, None, spool.lanes[EVENT].ledger.next_seq, NOW_US)
    assert len(files(directory)) == before - 1
    assert purged(spool, None) == 18
    assert files(directory) == []
    spool.close(NOW_US)


@pytest.mark.parametrize(("pattern", "left"), [(A, 1), (b"org.test/*", 1), (B, 0), (b"org.other/unit/*", 0)])
def test_class(feeder: Feeder, directory: Path, pattern: bytes, left: int) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(2500))
    assert purged(spool, pattern) == 1250
    found = account(spool)
    assert (found["admitted"], found["purged"], found["pending"]) == (2500, 1250, 1250)
    assert drained(spool) == list(range(left, 2500, 2))
    assert account(spool)["damaged"] == 0


@pytest.mark.parametrize("pattern", [b"org.test", b"org.test/unit/recor", b"x/*", b"org.test/unit/record/*"])
def test_class_that_nothing_is_of(feeder: Feeder, directory: Path, pattern: bytes) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(30))
    assert purged(spool, pattern) == 0
    assert drained(spool) == list(range(30))


def test_star_alone_is_every_class(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(30))
    assert purged(spool, b"*") == 30
    assert spool.pending() == 0


def test_only_what_is_below_the_number(feeder: Feeder, directory: Path) -> None:
    for pattern, left in ((None, [7, 8, 9]), (A, [1, 3, 5, 7, 8, 9])):
        spool = opened(directory.with_name(f"spool-{pattern is None}"))
        feeder.fill(spool, mixed(10))
        assert purged(spool, pattern, until=8) == 10 - len(left)  # record 0 has number 1
        assert sorted(drained(spool)) == left
        crashed(spool)


def test_what_comes_meanwhile_stays(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(2500))
    until = spool.lanes[EVENT].ledger.next_seq
    spool.purge(EVENT, A, until, NOW_US)
    feeder.fill(spool, [record(9000, classification=A)])
    purged(spool, A, until=until)
    assert 9000 in drained(spool)


def test_over_many_segments_with_a_cap_nothing_else_is_lost(feeder: Feeder, directory: Path) -> None:
    """At the cap there is no room but the spare for what is carried."""
    spool = opened(directory, MIB)
    feeder.fill(spool, mixed(13, b"p" * 60_000))
    before = account(spool)
    assert before["evicted"] == 0
    assert purged(spool, A) == 7
    after = account(spool)
    assert (after["evicted"], after["purged"], after["pending"]) == (0, 7, 6)
    assert sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) <= MIB
    assert drained(spool) == list(range(1, 13, 2))


def test_full_of_what_is_kept(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, MIB)
    numbers = range(40)
    feeder.fill(spool, [record(n, b"p" * 60_000, B if n == 39 else A) for n in numbers])
    evicted, pending = account(spool)["evicted"], spool.pending()
    assert evicted > 0
    assert purged(spool, B) == 1
    after = account(spool)
    assert (after["evicted"], after["pending"]) == (evicted, pending - 1)


def test_records_keep_their_machine_their_times_and_their_id(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    other = Host(b"o" * 16, {"arch": "aarch64"})
    late = NOW_US + 60_000_000
    feeder.fill(spool, mixed(4))
    feeder.fill(spool, [record(10, classification=A), record(11, classification=B)], host=other, not_before_us=late)
    purged(spool, A)
    first, next_seq = inspection.page(spool, EVENT, 0, 100)
    assert next_seq == 0
    assert [number_of(each.record) for each in first] == [1, 3, 11]
    assert [each.host.machine_id for each in first] == [HOST.machine_id, HOST.machine_id, b"o" * 16]
    assert [each.admitted_us for each in first] == [NOW_US] * 3
    assert [each.not_before_us for each in first] == [0, 0, late]
    assert drained(spool) == [1, 3]
    assert drained(spool, now_us=late) == [11]


def test_age_goes_on_where_the_clock_was_set(feeder: Feeder, directory: Path) -> None:
    year_us = 365 * 86_400 * 1_000_000
    spool = opened(directory)
    feeder.fill(spool, mixed(4))
    spool.clock_jumped(year_us)
    purged(spool, A)
    spool.clock_jumped(0)
    assert drained(spool, now_us=NOW_US + year_us + EXPIRY_US) == [1, 3]


def test_what_is_with_the_courier_is_not_touched(feeder: Feeder, directory: Path) -> None:
    for pattern in (None, A):
        spool = opened(directory.with_name(f"spool-{pattern is None}"))
        feeder.fill(spool, mixed(10))
        waiting = spool.head(EVENT, 4, MIB, NOW_US)
        assert waiting is not None
        spool.pin(EVENT, waiting)
        step = spool.purge(EVENT, pattern, spool.lanes[EVENT].ledger.next_seq, NOW_US)
        assert (step.count, step.kept, step.done) == (0, 0, False)
        spool.settle(EVENT, waiting, Settlement(4, 0))
        spool.pin(EVENT, None)
        assert purged(spool, pattern) == (6 if pattern is None else 3)
        assert account(spool)["delivered"] == 4
        crashed(spool)


@pytest.mark.parametrize("pattern", [None, A])
@pytest.mark.parametrize("steps", [1, 2])
def test_killed_in_the_middle_everything_adds_up(
    feeder: Feeder, directory: Path, pattern: bytes | None, steps: int
) -> None:
    spool = opened(directory, 5120 * 1024)
    feeder.fill(spool, mixed(40, b"p" * 60_000))
    until = spool.lanes[EVENT].ledger.next_seq
    for _ in range(steps):
        spool.purge(EVENT, pattern, until, NOW_US)
    before = account(spool)
    assert before["purged"] > 0
    crashed(spool)
    spool = opened(directory, 5120 * 1024)
    after = account(spool)
    assert (after["purged"], after["pending"]) == (before["purged"], before["pending"])
    purged(spool, pattern, until=until)
    assert sorted(drained(spool)) == ([] if pattern is None else list(range(1, 40, 2)))
    assert account(spool)["damaged"] == 0


def test_disk_that_fails_while_it_is_carried(feeder: Feeder, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(100))
    with monkeypatch.context() as patched:

        def fails(fd: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        patched.setattr("telemd.disk.os.fdatasync", fails)
        with pytest.raises(OSError, match="Input/output"):
            spool.purge(EVENT, A, spool.lanes[EVENT].ledger.next_seq, NOW_US)
    account(spool)
    purged(spool, A)
    assert drained(spool) == list(range(1, 100, 2))


def test_damage_is_counted_as_damage(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(100))
    spool.close(NOW_US)
    (path,) = directory.glob("*.seg")
    with path.open("r+b") as file:
        file.seek(4096 + 20)
        file.write(b"????")
    spool = opened(directory)
    assert purged(spool, A) == 49
    found = account(spool)
    assert (found["purged"], found["damaged"], found["pending"]) == (49, 1, 50)


def test_fates_of_what_was_purged(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(10))
    purged(spool, A)
    purged(spool, B, until=3)  # nothing of it: all of class B has higher numbers now
    found = {number: spool.fates.find(record_id(number)) for number in range(10)}
    assert {number for number, fate in found.items() if fate is not None} == {0, 2, 4, 6, 8}
    assert {fate.end for fate in found.values() if fate is not None} == {fates.PURGED}
    purged(spool, None)
    assert spool.fates.find(record_id(1)) is not None


def test_deferred_and_expired_ones_go_too(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, mixed(2), not_before_us=NOW_US + 60_000_000)
    assert purged(spool, None) == 2
    feeder.fill(spool, mixed(2), now_us=NOW_US - 2 * EXPIRY_US)
    assert purged(spool, A) == 1
    waiting = spool.head(EVENT, 1000, MIB, NOW_US)
    assert waiting is None or [number_of(one) for one in split(waiting.records)] == []
    found = account(spool)
    assert (found["purged"], found["expired"]) == (3, 1)


def test_what_was_evicted_can_not_be_read_after_a_purge(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, mixed(40, b"secret" * 10_000))
    spool.flush(NOW_US)
    assert spool.accounting()["evicted"]
    assert b"secret" in (directory / "spare").read_bytes()
    purged(spool, None)
    assert not any(b"secret" in path.read_bytes() for path in directory.iterdir() if path.is_file())
    spool.close(NOW_US)
