# SPDX-License-Identifier: Apache-2.0
"""Numbers of variable length, seven bits a byte (DWARF 5, 7.6), which Go's tables have, too. Pure: bytes in, numbers
out."""

from __future__ import annotations

LEB_BYTES_MAX = 20
"""Ten are enough for 64 bits; some tools fill up with more."""


def uleb(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and where it ends. IndexError where the bytes end before or it has no end."""
    value = content[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for place in range(1, LEB_BYTES_MAX):
        byte = content[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError


def sleb(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """A signed LEB128 number and where it ends. IndexError as for `uleb`."""
    value, end = uleb(content, at)
    bits = 7 * (end - at)
    return value - (1 << bits) if value >> (bits - 1) else value, end
