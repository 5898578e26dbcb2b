# SPDX-License-Identifier: Apache-2.0
"""The ledger's file on a disk that fails, or that somebody deletes: the last good slot stays, the account goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ailingdisk import AilingDisk, open_files, opened_on
from spooling import EXPIRY_US, NOW_US, account, crashed, delivered, drained, numbers, opened, put

from telemd import ledger
from telemd.disk import Disk
from telemd.ledger import SLOT_LEN
from telemd.spool import Spool


def slots(directory: Path) -> list[int | None]:
    """The generations of the two; None for one that isn't good."""
    data = (directory / "ledger").read_bytes()
    assert len(data) == 2 * SLOT_LEN
    read = [ledger.parse_slot(data[at : at + SLOT_LEN]) for at in (0, SLOT_LEN)]
    return [each.generation if each is not None else None for each in read]


def changed(spool: Spool) -> None:
    spool.count_refused(1)


def test_the_two_slots_take_turns(directory: Path, disk: AilingDisk) -> None:
    spool = opened_on(disk)
    spool.flush(NOW_US)
    assert slots(directory) == [None, 1]
    for written in ([2, 1], [2, 3], [4, 3]):
        changed(spool)
        spool.flush(NOW_US)
        spool.flush(NOW_US)  # nothing has changed
        assert slots(directory) == written


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_ledger_that_fails_is_tried_again_at_the_same_slot(directory: Path, disk: AilingDisk, call: str) -> None:
    """The other one is the last that is good."""
    spool = opened_on(disk)
    for _ in range(4):
        changed(spool)
        spool.flush(NOW_US)
    assert slots(directory) == [4, 3]
    disk.fail(call, "ledger")
    for _ in range(3):
        changed(spool)
        spool.flush(NOW_US)
        assert slots(directory)[0] == 4
    disk.heal()
    spool.flush(NOW_US)
    assert slots(directory) == [4, 5]
    crashed(spool)
    spool = opened(directory)
    assert spool.accounting()["refused"] == 7


def test_whether_it_can_be_written_is_seen_at_the_same_slot(directory: Path, disk: AilingDisk) -> None:
    """Before something is evicted: what was written for that and never synced may be torn, the other slot stays."""
    spool = opened_on(disk, 1024 * 1024)
    for _ in range(4):
        changed(spool)
        spool.flush(NOW_US)
    ledger_file = spool._ledger_file
    for _ in range(3):
        ledger_file.try_to_write(NOW_US)
        assert slots(directory) == [4, 5]
    changed(spool)
    spool.flush(NOW_US)
    assert slots(directory) == [4, 5]
    disk.fail("write", "ledger")
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            ledger_file.try_to_write(NOW_US)
    disk.heal()
    changed(spool)
    spool.flush(NOW_US)
    assert slots(directory) == [6, 5]


@pytest.mark.parametrize("times", [3, 4])
def test_what_a_start_has_read_is_synced_before_anything_comes_of_it(
    directory: Path, disk: AilingDisk, times: int
) -> None:
    """It may stand in the page cache alone. The slot is written as it is, and the other one left."""
    spool = opened_on(disk)
    for _ in range(times):
        changed(spool)
        spool.flush(NOW_US)
    crashed(spool)
    before = (directory / "ledger").read_bytes()
    disk = AilingDisk(directory)
    spool = opened_on(disk)
    assert [call for call in disk.done if "spare" not in call][:2] == ["write ledger", "sync ledger"]
    assert (directory / "ledger").read_bytes() == before
    crashed(spool)


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_start_goes_on_where_that_fails(directory: Path, disk: AilingDisk, call: str) -> None:
    spool = opened_on(disk)
    put(spool, numbers(5))
    delivered(spool, 2)
    spool.flush(NOW_US)
    crashed(spool)
    disk = AilingDisk(directory)
    disk.fail(call, "ledger", errno.EIO)
    spool = opened_on(disk)
    assert account(spool)["delivered"] == 2 and drained(spool) == [3, 4, 5]
    assert any("ledger could not be written" in note for note in spool.take_notes())


def test_what_stands_behind_the_slots_is_nobodys(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(3))
    spool.flush(NOW_US)
    crashed(spool)
    later = ledger.Ledger()
    later.generation = 1000
    with (directory / "ledger").open("ab") as file:
        file.write(later.pack(NOW_US))
    spool = opened(directory)
    assert spool.take_notes() == [] and drained(spool) == [1, 2, 3]


def test_a_ledger_that_was_deleted_is_written_anew(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(5))
    spool.flush(NOW_US)
    delivered(spool, 2)
    assert not spool.is_lost()
    (directory / "ledger").unlink()
    assert spool.is_lost()
    found = spool.let_go(NOW_US)
    assert (directory / "ledger").stat().st_size == 2 * SLOT_LEN and slots(directory) == [None, 1]
    spool = Spool(Disk(str(directory)), -1, EXPIRY_US, found)
    after = account(spool)
    assert (after["admitted"], after["delivered"], after["pending"]) == (5, 2, 3)
    assert spool.take_notes() == [] and not spool.is_lost()
    assert drained(spool) == [3, 4, 5]


def test_a_ledger_that_was_deleted_cannot_be_written_anew(directory: Path, disk: AilingDisk) -> None:
    """Then what is there begins a new account."""
    spool = opened_on(disk)
    put(spool, numbers(5))
    delivered(spool, 2)
    (directory / "ledger").unlink()
    disk.fail("create", "ledger", errno.ENOSPC)
    found = spool.let_go(NOW_US)
    assert not (directory / "ledger").exists()
    spool = Spool(Disk(str(directory)), -1, EXPIRY_US, found)
    assert account(spool)["delivered"] == 0 and drained(spool) == [1, 2, 3, 4, 5]
    assert any("no readable ledger" in note for note in spool.take_notes())


def test_a_ledger_that_is_there_is_not_written_over(directory: Path) -> None:
    spool = opened(directory)
    spool.flush(NOW_US)
    before = (directory / "ledger").read_bytes()
    changed(spool)
    spool.let_go(NOW_US)
    assert (directory / "ledger").read_bytes() == before


def test_no_descriptor_is_left_of_one_that_was_written_anew(directory: Path) -> None:
    spool = opened(directory)
    put(spool, numbers(1))
    assert "ledger" in open_files(directory)
    (directory / "ledger").unlink()
    spool.let_go(NOW_US)
    assert (directory / "ledger").exists() and open_files(directory) == []


def test_a_ledger_that_cannot_be_made_keeps_a_spool_from_starting(directory: Path, disk: AilingDisk) -> None:
    disk.fail("create", "ledger", errno.ENOSPC)
    with pytest.raises(OSError, match="No space left on device"):
        opened_on(disk)
    assert list(directory.glob("ledger")) == []
