# SPDX-License-Identifier: Apache-2.0
"""What must be so after every step, judged from outside: from the bytes on the disk, the answers that senders got and
what the hub has. Nothing that telemd counts is believed without being compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from records import number_of

from telemd.frames import CARRIED, find, scan
from telemd.segment import HEADER_LEN
from telemd.suspicion import DEATHS_OF_ONE

if TYPE_CHECKING:
    from fakedisk import File
    from rig import Life
    from simulation import Simulation

OPEN_FILES_MAX = 10
FINAL = ("delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending")


class Violation(AssertionError):
    """A promise of telemd's is broken."""


class Kept(NamedTuple):
    """One frame on the disk."""

    seq: int
    number: int
    carried: bool


class Oracle:
    """Judges one simulation, step by step."""

    def __init__(self) -> None:
        self.seq_of: dict[int, int] = {}
        self.elsewhere: set[int] = set()  # carried, or sent again because an answer was lost: not in its first place
        self.last_first = [0, 0, 0]
        self.slack = 0  # what a disk that turns bits or lies may have lost uncounted
        self.unflushed: set[int] = set()
        self._frames: dict[str, tuple[File, int, int, list[Kept]]] = {}

    # -- reading the disk --

    def waiting(self, simulation: Simulation, life: Life) -> tuple[set[int], int]:
        """The numbers of the records that wait, and how many frames that are."""
        numbers: set[int] = set()
        frames = 0
        for lane in life.spool.lanes:
            line = lane.ledger
            for segment in lane.segments:
                file = simulation.disk.files.get(segment.name)
                if file is None or segment.last_seq < line.cursor:
                    continue
                for kept in self._kept(segment.name, segment.header.generation, segment.first_seq, segment.end, file):
                    if kept.seq <= segment.last_seq:
                        known = self.seq_of.setdefault(kept.number, kept.seq)
                        if kept.carried or known != kept.seq:
                            self.elsewhere.add(kept.number)
                    if line.cursor <= kept.seq <= segment.last_seq:
                        numbers.add(kept.number)
                        frames += 1
        return numbers, frames

    def unfinished(self, simulation: Simulation, life: Life) -> int:
        """Copies that were being carried when telemd ended: the next one finds them, and they may yet be lost."""
        count = 0
        for lane in life.spool.lanes:
            active = lane.segments[-1] if lane.segments else None
            file = simulation.disk.files.get(active.name) if active is not None else None
            if active is not None and file is not None:
                kept = self._kept(active.name, active.header.generation, active.first_seq, len(file.cache), file)
                count += sum(each.carried and each.seq >= lane.ledger.next_seq for each in kept)
        return count

    def _kept(self, name: str, generation: int, first_seq: int, end: int, file: File) -> list[Kept]:
        known = self._frames.get(name)
        if known is not None and known[0] is file and known[1:3] == (file.version, end):
            return known[3]
        data = bytes(file.cache[HEADER_LEN:end])
        found: list[Kept] = []
        offset, floor = 0, first_seq - 1
        while offset < len(data):
            spans = scan(data, generation, floor, offset)
            for index in range(spans.count):
                at = spans.offset(index) + 48
                number = number_of(data[at : at + 72])
                found.append(Kept(spans.seq(index), number, bool(spans.flags(index) & CARRIED)))
            if spans.count:
                floor, offset = spans.seq(spans.count - 1), spans.end
            else:
                offset = find(data, generation, floor, offset + 8)
        self._frames[name] = (file, file.version, end, found)
        return found

    # -- the promises --

    def judge(self, simulation: Simulation, life: Life) -> None:
        """Violation where something is wrong."""
        account = life.spool.accounting()
        waiting, frames = self.waiting(simulation, life)
        if account["admitted"] != sum(account[name] for name in FINAL):
            raise Violation(f"the account doesn't add up: {account}")
        if simulation.plan.honest and not 0 <= account["pending"] - frames <= simulation.torn:
            raise Violation(f"{frames} records wait on the disk, {account['pending']} in the account")
        self._nothing_is_lost(simulation, account, waiting, account["pending"] - frames)
        self._hub_is_right(simulation, account)
        self._bounds_hold(simulation, life)

    def received(self, life: Life) -> None:
        """The first equation, at moments when the counts have been handed over."""
        account = life.spool.accounting()
        if account["received"] != account["refused"] + account["duplicate"] + account["admitted"]:
            raise Violation(f"received, refused, duplicate and admitted don't add up: {account}")

    def _nothing_is_lost(self, simulation: Simulation, account: dict[str, int], waiting: set[int], unmet: int) -> None:
        """unmet: frames that the disk spoilt and nobody has tried to read yet."""
        if simulation.plan.lies:
            return
        away = simulation.durable - simulation.hub.stored.keys() - waiting
        counted = account["evicted"] + account["expired"] + account["rejected"] + account["purged"]
        if not simulation.plan.honest:
            counted += account["damaged"] + self.slack + unmet
        elif account["damaged"] > simulation.torn:
            raise Violation(f"{account['damaged']} records counted as damaged on a disk that damages nothing")
        if len(away) > counted:
            raise Violation(
                f"{len(away)} records that were answered durable are nowhere, {counted} are accounted for: "
                f"{sorted(away)[:10]} {account}"
            )
        if account["expired"] > simulation.torn and simulation.elapsed_us < simulation.expiry_us:
            raise Violation("something expired before anything was old enough")

    def _hub_is_right(self, simulation: Simulation, account: dict[str, int]) -> None:
        hub = simulation.hub
        rejections = hub.rejections + simulation.courier_ends() // DEATHS_OF_ONE  # a record that ends it is put away
        if hub.conflicts:
            raise Violation(f"record {hub.conflicts[0]} came to the hub again with other bytes")
        if account["delivered"] > len(hub.stored) + hub.seen_again or account["rejected"] > rejections:
            raise Violation(f"more verdicts are counted than the hub gave: {account}")
        self.arrived(simulation)

    def arrived(self, simulation: Simulation) -> None:
        """What came to the hub for the first time is what was sent, and in order."""
        hub = simulation.hub
        for number in hub.arrivals:
            if hub.stored[number] != simulation.sent[number]:
                raise Violation(f"record {number} came to the hub with bytes that nobody sent")
            seq, lane = self.seq_of.get(number), simulation.lane_of[number]
            if seq is None or number in self.elsewhere or not simulation.plan.honest:
                continue
            if seq < self.last_first[lane]:
                raise Violation(f"record {number} (seq {seq}) was overtaken in its lane by {self.last_first[lane]}")
            self.last_first[lane] = seq
        hub.arrivals.clear()

    def _bounds_hold(self, simulation: Simulation, life: Life) -> None:
        disk, cap_bytes = simulation.disk, simulation.plan.cap_bytes
        if simulation.settled and 0 <= cap_bytes < disk.used():
            sizes = {name: len(file.cache) for name, file in sorted(disk.files.items())}
            raise Violation(f"{disk.used()} bytes on the disk, the cap is {cap_bytes}: {sizes}")
        if disk.open_files() > OPEN_FILES_MAX:
            raise Violation(f"{disk.open_files()} descriptors are open")

    # -- crashes --

    def power_lost(self) -> None:
        """Numbers that nobody was answered with are given again."""
        self.seq_of.clear()
        self.elsewhere.clear()
        self.last_first = [0, 0, 0]
        self._frames.clear()
