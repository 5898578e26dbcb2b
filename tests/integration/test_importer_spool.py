# SPDX-License-Identifier: Apache-2.0
"""The importer on a real disk and the real spool, with no process around them: lanes, ids, a full disk, bounds."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from leftfiles import dropped, left, old_record
from records import number_of, record, record_id, split

from telemd import importer, oldspool
from telemd.admission import EVENT, METRIC, VITAL, Policy
from telemd.cap import DROP_BYTES_MAX
from telemd.config import load
from telemd.disk import Disk
from telemd.folder import Folder
from telemd.identity import Identity
from telemd.importer import Importer, Rooms
from telemd.inbound import Inbound
from telemd.intake import Intake
from telemd.limits import Limits
from telemd.machineid import hmac_sha256
from telemd.segment import Host
from telemd.spool import Settlement, Spool
from telemd.spoolplace import SpoolPlace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = Host(bytes(16), {"arch": "x86_64"})
NOW_US = 1_700_000_000_000_000
NOW_S = NOW_US // 1_000_000
EXPIRY_US = 1200 * 60_000_000
MIB = 1 << 20
LOOK_MS = 200_000


class FullDisk(Disk):
    """One on which nothing new can be made while `full` is true."""

    full = False

    def create(self, name: str, size: int) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().create(name, size)


class House:
    """A spool with all that the importer needs, and its importer."""

    def __init__(self, path: Path) -> None:
        settings = path.parent / "telemd.conf"
        settings.write_text(f'[settings]\nstate_root = "{path.parent}"\nrecord_burst_limit = 1\nbyte_burst_limit = 1\n')
        self.path = path
        self.disk = FullDisk(str(path))
        self.spool = Spool(self.disk, -1, EXPIRY_US)
        self.intake = Intake(4)
        self.inbound = Inbound(self.intake, Limits(load(str(settings)).settings))
        self.importer = Importer(str(path), lambda message: hmac_sha256(b"secret", message), LOOK_MS)
        self.rooms = Rooms(
            self.inbound, self.spool, Policy(True, frozenset((0, os.geteuid())), named=True), HOST, NOW_US
        )

    def import_all(self) -> list[int]:
        """How many files each round was done with."""
        rounds = []
        while count := self.importer.round(self.rooms, 0):
            rounds.append(count)
        return rounds

    def delivered(self, lane: int) -> list[bytes]:
        """Everything that waits in a lane."""
        found: list[bytes] = []
        while (waiting := self.spool.head(lane, 1000, MIB, NOW_US)) is not None:
            found += split(waiting.records)
            self.spool.settle(lane, waiting, Settlement(waiting.count, 0))
        return found

    def account(self) -> dict[str, int]:
        """The spool's, which adds up."""
        self.inbound.account(self.spool)
        found = self.spool.accounting()
        assert found["received"] == found["refused"] + found["duplicate"] + found["admitted"], found
        return found

    def left_files(self) -> set[str]:
        return {each.name for each in self.path.iterdir() if not oldspool.is_ours(each.name)}

    def close(self) -> None:
        self.spool.close(NOW_US)
        self.intake.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "spool")
    yield made
    made.close()


def payload_of(one: bytes) -> bytes:
    return one[-int.from_bytes(one[12:16], "little") :]


def test_lanes_and_limits(house: House) -> None:
    """A trusted writer's crash is vital; of an old record nobody knows who sent it. No limit holds for either."""
    drop = house.path / "drop"
    for number in range(5):
        dropped(drop, number, classification=b"org.test/crash/clr")
        dropped(drop, 10 + number, classification=b"org.test/journal/error")
        left(house.path, f"crash{number}", old_record("x", classification="org.test/crash/clr"), NOW_S - number)
    left(drop, "metric.rec", record(20, kind=2), NOW_S)
    house.import_all()
    assert house.importer.idle
    assert sorted(number_of(each) for each in house.delivered(VITAL)) == list(range(5))
    assert len(house.delivered(EVENT)) == 10
    assert [number_of(each) for each in house.delivered(METRIC)] == [20]
    assert house.account()["admitted"] == 16


