# SPDX-License-Identifier: Apache-2.0
"""Frames in a piece of a segment: the typed face of the C engine's scan.

Pure: works on bytes in memory.
"""

from __future__ import annotations

from telemd._engine import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FRAME_MAX = 48 + 131072 + 8
_SPANS = 1024


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

    def offset(self, index: int) -> int:
        """Begin of a frame; behind the last one the end of it."""
        return int(self._spans[index].offset) if index < self.count else self.end

    def admitted_us(self, index: int) -> int:
        """When a frame was admitted."""
        return int(self._spans[index].admitted_us)

    def consecutive(self) -> int:
        """How many from the first on have no gap between their numbers."""
        count = 1
        while count < self.count and self._spans[count].seq == self._spans[0].seq + count:
            count += 1
        return count

    def records(self, count: int) -> bytes:
        """The first count records, back to back."""
        size = sum(self._spans[index].record_len for index in range(count))
        out = ffi.new("uint8_t[]", size or 1)
        used = int(lib.frame_gather(self._data, self._spans, count, out, size))
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
