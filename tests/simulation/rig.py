# SPDX-License-Identifier: Apache-2.0
"""One life of telemd without its process: the real rooms, wired as the daemon wires them, around a fake disk and a fake
courier, with senders on real sockets. Time is whatever the simulation says it is.

Keeps no rule and judges nothing.
"""

from __future__ import annotations

import itertools
import os
import socket
from typing import TYPE_CHECKING

from telemd.admission import Policy
from telemd.courierframes import Destination
from telemd.inbound import Inbound
from telemd.intake import Intake
from telemd.limits import Limits
from telemd.outbound import Outbound
from telemd.segment import Host
from telemd.spool import Spool

if TYPE_CHECKING:
    from fakedisk import FakeDisk
    from fakehub import FakeCourier
    from plan import Plan

ANSWER_LEN = 24
DURABLE, DUPLICATE, REFUSED = 0, 1, 2
SOCKET_BYTES = 100_000  # what a connection takes without being read, and to spare
EXPIRY_US = 1200 * 60_000_000
_serial = itertools.count()


class Answer:
    """What telemd said of one record."""

    __slots__ = ("number", "reason", "verdict")

    def __init__(self, number: int, verdict: int, reason: int) -> None:
        self.number = number
        self.verdict = verdict
        self.reason = reason


class Sender:
    """A probe's connection. outstanding: the numbers that it has sent and knows nothing of."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.setblocking(False)
        self._unread = b""
        self.outstanding: list[int] = []

    def send(self, number: int, record: bytes) -> None:
        self._socket.sendall(record)
        self.outstanding.append(number)

    def answers(self) -> list[Answer]:
        """What has come since; AssertionError where it isn't in the order of the records."""
        try:
            self._unread += self._socket.recv(65536)
        except BlockingIOError:
            return []
        found = []
        while len(self._unread) >= ANSWER_LEN:
            one, self._unread = self._unread[:ANSWER_LEN], self._unread[ANSWER_LEN:]
            number = int.from_bytes(one[8 + 9 :], "big")
            assert number == self.outstanding[0], f"record {self.outstanding[0]} was due for an answer, not {number}"
            del self.outstanding[0]
            found.append(Answer(number, one[5], int.from_bytes(one[6:8], "little")))
        return found

    def close(self) -> None:
        self._socket.close()


class Life:
    """From one start of telemd to its end. OSError where the spool can't be opened."""

    def __init__(self, disk: FakeDisk, courier: FakeCourier, plan: Plan) -> None:
        self.spool = Spool(disk, plan.cap_bytes, EXPIRY_US)
        self.courier = courier
        path = f"\0telemetrics-simulation-{os.getpid()}-{next(_serial)}"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen(8)
        self._listening.setblocking(False)
        self.intake = Intake(16)
        self.intake.listen(self._listening.fileno(), 5)
        self.inbound = Inbound(self.intake, Limits(plan.settings))
        self.outbound = Outbound(courier, destination(0), plan.records_a_batch, 900)
        self.policy = Policy(True, frozenset((os.geteuid(),)) if plan.privileged else frozenset(), named=True)
        self.senders = [Sender(path), Sender(path)]

    def round(self, host: Host, now_us: int, wall_us: int) -> list[Answer]:
        """All that was sent is taken in and answered."""
        found: list[Answer] = []
        while self.inbound.round(self.spool, self.policy, host, now_us // 1000, wall_us, now_us // 60_000_000):
            for sender in self.senders:
                found += sender.answers()
        return found

    def tick(self, wall_us: int) -> None:
        """As the daemon does once a second."""
        self.inbound.account(self.spool)
        self.spool.expire(wall_us)
        self.spool.flush(wall_us)

    def unanswered(self) -> list[int]:
        """Numbers of records that were sent and not answered."""
        return [number for sender in self.senders for number in sender.outstanding]

    def end(self) -> None:
        """The process is gone, whatever it was at; the sockets with it."""
        self.courier.close()
        for sender in self.senders:
            sender.close()
        self._listening.close()
        self.intake.close()


def destination(number: int) -> Destination:
    """One of a few servers; the same hub answers behind all of them."""
    return Destination(f"https://hub{number}.test/")


def host_of(number: int) -> Host:
    """What the machine is at that moment: an update has another build, the next epoch another id."""
    return Host(bytes([number % 256]) * 16, {"arch": "x86_64", "build": str(number)})
