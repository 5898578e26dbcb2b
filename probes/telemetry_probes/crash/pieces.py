# SPDX-License-Identifier: Apache-2.0
"""A section of which pieces are read here and there: what zlib compressed is never in memory as a whole.

It is decompressed from the front, and what nobody wants is forgotten at once. Going back is going on from the nearest
mark: the decompressor as it was there, some 45 KiB. Hostile bytes only end early. Strings, which are read in any order,
are no case for this (`elf.Image.section` has them as a whole).
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash.compression import ELFCOMPRESS_ZLIB
from telemetry_probes.crash.elf import SECTION_BYTES_MAX, SHF_COMPRESSED, SHT_NOBITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlib import _Decompress

    from telemetry_probes.crash.elf import Image

WHOLE_BYTES = 128 << 10
"""Up to so many plain bytes a section is decompressed as a whole, and kept."""
MARKS_MAX = 32
MARK_BYTES_MIN = 256 << 10
"""Plain bytes between two marks, of small sections."""
AT_ONCE = 128 << 10
"""Plain bytes that are made at a time."""
RAW_AT_ONCE = 32 << 10
KEPT_BYTES = 256 << 10
"""Plain bytes that are remembered behind a read, beside those that come next: neighbours are often asked for."""
_HEADER = Struct("<IIQQ")


class Plain:
    """Bytes that are all at hand."""

    __slots__ = ("_content", "size")

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self.size = len(content)

    def read(self, at: int, size: int) -> bytes:
        """At most `size` bytes from an offset on, fewer only at the end."""
        return bytes(self._content[at : at + size])


class Inflated:
    """zlib's bytes. `size` is what they say they are, and no more than that is ever read."""

    __slots__ = ("_apart", "_begin", "_marks", "_raw", "_raw_at", "_stream", "_window", "size")

    def __init__(self, raw: memoryview, size: int) -> None:
        import zlib

        self.size = size
        self._raw = raw
        self._apart = max(MARK_BYTES_MIN, size // MARKS_MAX)
        self._stream = zlib.decompressobj()
        self._raw_at = 0
        self._begin = 0
        self._window = bytearray()
        self._marks: list[tuple[int, int, _Decompress]] = [(0, 0, self._stream.copy())]

    def read(self, at: int, size: int) -> bytes:
        """At most `size` bytes from an offset on; fewer at the end, and where the bytes break zlib's format."""
        end = min(at + size, self.size)
        if not 0 <= at < end:
            return b""
        self._go_near(at)
        window = self._window
        while self._begin + len(window) < end:
            if self._begin + len(window) <= at:
                self._begin += len(window)
                window.clear()
            piece = self._next()
            if not piece:
                break
            window += piece
        found = bytes(window[at - self._begin : end - self._begin]) if at >= self._begin else b""
        if len(window) > KEPT_BYTES:
            forgotten = max(min(at - self._begin, len(window)), len(window) - KEPT_BYTES)
            del window[:forgotten]
            self._begin += forgotten
        return found

    def _go_near(self, at: int) -> None:
        """Back to a mark, or ahead to one that is nearer than what was read last."""
        behind = at < self._begin
        nearest = None
        for mark in self._marks:
            if mark[0] <= at and (behind or mark[0] > self._begin + len(self._window)):
                nearest = mark
        if nearest is not None:
            self._begin, self._raw_at, stream = nearest
            self._stream = stream.copy()
            self._window.clear()

    def _next(self) -> bytes:
        """The bytes behind the window, none at the end."""
        import zlib

        while not self._stream.eof:
            raw = self._raw[self._raw_at : self._raw_at + RAW_AT_ONCE]
            try:
                piece = self._stream.decompress(raw, AT_ONCE)
            except zlib.error:
                return b""
            self._raw_at += len(raw) - len(self._stream.unconsumed_tail)
            reached = self._begin + len(self._window) + len(piece)
            if reached - self._marks[-1][0] >= self._apart and len(self._marks) < MARKS_MAX:
                self._marks.append((reached, self._raw_at, self._stream.copy()))
            if piece or not raw:
                return piece
        return b""


def of(image: Image, name: str) -> Plain | Inflated | None:
    """The section of that name; None where the file has none."""
    header = image.header(name)
    if header is not None and header.flags & SHF_COMPRESSED and header.type != SHT_NOBITS:
        raw = image.data[header.offset : header.offset + header.size]
        if len(raw) > _HEADER.size:
            kind, _reserved, size, _align = _HEADER.unpack_from(raw)
            if kind == ELFCOMPRESS_ZLIB and WHOLE_BYTES < size <= SECTION_BYTES_MAX:
                return Inflated(raw[_HEADER.size :], size)
    content = image.section(name)
    return None if content is None else Plain(content)
