# SPDX-License-Identifier: Apache-2.0
"""Compressed bytes to bytes, never more than was allowed.

Pure. Memory and time are bounded by the limit, whatever the input claims or does: a bomb is cut off while it
unfolds. What the bytes mean is not looked at.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal

import zstandard

Encoding = Literal["zstd", "gzip", "identity"]

ENCODINGS: Final[dict[str, Encoding]] = {"zstd": "zstd", "gzip": "gzip", "identity": "identity", "": "identity"}
"""What a Content-Encoding may say, in lower case."""

RATIO_MAX: Final = 600
"""Bytes out for one byte in: what telemetry holds comes nowhere near, gzip can't go beyond 1,032, zstd goes to
16,000."""

RATIO_FREE: Final = 1024 * 1024
"""Bytes out up to which the ratio doesn't matter."""

ZSTD_WINDOW_MAX: Final = 8 * 1024 * 1024
"""Bytes; RFC 9659 forbids a larger window in a content encoding."""

GZIP_MEMBERS_MAX: Final = 64
"""Each costs a copy of what comes after it."""


class TooLarge(Exception):
    """The result would be larger, or its ratio to the input higher, than is allowed."""


class Corrupt(Exception):
    """The input isn't what it is said to be, or ends too early."""


def decompress(data: bytes, encoding: Encoding, limit: int) -> bytes:
    """The decompressed data, at most limit bytes of it. Raises TooLarge or Corrupt."""
    if encoding == "identity":
        if len(data) > limit:
            raise TooLarge
        return data
    allowed = min(limit, max(RATIO_FREE, len(data) * RATIO_MAX))
    return _unzstd(data, allowed) if encoding == "zstd" else _gunzip(data, allowed)


def _unzstd(data: bytes, allowed: int) -> bytes:
    """Exactly one frame, which is what compressors write; its claim is checked before any memory is taken for it."""
    inflater = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX)
    claimed = -1
    try:
        claimed = zstandard.frame_content_size(data)  # -1 where the frame doesn't say
        if claimed > allowed:
            raise TooLarge
        return inflater.decompress(data, max_output_size=allowed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        # The same error says "cut short" and "larger than that": only a second look can tell.
        if claimed == -1 and _unfolds_beyond(inflater, data, allowed):
            raise TooLarge from error
        raise Corrupt from error


def _unfolds_beyond(inflater: zstandard.ZstdDecompressor, data: bytes, allowed: int) -> bool:
    try:
        with inflater.stream_reader(data) as reader:
            return len(reader.read(allowed + 1)) > allowed
    except zstandard.ZstdError:
        return False


def _gunzip(data: bytes, allowed: int) -> bytes:
    """One gzip member after the other."""
    pieces: list[bytes] = []
    total = 0
    while data:
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            piece = inflater.decompress(data, allowed - total + 1)
        except zlib.error as error:
            raise Corrupt from error
        total += len(piece)
        if total > allowed:
            raise TooLarge
        if not inflater.eof:
            raise Corrupt
        pieces.append(piece)
        data = inflater.unused_data
        if len(pieces) > GZIP_MEMBERS_MAX:
            raise Corrupt
    if not pieces:
        raise Corrupt
    return b"".join(pieces)
