# SPDX-License-Identifier: Apache-2.0
"""A running telemd on disks that are full, read-only, exchanged or deleted under it: senders are told, what was
acknowledged is accounted for, and service comes back by itself as soon as the disk does.

The C original told 2,000 senders on a full disk that all was well, left 1,744 empty files, and logged nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hubprocess import hub_at
from ownmounts import OwnMounts, fill, own_mounts
from records import record, record_id
from running import Root, Telemd, running, state_root, wait_until
from senders import DURABLE, REFUSED, Burst, say

from libtelemetry.wire import REASON_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BIG = b"x" * 1000
VITAL = b"org.clearlinux/kernel/bug"
SMALL_DISK_KIB = 2048


def send(root: Root, numbers: range, payload: bytes = BIG) -> Burst:
    """One after the other, each with its answer."""
    burst = Burst(root.socket5, numbers, payload=payload).start()
    burst.join()
    assert len(burst.durable) + len(burst.refused) == len(numbers)
    return burst


def reasons(burst: Burst) -> set[str]:
    return {REASON_NAMES[reason] for reason in burst.refused.values()}


def comes_back(root: Root, number: int) -> None:
    """One record after the other, until one is taken."""

    def taken() -> bool:
        answer = say(root.socket5, record(number))
        assert answer is not None
        assert answer.verdict in (DURABLE, REFUSED)
        return answer.verdict == DURABLE

    wait_until(taken, "records are taken again")


def arrived(hub_data: Path, root: Root, mounts: OwnMounts | None = None) -> tuple[set[str], dict[str, int]]:
    """What a hub has in the end, and telemd's account then."""
    command = mounts.command if mounts is not None else []
    with hub_at(hub_data) as hub:
        root.configure(server=hub.url)
        with running(root, command=command) as telemd:
            account = telemd.wait_delivered()
        found = [str(each["id"]) for each in hub.records(limit=1000)]
    assert len(found) == len(set(found)), "twice"
    return set(found), account


def ids(numbers: set[int]) -> set[str]:
    return {record_id(number).hex() for number in numbers}


@pytest.fixture
def mounts() -> Iterator[OwnMounts]:
    with own_mounts() as found:
        yield found


def test_full_from_the_beginning_and_room_again(mounts: OwnMounts) -> None:
    with state_root() as root:
        mounts.memory(root.spool.parent, SMALL_DISK_KIB)
        filler = mounts.seen(root.spool.parent / "filler")
        with running(root, command=mounts.command) as telemd:
            fill(filler)
            refused = send(root, range(200))
            assert not refused.durable
            assert reasons(refused) == {"no-space"}
            telemd.wait_log("records are refused: No space left on device")
            filler.unlink()
            assert not send(root, range(200, 400)).refused
            account = telemd.account()
            assert (account["pending"], account["refused"]) == (200, {"no-space": 200})


def test_a_disk_that_others_fill_up(tmp_path: Path, mounts: OwnMounts) -> None:
    """2,000 records, room for some: whose sender was told "durable" arrives, whose wasn't doesn't."""
    with state_root() as root:
        mounts.memory(root.spool.parent, SMALL_DISK_KIB)
        filler = mounts.seen(root.spool.parent / "filler")
        with running(root, command=mounts.command) as telemd:
            fill(filler, leave_kib=800)
            burst = send(root, range(2000))
            assert 100 < len(burst.durable) < 1000
            assert reasons(burst) == {"no-space"}
            telemd.wait_log("records are refused: No space left on device")
            empty = [each for each in mounts.seen(root.spool).rglob("*.seg") if each.stat().st_size == 0]
            assert not empty
            account = telemd.account()
            assert (account["pending"], account["evicted"]) == (len(burst.durable), 0)
            assert account["refused"] == {"no-space": len(burst.refused)}
        with running(root, command=mounts.command):  # still full: it starts, and has them all
            filler.unlink()
            assert not send(root, range(2000, 2100)).refused
        found, account = arrived(tmp_path, root, mounts)
        assert found == ids(burst.durable | set(range(2000, 2100)))
        assert account["delivered"] == len(found)


@pytest.mark.parametrize("cap_kib", [-1, 1 << 20])
def test_a_disk_smaller_than_the_cap_is_used(mounts: OwnMounts, cap_kib: int) -> None:
    """Segments that fit the cap wouldn't fit the disk: not one record would be taken."""
    with state_root() as root:
        root.configure(spool_max_size=cap_kib)
        mounts.memory(root.spool.parent, 3072)
        with running(root, command=mounts.command) as telemd:
            burst = send(root, range(4000))
            assert len(burst.durable) > 1500
            assert reasons(burst) == {"no-space"}
            assert telemd.account()["pending"] == len(burst.durable)


def test_on_a_full_disk_a_crash_displaces_what_is_worth_less(mounts: OwnMounts) -> None:
    with state_root() as root:
        mounts.memory(root.spool.parent, SMALL_DISK_KIB)
        with running(root, command=mounts.command) as telemd:
            fill(mounts.seen(root.spool.parent / "filler"), leave_kib=800)
            assert send(root, range(2000)).refused
            for number in range(5000, 5050):
                answer = say(root.socket5, record(number, BIG, VITAL))
                assert answer is not None
                assert answer.verdict == DURABLE
            account = telemd.account()
            assert 0 < account["evicted"] < 300
            assert telemd.status()["lanes"]["vital"]["pending"] == 50


