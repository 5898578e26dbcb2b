# SPDX-License-Identifier: Apache-2.0
"""A running telemd on a disk whose calls fail: nothing that was acknowledged is lost, a segment that could not be
synced is never written again, senders are told, service goes on.
"""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest
from failingdisk import FailingDisk
from hubprocess import hub_at
from records import record_id
from running import Root, running, state_root, wait_until
from senders import Burst, bursts

from libtelemetry.wire import REASON_NAMES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: install gcc")


def send(root: Root, numbers: range) -> Burst:
    burst = Burst(root.socket5, numbers).start()
    burst.join()
    assert len(burst.durable) + len(burst.refused) == len(numbers)
    return burst


def reasons(burst: Burst) -> set[str]:
    return {REASON_NAMES[reason] for reason in burst.refused.values()}


def ids(numbers: set[int]) -> set[str]:
    return {record_id(number).hex() for number in numbers}


def arrive(hub_data: Path, root: Root, expected: set[int], perhaps: set[int] | None = None) -> None:
    """After a clean restart on a disk that is well: those arrive, perhaps some of these, and no others."""
    with hub_at(hub_data) as hub:
        root.configure(server=hub.url)
        with running(root) as telemd:
            account = telemd.wait_delivered()
            assert "cut off" not in telemd.log()
        found = [str(each["id"]) for each in hub.records(limit=1000)]
    assert len(found) == len(set(found)), "twice"
    assert ids(expected) <= set(found) <= ids(expected | (perhaps or set()))
    assert account["admitted"] == account["delivered"] >= len(found)


@pytest.mark.parametrize("call", ["fdatasync", "pwrite"])
def test_one_failure_costs_a_segment_and_nothing_else(tmp_path: Path, call: str) -> None:
    """The records of that batch are durable in the next segment; nobody is refused."""
    with state_root() as root:
        disk = FailingDisk(root, tmp_path)
        with running(root, env=disk.env) as telemd:
            send(root, range(100))
            (first,) = root.spool.glob("event-*.seg")
            held = first.read_bytes()
            wait_until(lambda: telemd.status()["accounting"]["pending"] == 100, "the account is written")
            disk.fail(call, errno.EIO, 1)
            assert not send(root, range(100, 300)).refused
            assert (call, first.name) in disk.failed()
            spoiled = first.read_bytes()
            used = held.rstrip(b"\0")
            assert spoiled.startswith(used)
            assert not send(root, range(300, 400)).refused
            assert first.read_bytes()[: len(used)] == used
            assert not any(record_id(number) in first.read_bytes()[: len(used)] for number in range(100, 400))
            telemd.wait_account("the account holds", lambda seen: seen["pending"] == 400)
            wait_until(
                lambda: not any(record_id(number) in first.read_bytes() for number in range(100, 400)),
                "what was not synced is cut off",
            )
        arrive(tmp_path / "hub", root, set(range(400)))


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        (errno.EIO, ("fdatasync",)),
        (errno.EIO, ("pwrite",)),
        (errno.EIO, ("pwrite", "fdatasync", "open", "unlink")),
        (errno.EROFS, ("pwrite", "open", "unlink")),
    ],
)
def test_as_long_as_it_fails_senders_are_told(tmp_path: Path, code: int, calls: tuple[str, ...]) -> None:
    with state_root() as root:
        disk = FailingDisk(root, tmp_path)
        with running(root, env=disk.env) as telemd:
            send(root, range(100))
            with disk.failing(code, *calls):
                told = send(root, range(100, 200))
                assert not told.durable
                assert reasons(told) == {"io"}
                assert reasons(send(root, range(200, 300))) == {"io"}
                telemd.wait_log("records are refused")
                assert telemd.account()["pending"] == 100
            assert not send(root, range(300, 400)).refused
            account = telemd.wait_account("it is well again", lambda seen: seen["pending"] == 200)
            assert account["refused"] == {"io": 200}
            assert telemd.log().count("records are refused") <= 2
        arrive(tmp_path / "hub", root, {*range(100), *range(300, 400)})


def test_killed_while_it_fails(tmp_path: Path) -> None:
    """And started on it again and again, until it is well. What nobody could cut off any more, though its sender was
    told, may arrive: sent again, it would have the same id."""
    with state_root() as root:
        disk = FailingDisk(root, tmp_path)
        with running(root, env=disk.env) as telemd:
            send(root, range(100))
            disk.fail("fdatasync", errno.EIO)
            assert reasons(send(root, range(100, 200))) == {"io"}
            telemd.kill()
        for first in (200, 300):
            with running(root, env=disk.env) as telemd:
                assert reasons(send(root, range(first, first + 100))) == {"io"}
                assert telemd.account()["pending"] >= 100
                telemd.kill()
        arrive(tmp_path / "hub", root, set(range(100)), set(range(100, 400)))


def test_delivery_goes_on_while_the_ledger_cannot_be_written(tmp_path: Path) -> None:
    """A restart sends again what the ledger doesn't know of: the hub has it once, and the account balances."""
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url, retry_max_s=1) as root:
        disk = FailingDisk(root, tmp_path)
        with running(root, env=disk.env) as telemd:
            with bursts(root.socket5, 2000, 2):
                pass
            telemd.wait_delivered()
            disk.fail("fdatasync", errno.EIO)
            assert reasons(send(root, range(2000, 2100))) == {"io"}
            telemd.wait_log("the spool's ledger could not be written")
            disk.heal()
            assert not send(root, range(2100, 2200)).refused
            account = telemd.wait_account("all of it", lambda seen: seen["delivered"] == 2100)
            assert account["pending"] == 0
        assert {str(each["id"]) for each in hub.records(limit=1000)} == ids({*range(2000), *range(2100, 2200)})
