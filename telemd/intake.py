# SPDX-License-Identifier: Apache-2.0
"""Records come in: the typed face of the C engine's intake and batch.

The C side owns the senders' connections and the memory of the batch; here are only handles, numbers and bytes copied
out of it. No decision about a record is made here.
"""

from __future__ import annotations

import errno
import os

from telemd._engine import ffi, lib
from telemd.segment import FACTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

MARKS_MAX: int = lib.RECENT_MARKS


def _facts(facts: Mapping[str, str]) -> tuple[Any, list[Any]]:
    """Facts of a host as a struct of C, and what must live as long as it."""
    struct = ffi.new("struct wire_facts *")
    held = [ffi.from_buffer(facts.get(name, "").encode()) for name in FACTS]
    for index, value in enumerate(held):
        struct.value[index].data = value
        struct.value[index].len = len(value)
    return struct, held


class Entry:
    """One record of a run."""

    __slots__ = ("_entry",)

    def __init__(self, entry: Any) -> None:
        self._entry = entry

    @property
    def length(self) -> int:
        """Bytes of the record."""
        return int(self._entry.record_len)

    def defer(self, not_before_us: int) -> None:
        """It may not be sent before then."""
        self._entry.not_before_us = not_before_us

    def refuse(self, reason: int) -> None:
        """Not this one."""
        self._entry.reason = reason


class Run:
    """Neighbouring records of one classification, kind and user. lane or reason is admission's answer."""

    __slots__ = ("_batch", "_index", "_run")

    def __init__(self, batch: Any, index: int) -> None:
        self._batch = batch
        self._index = index
        self._run = batch.runs[index]

    @property
    def classification(self) -> bytes:
        """domain/probe/kind."""
        return bytes(ffi.buffer(self._run.classification, self._run.class_len))

    @property
    def payload_kind(self) -> int:
        """telemetry.h: enum tm_payload_kind."""
        return int(self._run.payload_kind)

    @property
    def uid(self) -> int:
        """User that sent them."""
        return int(self._run.uid)

    @property
    def count(self) -> int:
        """Records."""
        return int(self._run.count)

    @property
    def total_bytes(self) -> int:
        """Of all its records."""
        return int(self._run.bytes)

    @property
    def lane(self) -> int:
        """Where accept() sent it."""
        return int(self._run.lane)

    @property
    def refused(self) -> bool:
        """refuse() was its lot."""
        return bool(self._run.reason)

    def accept(self, lane: int) -> None:
        """To that lane."""
        self._run.lane = lane

    def mark_first(self) -> None:
        """Its first record is the first of its kind in the spool."""
        self._run.first_of_kind = 1

    def refuse(self, reason: int) -> None:
        """None of them, for that reason."""
        self._run.reason = reason

    def entries(self) -> Iterator[Entry]:
        """Its records one by one: for the few runs that are not treated as a whole."""
        at, left = self._run.first, self._run.count
        while left:
            entry = self._batch.entries[at]
            if entry.run == self._index:
                left -= 1
                yield Entry(entry)
            at += 1


class Share:
    """The frames of a batch that one write takes to one segment."""

    __slots__ = ("_batch", "_lane", "_share")

    def __init__(self, batch: Any, share: Any, lane: int) -> None:
        self._batch = batch
        self._share = share
        self._lane = lane

    @property
    def frames(self) -> int:
        """How many."""
        return int(self._share.frames)

    @property
    def length(self) -> int:
        """Bytes on disk."""
        return int(self._share.bytes)

    @property
    def oldest_us(self) -> int:
        """The earliest time from which one of them counts as admitted."""
        return int(self._share.oldest_us)

    @property
    def entry_to(self) -> int:
        """The first entry of the batch that wasn't looked at."""
        return int(self._share.entry_to)

    def write(self, fd: int, offset: int) -> None:
        """Write, without a sync. OSError."""
        result = lib.batch_write(self._share, fd, offset)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def data(self) -> bytes:
        """The bytes that write() would write."""
        chunks = (self._share.chunks[i] for i in range(self._share.chunk_count))
        return b"".join(bytes(ffi.buffer(chunk.iov_base, chunk.iov_len)) for chunk in chunks)

    def settle(self, reason: int) -> None:
        """They are durable (0), or lost for that reason."""
        lib.batch_settle(self._batch, self._lane, self._share, reason)


