# SPDX-License-Identifier: Apache-2.0
"""One sender and the real intake behind it, for a spool without a daemon around it: what spooling.py puts there by hand
comes here as senders' bytes do.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from spooling import EVENT, HOST, NOW_US

from telemd.intake import Batch, Intake

if TYPE_CHECKING:
    from pathlib import Path

    from telemd.segment import Host
    from telemd.spool import Spool

ANSWER_BYTES = 24


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

    def fill(self, spool: Spool, records: list[bytes], **how: Any) -> None:
        """All of them are durable then. `how` is as for `feed`."""
        assert self.feed(spool, records, **how) == [0] * len(records)

    def feed(
        self,
        spool: Spool,
        records: list[bytes],
        *,
        host: Host = HOST,
        lane: int = EVENT,
        now_us: int = NOW_US,
        not_before_us: int = 0,
    ) -> list[int]:
        """The answers' reasons, 0 for durable."""
        reasons: list[int] = []
        step = 20 if len(records[0]) < 5000 else 1  # what goes into the socket without being read
        for at in range(0, len(records), step):
            some = records[at : at + step]
            self._sender.sendall(b"".join(some))
            answered = b""
            while len(answered) < ANSWER_BYTES * len(some):
                self.intake.drain(self.batch, time.monotonic_ns() // 1_000_000)
                for run in self.batch.runs():
                    run.accept(lane)
                    for entry in run.entries() if not_before_us else ():
                        entry.defer(not_before_us)
                spool.append(self.batch, {lane}, host, now_us)
                self.intake.answer(self.batch)
                answered += self._sender.recv(ANSWER_BYTES * len(some))
            for i in range(0, len(answered), ANSWER_BYTES):
                verdict, reason = answered[i + 5], int.from_bytes(answered[i + 6 : i + 8], "little")
                assert (verdict == 0) == (reason == 0)
                reasons.append(reason)
        return reasons

    def close(self) -> None:
        self._sender.close()
        self.intake.close()
        self._listening.close()
