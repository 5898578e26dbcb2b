# SPDX-License-Identifier: Apache-2.0
"""Frames in a piece of a segment: the typed face of the C engine's scan.

Pure: works on bytes in memory.
"""

from __future__ import annotations

from telemd._engine import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIRST: int = lib.FRAME_FIRST
CARRIED: int = lib.FRAME_CARRIED
HEADER_LEN: int = lib.FRAME_HEADER_LEN
FRAME_MAX = HEADER_LEN + 131072 + 8
_MAGIC = b"TFR5"
_SPANS = 1024
_SPAN_LEN: int = ffi.sizeof("struct frame_span")
_FLAGS_AT: int = ffi.offsetof("struct frame_span", "flags") // 4
_EVER_US = 2**62


def is_begun(data: bytes, offset: int, seq: int) -> bool:
    """A frame of that number begins there, whole or not."""
    return data[offset : offset + 4] == _MAGIC and data[offset + 16 : offset + 24] == seq.to_bytes(8, "little")


class Spans:
    """Good frames that follow one another, and where they lie in the bytes that were scanned."""

    __slots__ = ("_data", "_spans", "count", "end")

    def __init__(self, data: Any, spans: Any, count: int, end: int) -> None:
        self._data = data
        self._spans = spans
        self.count = count
        self.end = end

    def seq(self, index: int) -> int:
        """Sequence number of a frame."""
        return int(self._spans[index].seq)

    def count_up_to(self, ceiling: int) -> int:
        """How many have a number that is not above the ceiling."""
        if self.count == 0 or self.seq(self.count - 1) <= ceiling:
            return self.count
        return next(index for index in range(self.count) if self.seq(index) > ceiling)

    def offset(self, index: int) -> int:
        """Begin of a frame; behind the last one the end of it."""
        return int(self._spans[index].offset) if index < self.count else self.end

    def admitted_us(self, index: int) -> int:
        """When a frame was admitted."""
        return int(self._spans[index].admitted_us)

    def flags(self, index: int) -> int:
        """FIRST, DEFERRED, CARRIED."""
        return int(self._spans[index].flags)

    def firsts(self, begin: int) -> list[int]:
        """Which frames from begin on are the first of their kind. One look at the memory: asking frame by frame was a
        tenth of what eviction costs."""
        words = memoryview(ffi.buffer(self._spans, self.count * _SPAN_LEN)).cast("I")[_FLAGS_AT :: _SPAN_LEN // 4]
        return [index for index, flags in enumerate(words.tolist()) if flags & FIRST and index >= begin]

    def not_before_us(self, index: int) -> int:
        """When a frame may be sent; 0 is at once."""
        return int(self._spans[index].not_before_us)

    def sender(self, index: int) -> tuple[int, int]:
        """User and process that sent it."""
        return int(self._spans[index].uid), int(self._spans[index].pid)

    def record(self, index: int) -> bytes:
        """One record."""
        at = self._spans[index].offset + HEADER_LEN
        return bytes(self._data[at : at + self._spans[index].record_len])

    def ready(self, now_us: int, expired_before_us: int) -> tuple[int, int]:
        """How many at the head are expired, and how many of those that follow one another behind them may be sent
        now."""
        expired = ffi.new("size_t *")
        ready = int(lib.frame_ready(self._spans, self.count, now_us, expired_before_us, expired))
        return int(expired[0]), ready

    def contiguous(self) -> int:
        """How many at the head follow one another without a gap."""
        nothing = ffi.new("size_t *")
        return int(lib.frame_ready(self._spans, self.count, _EVER_US, -_EVER_US, nothing))

    def ids(self, first: int, count: int) -> bytes:
        """The ids of count records from the first on, 16 bytes each."""
        out = ffi.new("uint8_t[]", 16 * count or 1)
        lib.pick_ids(self._data, self._spans + first, count, out)
        return bytes(ffi.buffer(out, 16 * count))

    def of_class(self, pattern: bytes, first: int, count: int) -> bytes:
        """A byte for each of count records from the first on: 1 where its classification is the pattern, or begins with
        what stands before the pattern's final *."""
        out = ffi.new("uint8_t[]", count or 1)
        lib.pick_class(self._data, self._spans + first, count, pattern, len(pattern), out)
        return bytes(ffi.buffer(out, count))

    def named(self, first: int, count: int) -> tuple[int, bytes, int]:
        """How many of count records from the first on name the same configuration file as it does and were sent by the
        same user, or name none as it doesn't; the file's path, empty for none; that user."""
        path = ffi.new("struct wire_slice *")
        same = int(lib.pick_named(self._data, self._spans + first, count, path))
        named = bytes(ffi.buffer(path.data, path.len)) if path.data != ffi.NULL else b""
        return same, named, int(self._spans[first].uid)

    def rebuilt(self, index: int, generation: int, seq: int, shift_us: int) -> bytes:
        """The same frame under another number and CARRIED, for another segment. shift_us: how far the clock was put
        forward since it was admitted."""
        span = self._spans[index]
        length = int(lib.frame_length(span.record_len))
        frame = ffi.new("uint8_t[]", length)
        source = self._data + span.offset + HEADER_LEN
        ffi.memmove(frame + HEADER_LEN, source, span.record_len)
        stamp = ffi.new(
            "struct frame_stamp *",
            {
                "flags": span.flags | CARRIED,
                "seq": seq,
                "admitted_us": span.admitted_us + shift_us,
                "uid": span.uid,
                "pid": span.pid,
                "not_before_us": span.not_before_us,
            },
        )
        lib.frame_write(frame, span.record_len, generation, stamp)
        return bytes(ffi.buffer(frame, length))

    def records(self, first: int, count: int) -> bytes:
        """Count records from the first on, back to back."""
        size = sum(self._spans[index].record_len for index in range(first, first + count))
        out = ffi.new("uint8_t[]", size or 1)
        used = int(lib.frame_gather(self._data, self._spans + first, count, out, size))
        return bytes(ffi.buffer(out, used))


def scan(
    data: bytes, generation: int, seq_floor: int, offset: int = 0, records_max: int = _SPANS, bytes_max: int = 1 << 62
) -> Spans:
    """Good frames with rising seq > seq_floor from offset on; at most records_max (<= 1,024) and, but for the first,
    bytes_max."""
    held = ffi.from_buffer("uint8_t[]", data)
    count = min(records_max, _SPANS)
    spans = ffi.new("struct frame_span[]", count)
    at = ffi.new("size_t *", offset)
    found = int(lib.frame_scan(held, len(data), generation, seq_floor, bytes_max, spans, count, at))
    return Spans(held, spans, found, int(at[0]))


def find(data: bytes, generation: int, seq_floor: int, offset: int) -> int:
    """Where the next good frame with seq > seq_floor begins, from offset on; len(data) where there is none."""
    return int(lib.frame_find(ffi.from_buffer(data), len(data), generation, seq_floor, offset))
