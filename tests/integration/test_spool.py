# SPDX-License-Identifier: Apache-2.0
"""The spool on a real disk, filled through the real intake: order, restarts, damage, a cap, the account."""

from __future__ import annotations

from pathlib import Path

import pytest
from feeding import Feeder
from records import number_of, record, split
from spooling import (
    EVENT,
    EXPIRY_US,
    HEADER_LEN,
    HOST,
    MIB,
    NOW_US,
    balanced,
    big,
    crashed,
    drained,
    frame_len,
    numbers,
    on_disk,
    opened,
    segment_files,
)

from telemd.disk import Disk, SpoolDirectoryError
from telemd.segment import Host
from telemd.spool import Settlement


def test_what_goes_in_comes_out_once_and_in_order(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(100))
    assert balanced(spool) and spool.pending() == 100
    assert drained(spool) == list(range(1, 101))
    assert spool.pending() == 0 and balanced(spool)
    spool.close(NOW_US)
    assert segment_files(directory) == []


def test_lanes_do_not_mix(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    for lane in range(3):
        feeder.fill(spool, numbers(10, 100 * lane + 1), lane=lane)
    assert [drained(spool, lane) for lane in range(3)] == [list(range(100 * i + 1, 100 * i + 11)) for i in range(3)]


@pytest.mark.parametrize("clean", [True, False])
def test_a_restart_goes_on_where_delivery_was(feeder: Feeder, directory: Path, clean: bool) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(50))
    waiting = spool.head(EVENT, 20, MIB, NOW_US)
    assert waiting is not None and waiting.count == 20
    spool.settle(EVENT, waiting, Settlement(19, 1))
    spool.flush(NOW_US)
    if clean:
        spool.close(NOW_US)
    else:
        crashed(spool)
    spool = opened(directory)
    assert spool.pending() == 30 and balanced(spool)
    feeder.fill(spool, numbers(5, 51))
    assert drained(spool) == list(range(21, 56))
    assert spool.accounting()["rejected"] == 1 and balanced(spool)


def test_records_go_over_many_segments(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, big(1, 30))
    assert len(segment_files(directory)) == 15
    assert spool.disk_bytes() <= 2560 * 1024
    assert drained(spool) == list(range(1, 31))
    spool.close(NOW_US)


def test_at_the_cap_the_oldest_go_but_for_the_first_of_a_kind(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, [record(1, b"rare", b"org.test/rare/kind")])
    feeder.fill(spool, big(2, 30))
    assert on_disk(directory) <= 1024 * 1024
    account = spool.accounting()
    assert account["admitted"] == 31 and account["evicted"] > 10 and balanced(spool)
    left = drained(spool)
    assert 1 in left and left[-1] == 31 and len(set(left)) == len(left) == account["pending"]
    assert balanced(spool) and spool.accounting()["damaged"] == 0


def test_an_evicted_account_survives_a_kill(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, big(1, 30))
    before = spool.accounting()
    crashed(spool)
    spool = opened(directory, 1024 * 1024)
    after = spool.accounting()
    assert balanced(spool) and (after["evicted"], after["pending"]) == (before["evicted"], before["pending"])
    assert len(drained(spool)) == before["pending"]


def test_a_higher_lane_takes_the_place_of_a_lower_one_and_never_the_other_way(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, big(1, 6), lane=0)
    feeder.fill(spool, big(101, 20), lane=1)  # at the cost of their own lane
    assert spool.lanes[0].pending() == 6 and spool.accounting()["evicted"] > 0
    events = spool.lanes[1].pending()
    feeder.fill(spool, big(201, 4), lane=0)
    assert spool.lanes[0].pending() == 10 and spool.lanes[1].pending() < events and balanced(spool)
    assert drained(spool, 0) == [*range(1, 7), *range(201, 205)]


def test_what_is_with_the_courier_is_not_evicted(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, big(1, 4))
    waiting = spool.head(EVENT, 1000, MIB, NOW_US)
    assert waiting is not None and waiting.count == 2
    spool.pin(EVENT, waiting)
    feeder.fill(spool, big(5, 30))
    assert spool.accounting()["evicted"] > 0 and balanced(spool)
    crashed(spool)
    spool = opened(directory, 1024 * 1024)
    assert balanced(spool)
    left = drained(spool)
    assert left[:2] == [1, 2] and left[-1] == 34 and balanced(spool)
    assert spool.accounting()["damaged"] == 0