def test_delivery_makes_room_on_a_full_disk(tmp_path: Path, mounts: OwnMounts) -> None:
    """The ledger has its place, and segments that are done with go."""
    with state_root() as root, hub_at(tmp_path) as hub:
        mounts.memory(root.spool.parent, SMALL_DISK_KIB)
        with running(root, command=mounts.command):
            fill(mounts.seen(root.spool.parent / "filler"), leave_kib=800)
            burst = send(root, range(2000))
            assert burst.refused
        root.configure(server=hub.url)
        with running(root, command=mounts.command) as telemd:
            assert telemd.wait_delivered()["delivered"] == len(burst.durable)
            comes_back(root, 3000)
            account = telemd.wait_delivered()
            assert account["damaged"] == account["evicted"] == 0


def test_the_spool_is_deleted_while_telemd_runs(tmp_path: Path) -> None:
    """Whoever sends next is told, or has it on disk; what waited is counted as damaged; it goes on by itself."""
    with state_root() as root:
        with running(root) as telemd:
            lost = len(send(root, range(500)).durable)
            shutil.rmtree(root.spool)
            telling = send(root, range(500, 510))
            assert reasons(telling) <= {"io"}
            comes_back(root, 600)
            assert not send(root, range(700, 800)).refused
            telemd.wait_log("was deleted")
            account = telemd.account()
            assert account["damaged"] == lost == 500
            assert account["pending"] == len(telling.durable) + 101
            assert account["admitted"] == account["damaged"] + account["pending"]
            assert root.spool.stat().st_mode & 0o777 == 0o700
            assert (root.spool / "lock").exists()
        found, account = arrived(tmp_path, root)
        assert found == ids(telling.durable | {600} | set(range(700, 800)))
        assert account["damaged"] == 500


@pytest.mark.parametrize("quiet", [True, False])
def test_all_files_of_the_spool_are_deleted_while_telemd_runs(quiet: bool) -> None:
    """quiet: telemd finds out by itself, before the next record comes."""
    with state_root() as root, running(root) as telemd:
        send(root, range(500))
        for file in root.spool.iterdir():
            if file.is_file():
                file.unlink()
        if quiet:
            wait_until((root.spool / "ledger").exists, "the ledger is there again")
            assert not send(root, range(500, 510)).refused
        comes_back(root, 600)
        account = telemd.account()
        assert account["damaged"] == 500
        assert account["pending"] == account["admitted"] - 500


def test_the_spool_is_deleted_and_cannot_be_made_anew(mounts: OwnMounts) -> None:
    """Everybody is told, telemd stays, and it comes back when it can."""
    with state_root() as root:
        place = root.spool.parent
        mounts.memory(place, SMALL_DISK_KIB)
        with running(root, command=mounts.command) as telemd:
            send(root, range(100))
            shutil.rmtree(mounts.seen(root.spool))
            mounts.seen(root.spool).symlink_to("elsewhere")
            assert reasons(send(root, range(100, 110))) == {"io"}
            telemd.wait_log("is a symbolic link or not a directory")
            assert reasons(send(root, range(110, 120))) == {"io"}
            mounts.seen(root.spool).unlink()
            comes_back(root, 200)
            account = telemd.account()
            assert (account["damaged"], account["pending"]) == (100, 1)
            assert telemd.log().count("is a symbolic link or not a directory") == 1


def test_a_single_segment_is_deleted(tmp_path: Path) -> None:
    """Those around it arrive."""
    with hub_at(tmp_path) as hub, state_root() as root:
        lives = 3
        for life in range(lives):
            with running(root):
                send(root, range(100 * life, 100 * life + 100))
        segments = sorted(root.spool.glob("event-*.seg"))
        assert len(segments) == lives
        blocked = "http://127.0.0.1:9/v1/records"
        root.configure(server=blocked, retry_max_s=1)
        with running(root) as telemd:
            segments[1].unlink()
            root.configure(server=hub.url, retry_max_s=1)
            telemd.reload()
            account = telemd.wait_delivered()
            assert (account["delivered"], account["damaged"]) == (200, 100)
            telemd.wait_log(f"segment {segments[1].name} was deleted by somebody")
        assert {str(each["id"]) for each in hub.records(limit=1000)} == ids({*range(100), *range(200, 300)})


def ext4_on_a_loop(mounts: OwnMounts, image: Path, at: Path) -> str:
    """A real file system that becomes read-only at its first error; the name of its device."""
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True, text=True)
    assert made.returncode == 0, made
    at.mkdir(parents=True, exist_ok=True)
    command = [*mounts.command, "mount", "-o", "loop,errors=remount-ro", str(image), str(at)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no loop device here: {mounted.stderr.strip()}")
    return mounts.run("findmnt", "-n", "-o", "SOURCE", at).removeprefix("/dev/")


def test_a_disk_that_becomes_read_only_and_is_exchanged(tmp_path: Path, mounts: OwnMounts) -> None:
    with state_root() as root:
        place = root.spool.parent
        device = ext4_on_a_loop(mounts, tmp_path / "image", place)
        with running(root, command=mounts.command) as telemd:
            assert len(send(root, range(100)).durable) == 100
            mounts.run("sh", "-c", f"echo 1 > /sys/fs/ext4/{device}/trigger_fs_error")
            assert reasons(send(root, range(100, 150))) == {"io"}
            assert reasons(send(root, range(150, 200))) == {"io"}
            telemd.wait_log("records are refused: Read-only file system")
            assert telemd.account()["pending"] == 100
            mounts.run("umount", "--lazy", place)
            mounts.memory(place, SMALL_DISK_KIB)
            comes_back(root, 300)
            account = telemd.account()
            assert (account["damaged"], account["pending"]) == (100, 1)
            assert cpu_is_quiet(telemd)


def cpu_is_quiet(telemd: Telemd) -> bool:
    """It doesn't spin: ten answers cost no second."""
    before_s = telemd.cpu_s()
    for _ in range(10):
        telemd.status()
    return telemd.cpu_s() - before_s < 1
