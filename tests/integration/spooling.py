# SPDX-License-Identifier: Apache-2.0
"""A spool on a real disk and what tests do with one: fill it, drain it, kill it, look at its files and its account."""

from __future__ import annotations

from pathlib import Path

from records import number_of, record, split

from telemd.disk import Disk
from telemd.intake import Batch
from telemd.segment import Host
from telemd.spool import Settlement, Spool

HOST = Host(bytes(16), {"arch": "x86_64"})
NOW_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
EXPIRY_US = 1200 * MINUTE_US
VITAL, EVENT, METRIC = range(3)
MIB = 1024 * 1024
SMALL_SEGMENTS = 1024 * 1024  # a cap with which segments have the smallest size
HEADER_LEN = 4096


def opened(directory: Path, cap_bytes: int = -1) -> Spool:
    return Spool(Disk(str(directory)), cap_bytes, EXPIRY_US)


def numbers(count: int, first: int = 1) -> list[bytes]:
    return [record(number) for number in range(first, first + count)]


def big(first: int, count: int, classification: bytes = b"org.test/unit/record") -> list[bytes]:
    """Records of which two fill a segment of the smallest size."""
    return [record(number, b"p" * 60_000, classification) for number in range(first, first + count)]


def put(
    spool: Spool,
    records: list[bytes],
    now_us: int = NOW_US,
    *,
    not_before_us: int = 0,
    lane: int = EVENT,
    host: Host = HOST,
) -> list[int]:
    """One batch into a lane, all of it to be sent not before some time; the reasons, 0 for durable."""
    batch = Batch()
    for one in records:
        assert batch.add(one, 0, 0)
    for run in batch.runs():
        run.accept(lane)
        for entry in run.entries():
            entry.defer(not_before_us)
    spool.append(batch, {lane}, host, now_us)
    return [reason for _, reason in batch.results()]


def drained(spool: Spool, lane: int = EVENT, now_us: int = NOW_US) -> list[int]:
    """Deliver all that waits; the records' numbers in the order in which they came out."""
    found: list[int] = []
    while (waiting := spool.head(lane, 1000, MIB, now_us)) is not None:
        found += [number_of(one) for one in split(waiting.records)]
        spool.settle(lane, waiting, Settlement(waiting.count, 0))
        spool.flush(now_us)
    return found


def delivered(spool: Spool, count: int, lane: int = EVENT, now_us: int = NOW_US) -> list[int]:
    """The next so many are sent and accepted, but the ledger doesn't say so on disk yet; their numbers."""
    waiting = spool.head(lane, count, MIB, now_us)
    assert waiting is not None and waiting.count == count
    spool.settle(lane, waiting, Settlement(count, 0))
    return [number_of(one) for one in split(waiting.records)]


def balanced(spool: Spool) -> bool:
    """Whether every admitted record is accounted for."""
    found = spool.accounting()
    final = ("delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending")
    return found["admitted"] == sum(found[name] for name in final)


def account(spool: Spool) -> dict[str, int]:
    """Its figures, which add up."""
    assert balanced(spool), spool.accounting()
    return spool.accounting()


def evicted(spool: Spool) -> list[int]:
    """Records, lane by lane."""
    assert balanced(spool), spool.accounting()
    return [lane.ledger.evicted for lane in spool.lanes]


def crashed(spool: Spool) -> None:
    """As after kill -9: descriptors and the lock go, nothing is sealed or flushed."""
    for lane in spool.lanes:
        for each in lane.segments:
            if each.fd is not None:
                spool._disk.close_file(each.fd)
    spool._ledger_file.close()
    spool._disk.close()


def spoil(path: Path, *records: int, one: bytes = record(1)) -> None:
    """Damage these records of a segment, counted from 0, of which each is as long as that one."""
    data = bytearray(path.read_bytes())
    for number in records:
        data[HEADER_LEN + number * frame_len(one) + 100] ^= 0xFF
    path.write_bytes(data)


def frame_len(one: bytes) -> int:
    """Bytes of a segment that a record takes."""
    return (48 + len(one) + 7) // 8 * 8


def segment_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


def on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
