# SPDX-License-Identifier: Apache-2.0
"""The fake disk does what is said of it: else the simulation would prove something about another world."""

from __future__ import annotations

import errno
import random

import pytest
from fakedisk import PAGE, FakeDisk, PowerLoss

from telemd.disk import Disk

SEEDS = range(40)


def disk_of(seed: int, ordered: bool = True) -> FakeDisk:
    return FakeDisk(random.Random(seed), 1 << 20, ordered)


def after_power_loss(disk: FakeDisk, name: str) -> bytes | None:
    disk.power_loss()
    disk.revive()
    return bytes(disk.files[name].cache) if name in disk.files else None


def test_it_answers_every_call_of_the_real_one() -> None:
    calls = {name for name, value in vars(Disk).items() if callable(value) and not name.startswith("__")}
    assert calls <= set(vars(FakeDisk))


def test_what_is_synced_stays() -> None:
    for seed in SEEDS:
        disk = disk_of(seed)
        fd = disk.create("a", 3 * PAGE)
        disk.write(fd, b"x" * 5000, 100)
        disk.sync(fd)
        disk.sync_directory()
        found = after_power_loss(disk, "a")
        assert found is not None and found[100:5100] == b"x" * 5000


def test_what_is_not_synced_is_kept_lost_or_torn() -> None:
    seen = set()
    for seed in SEEDS:
        disk = disk_of(seed)
        fd = disk.create("a", PAGE)
        disk.sync(fd)
        disk.sync_directory()
        disk.write(fd, b"x" * PAGE, 0)
        found = after_power_loss(disk, "a") or b""
        assert len(found) == PAGE and found.count(b"x") % 512 == 0
        seen.add("lost" if b"x" not in found else "kept" if b"\0" not in found else "torn")
    assert seen == {"lost", "kept", "torn"}


@pytest.mark.parametrize("ordered", [True, False])
def test_names_come_with_the_directory(ordered: bool) -> None:
    there = set()
    for seed in SEEDS:
        disk = disk_of(seed, ordered)
        disk.sync(disk.create("a", PAGE))
        disk.sync(disk.create("b", PAGE))
        disk.power_loss()
        there.add(tuple(sorted(disk.files)))
    assert {(), ("a", "b")} <= there and (("b",) in there) is not ordered


def test_a_removed_name_may_come_back() -> None:
    back = set()
    for seed in SEEDS:
        disk = disk_of(seed)
        disk.sync(disk.create("a", PAGE))
        disk.sync_directory()
        disk.unlink("a")
        back.add(after_power_loss(disk, "a") is not None)
    assert back == {True, False}


def test_a_failed_sync_drops_the_data_and_the_next_one_succeeds() -> None:
    lost = 0
    for seed in SEEDS:
        disk = disk_of(seed)
        fd = disk.create("a", PAGE)
        disk.sync(fd)
        disk.sync_directory()
        disk.write(fd, b"x" * PAGE, 0)
        disk.faults.sync_eio = 1
        with pytest.raises(OSError) as failure:
            disk.sync(fd)
        assert failure.value.errno == errno.EIO
        disk.faults.sync_eio = 0
        disk.sync(fd)
        assert disk.read(fd, 0, 1) == b"x"  # the cache still has it
        lost += after_power_loss(disk, "a") == bytes(PAGE)
    assert 0 < lost < len(SEEDS)


def test_a_kill_keeps_the_cache() -> None:
    disk = disk_of(1)
    fd = disk.create("a", 10)
    disk.write(fd, b"unsynced", 0)
    disk.kill()
    with pytest.raises(PowerLoss):
        disk.names()
    disk.revive()
    assert disk.read(disk.open("a"), 0, 8) == b"unsynced" and disk.open_files() == 1


def test_a_full_disk_says_so() -> None:
    disk = disk_of(1)
    with pytest.raises(OSError) as failure:
        disk.create("a", 2 << 20)
    assert failure.value.errno == errno.ENOSPC and disk.used() == 0


def test_an_unreadable_page_can_be_read_once_it_is_written() -> None:
    disk = disk_of(1)
    fd = disk.create("ledger", 2 * PAGE)
    disk.write(fd, b"x" * 2 * PAGE, 0)
    disk.sync(fd)
    disk.sync_directory()
    place = disk.spoil_page()
    at = int(place.partition("+")[2])
    with pytest.raises(OSError):
        disk.read(fd, 0, 2 * PAGE)
    disk.write(fd, b"y" * PAGE, at)
    assert disk.read(fd, at, 1) == b"y"