def test_order_is_that_of_the_files_times(house: House) -> None:
    for number in range(600):
        left(house.path, f"{number * 7919 % 1000:03}", old_record(f"{number}"), NOW_S - 1000 + number)
    rounds = house.import_all()
    assert max(rounds) <= oldspool.FILES_A_ROUND
    assert sum(rounds) == 600
    assert [payload_of(each) for each in house.delivered(EVENT)] == [b"%d" % number for number in range(600)]
    assert house.left_files() == set()
    assert house.importer.take_count() == 600


def test_taken_over_twice_is_the_same_record(house: House, tmp_path: Path) -> None:
    """As after a kill between the sync and the unlink: the hub knows the second one by its id."""
    for number in range(50):
        left(house.path, f"f{number}", old_record("the same in all of them", event_id=""), NOW_S - 100)
        dropped(house.path / "drop", number)
    aside = tmp_path / "aside"
    shutil.copytree(house.path, aside)
    house.import_all()
    first = house.delivered(EVENT)
    assert len({each[16:32] for each in first}) == 100
    for each in aside.rglob("[fd]*"):
        if each.is_file():
            shutil.copy2(each, house.path / each.relative_to(aside))
    for each in (aside / "drop").iterdir():
        shutil.copy2(each, house.path / "drop" / each.name)
    house.importer = Importer(str(house.path), lambda message: hmac_sha256(b"secret", message), LOOK_MS)
    house.import_all()
    second = house.delivered(EVENT)
    assert sorted(first) == sorted(second)
    assert house.account()["admitted"] == 200


