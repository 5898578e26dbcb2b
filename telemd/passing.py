# SPDX-License-Identifier: Apache-2.0
"""Records of a batch as they are seen by somebody who looks on (see watch.py): after the verdicts, before the answers.

Pure: its values are numbers and bytes copied out of the engine's memory, as intake's are. Nothing here may change a
batch, and nothing here is called while nobody looks.
"""

from __future__ import annotations

from libtelemetry.ack import REFUSED
from telemd._engine import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from telemd.intake import Batch


class Passing:
    """One record. index: its place in the batch; uid is -1 and the classification empty where its form was refused, or
    where it is a duplicate."""

    __slots__ = ("_arena", "_entry", "classification", "index", "reason", "uid", "verdict")

    def __init__(self, batch: Any, index: int) -> None:
        self._arena = batch.arena
        self._entry = batch.entries[index]
        self.index = index
        self.uid = -1
        self.classification = b""
        self.verdict = int(self._entry.verdict)
        self.reason = int(self._entry.reason)
        if self._entry.run != lib.BATCH_NO_RUN:
            run = batch.runs[self._entry.run]
            self.uid = int(run.uid)
            self.classification = bytes(ffi.buffer(run.classification, run.class_len))
            self.reason = int(run.reason or self.reason)

    @property
    def record_id(self) -> bytes:
        """16 bytes, of zeros where it had none that could be read."""
        return bytes(ffi.buffer(self._entry.record_id))

    @property
    def pid(self) -> int:
        """Process that sent it."""
        return int(self._entry.pid)

    @property
    def length(self) -> int:
        """Bytes; 0 where record() has nothing."""
        return int(self._entry.record_len)

    def record(self) -> bytes:
        """All of it; empty where its form was refused, or where it is a duplicate."""
        if not self._entry.record_len:
            return b""
        return bytes(ffi.buffer(self._arena + self._entry.offset + lib.FRAME_HEADER_LEN, self._entry.record_len))


def newest(batch: Batch, count: int) -> Iterator[Passing]:
    """The newest so many, in order."""
    for index in range(max(0, batch.entry_count - count), batch.entry_count):
        yield Passing(batch.handle, index)


def refused_by_run(batch: Batch) -> tuple[dict[int, int], int]:
    """How many records of each run (by its place in runs()) are refused, and how many that are of none."""
    counts: dict[int, int] = {}
    others = 0
    for index in range(batch.entry_count):
        entry = batch.handle.entries[index]
        if entry.verdict == REFUSED:
            if entry.run == lib.BATCH_NO_RUN:
                others += 1
            else:
                counts[entry.run] = counts.get(entry.run, 0) + 1
    return counts, others