class Batch:
    """What one drain took in. Used again for every drain."""

    __slots__ = ("_refused_ids", "_refused_reasons", "_share", "handle")

    def __init__(self) -> None:
        self.handle = ffi.gc(lib.batch_new(), lib.batch_free)
        if self.handle == ffi.NULL:
            raise MemoryError("no memory for a batch of records")
        self._share = ffi.new("struct batch_share *")
        self._refused_ids = ffi.new("uint8_t[]", 16 * lib.BATCH_ENTRIES_MAX)
        self._refused_reasons = ffi.new("uint8_t[]", lib.BATCH_ENTRIES_MAX)

    @property
    def entry_count(self) -> int:
        """Records, those that the codec refused among them."""
        return int(self.handle.entry_count)

    def add(self, data: bytes, uid: int, admitted_us: int) -> bool:
        """Put in what may be one whole record of format 5; False where there is no room for it. admitted_us: its age
        counts from then; 0: from when it is spooled."""
        return bool(lib.batch_add(self.handle, ffi.from_buffer(data), len(data), uid, admitted_us))

    def add_spooled(self, data: bytes, facts: Mapping[str, str], record_id: bytes, uid: int, admitted_us: int) -> bool:
        """The same for a file of telemetrics-client's spool, rewritten as a record with that id. facts: the host's."""
        struct, held = _facts(facts)
        source = ffi.from_buffer(data)
        added = lib.batch_add_spooled(self.handle, source, len(data), struct, record_id, uid, admitted_us)
        del held  # what struct points to
        return bool(added)

    def results(self) -> list[tuple[int, int]]:
        """Each entry's verdict and reason, in order (telemetry.h)."""
        results = []
        for index in range(self.entry_count):
            entry = self.handle.entries[index]
            refused = entry.run != lib.BATCH_NO_RUN and self.handle.runs[entry.run].reason
            results.append((int(entry.verdict), int(refused or entry.reason)))
        return results

    def runs(self) -> Iterator[Run]:
        """In order."""
        for index in range(self.handle.run_count):
            yield Run(self.handle, index)

    def stamp(self, lane: int, entry_from: int, seq: int, admitted_us: int, generation: int, room: int) -> Share:
        """The next share for a lane, as many frames as go into room bytes. Valid until the next stamp()."""
        lib.batch_stamp(self.handle, lane, entry_from, seq, admitted_us, generation, room, self._share)
        return Share(self.handle, self._share, lane)

    def largest_frame(self, entry_from: int) -> int:
        """Bytes on disk of the largest record from that entry on."""
        lengths = (self.handle.entries[at].record_len for at in range(entry_from, self.handle.entry_count))
        return int(lib.frame_length(max(lengths, default=0)))

    def refuse_rest(self, lane: int, entry_from: int, reason: int) -> None:
        """Nothing more of that lane can be taken."""
        lib.batch_stamp(self.handle, lane, entry_from, 1, 0, 0, 2**62, self._share)
        lib.batch_settle(self.handle, lane, self._share, reason)

    def refused(self) -> tuple[bytes, bytes]:
        """Ids (16 bytes each) and reasons (a byte each) of the refused records that have an id. Before the answers."""
        count = lib.pick_refused(self.handle, self._refused_ids, self._refused_reasons, lib.BATCH_ENTRIES_MAX)
        return bytes(ffi.buffer(self._refused_ids, 16 * count)), bytes(ffi.buffer(self._refused_reasons, count))

    def newest_durable(self, count: int) -> list[tuple[bytes, bytes]]:
        """Ids and bytes of the newest records that are durable, at most so many, oldest first. Before the answers."""
        found: list[tuple[bytes, bytes]] = []
        at = self.entry_count
        while at and len(found) < count:
            at -= 1
            entry = self.handle.entries[at]
            if entry.verdict == 0 and entry.record_len:
                record = ffi.buffer(self.handle.arena + entry.offset + lib.FRAME_HEADER_LEN, entry.record_len)
                found.append((bytes(ffi.buffer(entry.record_id)), bytes(record)))
        return found[::-1]

    def trim(self) -> None:
        """Give memory back while nothing comes."""
        lib.batch_trim(self.handle)