def test_nothing_is_removed_before_it_is_durable(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    left(house.path, "one", old_record("one"), NOW_S - 100)
    dropped(house.path / "drop", 1)
    synced: list[int] = []
    removed: list[str] = []
    write_share, unlink = Disk.write_share, Folder.unlink

    def wrote(self: Disk, fd: int, share: object, offset: int) -> int:
        took = write_share(self, fd, share, offset)  # type: ignore[arg-type]
        synced.append(len(removed))
        return took

    def unlinked(self: Folder, name: str) -> None:
        removed.append(name)
        assert len(synced) == len(removed), "a file went before its record was synced"
        unlink(self, name)

    monkeypatch.setattr(Disk, "write_share", wrote)
    monkeypatch.setattr(Folder, "unlink", unlinked)
    house.import_all()
    assert removed == ["1.rec", "one"]


def test_full_disk_keeps_them_where_they_are(house: House) -> None:
    for number in range(300):
        left(house.path, f"f{number}", old_record(f"{number}"), NOW_S - 1000 + number)
    dropped(house.path / "drop", 1)
    house.disk.full = True
    for _ in range(3):
        assert house.importer.round(house.rooms, 0) == 0
        assert house.importer.due_ms == importer.AGAIN_MS
        assert not house.importer.idle
    assert len(house.left_files()) == 300
    assert (house.path / "drop/1.rec").exists()
    assert house.account()["received"] == 0  # nothing of it is received yet
    house.disk.full = False
    house.import_all()
    assert house.importer.idle
    assert house.left_files() == set()
    assert house.account()["received"] == house.account()["admitted"] == 301
    found = house.delivered(EVENT)
    assert number_of(found[0]) == 1
    assert [payload_of(each) for each in found[1:]] == [b"%d" % number for number in range(300)]


def test_large_records_go_in_as_many_rounds_as_they_need(house: House) -> None:
    body = "x" * 65_000
    for number in range(80):  # over what a batch holds
        left(house.path, f"f{number}", old_record(f"{number:06}" + body), NOW_S - 1000 + number)
        dropped(house.path / "drop", number, payload=b"y" * 65_000)
    house.import_all()
    found = house.delivered(EVENT)
    assert sorted(number_of(each) for each in found if payload_of(each)[:1] == b"y") == list(range(80))
    assert [int(payload_of(each)[:6]) for each in found if payload_of(each)[:1] != b"y"] == list(range(80))
    assert house.left_files() == set()


def test_many_bad_ones_say_little_and_fill_nothing(house: House) -> None:
    for number in range(500):
        left(house.path, f"f{number}", b"CFG:broken " + bytes([number % 256]), NOW_S - 1000 + number)
    left(house.path, "good", old_record("good"), NOW_S)
    house.import_all()
    notes = house.importer.take_notes()
    assert len(notes) == importer.SENTENCES_A_ROUND + 1
    assert notes[-1] == f"and so it is with {500 - importer.SENTENCES_A_ROUND} more files"
    assert len(list((house.path / "quarantine").iterdir())) == 64
    assert house.left_files() == set()
    account = house.account()
    assert (account["refused"], account["admitted"]) == (500, 1)


def test_file_that_cannot_be_removed_comes_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Folder, name: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    left(house.path, "one", old_record("one"), NOW_S - 100)
    dropped(house.path / "drop", 1)
    monkeypatch.setattr(Folder, "unlink", refused)
    house.import_all()
    for _ in range(5):
        assert house.importer.round(house.rooms, 0) == 0
    assert house.account()["admitted"] == 2
    assert sum("can't be removed" in note for note in house.importer.take_notes()) == 2


def test_drop_counts_against_the_cap_within_bounds(tmp_path: Path) -> None:
    dropped(tmp_path / "spool/drop", 1, payload=b"x" * 60_000)
    (tmp_path / "spool").chmod(0o700)
    house = House(tmp_path / "spool")
    with_one = house.spool.disk_bytes()
    (tmp_path / "spool/drop/1.rec").unlink()
    house.spool.cap.count_drop()
    empty = house.spool.disk_bytes()
    assert with_one - empty == len(record(1, payload=b"x" * 60_000))
    for number in range(20):
        dropped(tmp_path / "spool/drop", number, payload=b"x" * 60_000)
    house.spool.cap.count_drop()
    assert house.spool.disk_bytes() - empty == DROP_BYTES_MAX
    house.import_all()
    assert house.spool.pending() == 20
    house.close()


def test_look_costs_nothing_while_nothing_changes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = house.path / "drop"
    house.import_all()
    os.utime(drop, (NOW_S - 100, NOW_S - 100))
    house.import_all()

    def entries(self: Folder, entries_max: int | None = None) -> Iterator[tuple[str, os.stat_result]]:
        raise AssertionError("it was looked at")

    monkeypatch.setattr(Folder, "entries", entries)
    assert house.importer.round(house.rooms, 1000) == 0
    assert house.importer.due_ms == 1000 + LOOK_MS
    dropped(drop, 1)
    with pytest.raises(AssertionError, match="it was looked at"):
        house.importer.round(house.rooms, 2000)


def test_how_often_it_is_looked_is_the_owners_choice_also_while_it_runs(tmp_path: Path) -> None:
    settings = {}
    for seconds in (150, 300):
        file = tmp_path / f"{seconds}.conf"
        file.write_text(f'[settings]\nstate_root = "{tmp_path}"\nspool_process_time = {seconds}\n')
        settings[seconds] = load(str(file)).settings
    (tmp_path / "etc/telemetrics").mkdir(parents=True)
    (tmp_path / "etc/telemetrics/opt-in").touch()
    intake = Intake(4)
    place = SpoolPlace(Identity(intake), "")
    assert place.enter(settings[150], 0, NOW_US) and place.spool is not None and place.importer is not None
    rooms = Rooms(
        Inbound(intake, Limits(settings[150])), place.spool, Policy(True, frozenset(), named=True), HOST, NOW_US
    )
    place.importer.round(rooms, 1000)
    assert place.importer.due_ms == 1000 + 150_000
    place.take_up(settings[300])
    assert place.importer.due_ms <= 1000, "what was shortened counts at once"
    place.importer.round(rooms, 2000)
    assert place.importer.due_ms == 2000 + 300_000
    place.close(NOW_US)


def test_dropped_record_keeps_its_own_id(house: House) -> None:
    dropped(house.path / "drop", 7, flags=1)
    house.import_all()
    (only,) = house.delivered(EVENT)
    assert only[16:32] == record_id(7)
