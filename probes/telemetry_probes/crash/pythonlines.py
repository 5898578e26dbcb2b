# SPDX-License-Identifier: Apache-2.0
"""Which line of a Python function an instruction belongs to, from the line table of its code object.

Pure: bytes in, a number out. The formats are those of CPython's Objects/lnotab_notes.txt (3.9), of PEP 626 (3.10) and
of Objects/locations.md (3.11 and later).
"""

from __future__ import annotations

NO_LINE_310 = -128
LONG, NO_COLUMNS, NONE = 14, 13, 15
ONE_LINE = (10, 11, 12)


def line_at(table: bytes, first_line: int, offset: int, version: tuple[int, int]) -> int:
    """The line of the instruction at `offset` bytes; 0 where it has none. Never raises."""
    if version >= (3, 11):
        return _locations(table, first_line, offset)
    return _pairs(table, first_line, offset, version >= (3, 10))


def _pairs(table: bytes, line: int, offset: int, since_310: bool) -> int:
    """Pairs of bytes: an unsigned step of the offset and a signed one of the line."""
    end = 0
    for at in range(0, len(table) - 1, 2):
        step = table[at + 1] - 256 if table[at + 1] > 127 else table[at + 1]
        if since_310:
            # The line step comes first and holds for the instructions that follow.
            if step != NO_LINE_310:
                line += step
            end += table[at]
            if end > offset:
                return line if step != NO_LINE_310 else 0
        else:
            end += table[at]
            if end > offset:
                return line
            line += step
    return 0 if since_310 else line


def _locations(table: bytes, line: int, offset: int) -> int:
    """Entries that begin with a byte of the high bit set: a kind, how many instructions, then numbers of 6 bits."""
    at, end = 0, 0
    while at < len(table):
        first = table[at]
        at += 1
        if not first & 0x80:
            return 0
        kind = first >> 3 & 15
        end += 2 * ((first & 7) + 1)
        if kind in (LONG, NO_COLUMNS):
            value, shift = 0, 0
            while at < len(table):
                value |= (table[at] & 63) << shift
                shift += 6
                at += 1
                if not table[at - 1] & 64:
                    break
            line += -(value >> 1) if value & 1 else value >> 1
        elif kind in ONE_LINE:
            line += kind - ONE_LINE[0]
        if end > offset:
            return line if kind != NONE else 0
        while at < len(table) and not table[at] & 0x80:
            at += 1
    return 0