class Counts:
    """Totals of all records that came, since this process began."""

    __slots__ = ("closed_for_room", "connections", "duplicate", "durable", "refused")

    def __init__(
        self, durable: int, duplicate: int, refused: list[int], connections: int, closed_for_room: int
    ) -> None:
        self.durable = durable
        self.duplicate = duplicate
        self.refused = refused
        self.connections = connections
        self.closed_for_room = closed_for_room


class Mark:
    """One accepted record, as the journal shows it."""

    __slots__ = ("classification", "created_us", "event_id", "record_id")

    def __init__(self, record_id: bytes, event_id: bytes, created_us: int, classification: str) -> None:
        self.record_id = record_id
        self.event_id = event_id
        self.created_us = created_us
        self.classification = classification


class Intake:
    """The senders' connections."""

    __slots__ = ("_counts", "_handle", "_recent")

    def __init__(self, connections_max: int) -> None:
        self._recent = ffi.gc(lib.recent_new(), lib.recent_free)
        self._handle = ffi.gc(lib.intake_new(connections_max, self._recent), lib.intake_free)
        if ffi.NULL in (self._recent, self._handle):
            raise MemoryError("no memory or descriptors for the intake")
        self._counts = ffi.new("struct intake_counts *")

    def close(self) -> None:
        """Close every connection."""
        ffi.release(self._handle)

    def fileno(self) -> int:
        """Readable when there is something to drain."""
        return int(lib.intake_fd(self._handle))

    def listen(self, fd: int, record_format: int) -> None:
        """Take records of format 4 or 5 from this listening socket, which stays the caller's."""
        result = lib.intake_listen(self._handle, fd, record_format)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Facts of this host, that records of format 4 needn't repeat."""
        struct, held = _facts(facts)
        result = lib.intake_set_facts(self._handle, struct)
        del held  # what struct points to, which is copied now
        if result < 0:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def drain(self, batch: Batch, now_ms: int) -> int:
        """Fill the batch with what has come; the number of entries. now_ms is monotonic."""
        return int(lib.intake_drain(self._handle, batch.handle, now_ms))

    def timeout_ms(self, now_ms: int) -> int:
        """Until drain() is due even if nothing comes; -1 for never."""
        return int(lib.intake_timeout_ms(self._handle, now_ms))

    def answer(self, batch: Batch) -> None:
        """Tell every sender, and clear the batch."""
        lib.intake_answer(self._handle, batch.handle)

    def counts(self) -> Counts:
        """See Counts."""
        lib.intake_count(self._handle, self._counts)
        counts = self._counts
        return Counts(
            counts.durable, counts.duplicate, list(counts.refused), counts.connections, counts.closed_for_room
        )

    def marks(self, since: int) -> tuple[int, list[Mark]]:
        """The newest accepted records behind mark number since (at most MARKS_MAX), and the number to go on from."""
        total_out = ffi.new("uint64_t *")
        ring = lib.recent_marks(self._recent, total_out)
        total = int(total_out[0])
        marks = []
        for serial in range(max(since, total - MARKS_MAX), total):
            mark = ring[serial % MARKS_MAX]
            name = bytes(ffi.buffer(mark.classification, mark.class_len)).decode("ascii", "replace")
            record_id, event_id = bytes(ffi.buffer(mark.record_id)), bytes(ffi.buffer(mark.event_id))
            marks.append(Mark(record_id, event_id, mark.created_us, name))
        return total, marks
