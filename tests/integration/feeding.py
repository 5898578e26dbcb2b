# SPDX-License-Identifier: Apache-2.0
"""A real spool on a real disk, filled through the real intake by one sender, without a daemon around it."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from records import number_of, split

from telemd.disk import Disk
from telemd.intake import Batch, Intake
from telemd.segment import Host
from telemd.spool import Settlement, Spool

if TYPE_CHECKING:
    from pathlib import Path

HOST = Host(bytes(16), {"arch": "x86_64"})
NOW_US = 1_700_000_000_000_000
EXPIRY_US = 1200 * 60 * 1_000_000
MIB = 1024 * 1024
EVENT = 1


class Feeder:
    """A sender on a socket and the intake behind it."""

    def __init__(self, path: Path) -> None:
        self.intake = Intake(16)
        self.batch = Batch()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.setblocking(False)
        self.intake.listen(self._listening.fileno(), 5)
        self._sender = socket.socket(socket.AF_UNIX)
        self._sender.connect(str(path))

    def feed(
        self,
        spool: Spool,
        records: list[bytes],
        *,
        host: Host = HOST,
        lane: int = EVENT,
        now_us: int = NOW_US,
        not_before_us: int = 0,
    ) -> None:
        """All of them are durable then."""
        step = 20 if len(records[0]) < 5000 else 1  # what goes into the socket without being read
        for at in range(0, len(records), step):
            some = records[at : at + step]
            self._sender.sendall(b"".join(some))
            answered = b""
            while len(answered) < 24 * len(some):
                self.intake.drain(self.batch, time.monotonic_ns() // 1_000_000)
                for run in self.batch.runs():
                    run.accept(lane)
                    for entry in run.entries() if not_before_us else ():
                        entry.defer(not_before_us)
                spool.append(self.batch, {lane}, host, now_us)
                self.intake.answer(self.batch)
                answered += self._sender.recv(24 * len(some))
            assert {answered[i + 5] for i in range(0, len(answered), 24)} == {0}

    def close(self) -> None:
        self._sender.close()
        self.intake.close()
        self._listening.close()


def opened(directory: Path, cap_bytes: int = -1) -> Spool:
    return Spool(Disk(str(directory)), cap_bytes, EXPIRY_US)


def drained(spool: Spool, lane: int = EVENT, now_us: int = NOW_US) -> list[int]:
    """Deliver all that may go; the records' numbers in the order in which they came out."""
    found: list[int] = []
    while (waiting := spool.head(lane, 1000, MIB, now_us)) is not None:
        found += [number_of(one) for one in split(waiting.records)]
        spool.settle(lane, waiting, Settlement(waiting.count, 0))
        spool.flush(now_us)
    return found


def account(spool: Spool) -> dict[str, int]:
    """After the second equation was checked."""
    found = spool.accounting()
    final = ("delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending")
    assert found["admitted"] == sum(found[name] for name in final), found
    return found


def crashed(spool: Spool) -> None:
    """As after kill -9: descriptors and the lock go, nothing is sealed or flushed."""
    for lane in spool.lanes:
        for each in lane.segments:
            if each.fd is not None:
                spool._disk.close_file(each.fd)
    spool._ledger_file.close()
    spool._disk.close()