def test_when_everything_is_with_the_courier_newcomers_are_refused(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, big(1, 10))
    spool.lanes[EVENT].in_flight_to = 2**60
    reasons = feeder.feed(spool, big(11, 20))
    assert reasons[-1] == 16 and spool.accounting()["evicted"] == 0 and on_disk(directory) <= 1024 * 1024
    spool.pin(EVENT, None)
    feeder.fill(spool, big(41, 2))


def test_expiry_is_exact(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    minute = 60_000_000
    for at in range(4):
        feeder.fill(spool, numbers(2, 10 * at + 1), now_us=NOW_US + at * minute)
    late = NOW_US + EXPIRY_US + minute + 1  # the first two minutes' records are too old, the third's not yet
    waiting = spool.head(EVENT, 1000, MIB, late)
    assert waiting is not None and [number_of(one) for one in split(waiting.records)] == [21, 22, 31, 32]
    assert spool.accounting()["expired"] == 4 and balanced(spool)


def test_segments_expire_without_delivery(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, big(1, 6))
    assert spool.expire(NOW_US + EXPIRY_US) == 0
    assert spool.expire(NOW_US + EXPIRY_US + 1) == 4  # the active segment's go when it is sealed
    spool.flush(NOW_US)
    assert balanced(spool) and len(segment_files(directory)) == 1


def test_a_jump_of_the_clock_expires_nothing(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    year = 365 * 86400 * 1_000_000
    feeder.fill(spool, numbers(3))
    spool.clock_jumped(50 * year)
    feeder.fill(spool, numbers(3, 4), now_us=NOW_US + 50 * year)
    spool.flush(NOW_US)
    crashed(spool)
    spool = opened(directory)
    found = []
    while (waiting := spool.head(EVENT, 1000, MIB, NOW_US + 50 * year)) is not None:
        found += [number_of(one) for one in split(waiting.records)]
        spool.settle(EVENT, waiting, Settlement(waiting.count, 0))
    assert found == [1, 2, 3, 4, 5, 6] and spool.accounting()["expired"] == 0


def test_a_segment_holds_one_machine_id_and_one_set_of_facts(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    other = Host(b"o" * 16, {"arch": "aarch64"})
    feeder.fill(spool, numbers(3))
    feeder.fill(spool, numbers(3, 4), host=other)
    first = spool.head(EVENT, 1000, MIB, NOW_US)
    assert first is not None and (first.count, first.host) == (3, HOST)
    spool.settle(EVENT, first, Settlement(3, 0))
    second = spool.head(EVENT, 1000, MIB, NOW_US)
    assert second is not None and (second.count, second.host) == (3, other)


def test_a_clock_that_jumps_back_starts_a_segment_and_loses_nothing(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(3))
    spool.clock_jumped(1 - NOW_US)
    feeder.fill(spool, numbers(3, 4), now_us=1)
    spool.clock_jumped(NOW_US - 1)
    feeder.fill(spool, numbers(3, 7))
    assert len(segment_files(directory)) == 3
    assert drained(spool) == list(range(1, 10))


def test_a_torn_tail_is_cut_off(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(10))
    spool.flush(NOW_US)
    end = spool.lanes[EVENT].segments[-1].end
    crashed(spool)
    path = segment_files(directory)[0]
    with path.open("r+b") as file:
        file.seek(end)
        file.write(b"TFR5" + bytes(12) + (11).to_bytes(8, "little") + bytes(24) + record(99)[:90])
    spool = opened(directory)
    assert any("not acknowledged" in note for note in spool.take_notes())
    assert drained(spool) == list(range(1, 11)) and balanced(spool)


def test_what_an_evicted_segment_left_behind_the_last_frame_is_nobodys(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, big(1, 40))
    spool.flush(NOW_US)
    evicted = spool.accounting()["evicted"]
    last = spool.lanes[EVENT].segments[-1]
    assert evicted and (directory / last.name).read_bytes()[last.end :].strip(b"\0")
    crashed(spool)
    spool = opened(directory, 1024 * 1024)
    assert spool.take_notes() == [] and spool.accounting()["evicted"] == evicted
    left = drained(spool)
    assert left[-1] == 40 and len(set(left)) == len(left) == 40 - evicted and balanced(spool)


def test_a_file_that_was_being_used_again_is_removed(feeder: Feeder, directory: Path) -> None:
    """The power failed after it had its new name, and before its header was written."""
    spool = opened(directory, 1024 * 1024)
    feeder.fill(spool, big(1, 40))
    spool.flush(NOW_US)
    crashed(spool)
    (directory / "spare").rename(directory / f"event-{0xFFFF:016x}.seg")
    spool = opened(directory, 1024 * 1024)
    (note,) = spool.take_notes()
    assert note == "event-000000000000ffff.seg in the spool has the header of another: removed"
    assert not (directory / "quarantine").exists() and on_disk(directory) == spool.disk_bytes()
    assert drained(spool)[-1] == 40 and balanced(spool)


@pytest.mark.parametrize("sealed", [True, False])
def test_damage_in_the_middle_is_counted_and_passed(feeder: Feeder, directory: Path, sealed: bool) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(10))
    spool.flush(NOW_US)
    if sealed:
        spool.close(NOW_US)
    else:
        crashed(spool)
    path = segment_files(directory)[0]
    data = bytearray(path.read_bytes())
    frame = frame_len(record(1))
    data[HEADER_LEN + 3 * frame + 100] ^= 0xFF  # in the fourth record
    data[HEADER_LEN + 6 * frame + 8] ^= 0xFF  # in the frame of the seventh
    path.write_bytes(data)
    spool = opened(directory)
    assert balanced(spool)
    assert drained(spool) == [1, 2, 3, 5, 6, 8, 9, 10]
    assert spool.accounting()["damaged"] == 2 and balanced(spool)
    assert len(list((directory / "quarantine").iterdir())) == 2


def test_a_missing_segment_is_counted_exactly(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, big(1, 10))
    spool.close(NOW_US)
    segment_files(directory)[2].unlink()
    spool = opened(directory, 2560 * 1024)
    assert balanced(spool) and spool.accounting()["damaged"] == 2
    assert drained(spool) == [1, 2, 3, 4, 7, 8, 9, 10]
    assert spool.accounting()["damaged"] == 2 and balanced(spool)


def test_a_missing_last_segment_is_counted_exactly_and_once(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, big(1, 6))
    spool.close(NOW_US)
    segment_files(directory)[-1].unlink()
    for _ in range(2):
        spool = opened(directory, 2560 * 1024)
        assert balanced(spool) and spool.accounting()["damaged"] == 2
        spool.close(NOW_US)
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, numbers(3, 7))
    assert drained(spool) == [1, 2, 3, 4, 7, 8, 9]
    assert spool.accounting()["damaged"] == 2 and balanced(spool)


def test_a_segment_without_header_goes_to_quarantine(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory, 2560 * 1024)
    feeder.fill(spool, big(1, 6))
    spool.close(NOW_US)
    with segment_files(directory)[1].open("r+b") as file:
        file.write(b"garbage")
    spool = opened(directory, 2560 * 1024)
    assert drained(spool) == [1, 2, 5, 6] and spool.accounting()["damaged"] == 2 and balanced(spool)
    assert len(list((directory / "quarantine").iterdir())) == 1


@pytest.mark.parametrize("how", ["removed", "garbage", "empty"])
def test_without_a_ledger_everything_is_sent_again(feeder: Feeder, directory: Path, how: str) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(10))
    waiting = spool.head(EVENT, 4, MIB, NOW_US)
    assert waiting is not None
    spool.settle(EVENT, waiting, Settlement(4, 0))
    spool.close(NOW_US)
    ledger = directory / "ledger"
    if how == "removed":
        ledger.unlink()
    else:
        ledger.write_bytes(b"" if how == "empty" else b"\xa5" * 8192)
    spool = opened(directory)
    assert drained(spool) == list(range(1, 11)) and balanced(spool)


def test_foreign_files_are_left_alone(feeder: Feeder, directory: Path) -> None:
    spool = opened(directory)
    feeder.fill(spool, numbers(3))
    spool.close(NOW_US)
    (directory / "README").write_text("not ours")
    (directory / "event-00000000000000ff.seg").symlink_to("/etc/passwd")
    spool = opened(directory)
    assert drained(spool) == [1, 2, 3]
    assert (directory / "README").read_text() == "not ours" and Path("/etc/passwd").stat().st_size > 0


def test_one_owner(directory: Path) -> None:
    spool = opened(directory)
    with pytest.raises(SpoolDirectoryError, match="another telemd"):
        Disk(str(directory))
    spool.close(NOW_US)
    opened(directory).close(NOW_US)


def test_a_symlink_is_not_a_spool(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolDirectoryError, match="symbolic link"):
        Disk(str(directory))


def test_a_directory_open_to_others_is_not_a_spool(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(SpoolDirectoryError, match="written by others"):
        Disk(str(directory))


def test_a_spool_directory_that_is_a_file(directory: Path) -> None:
    directory.write_text("")
    with pytest.raises(SpoolDirectoryError, match="not a directory"):
        Disk(str(directory))
