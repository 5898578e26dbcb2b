# SPDX-License-Identifier: Apache-2.0
"""bigcore: a core of many GiB to standard output, made up on the way, so that no disk has to hold it.

    python3 bigcore.py CORE GIB

A real core with a segment of GIB GiB of zeros put before its memory. Whoever reads may stop before the end. Prints
nothing else.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

HEADER, SEGMENT = 64, 56
PT_LOAD, RW = 1, 6
ADDRESS = 0x1000_0000_0000
PAGE = 4096
AT_ONCE = 1 << 20


def parts(raw: bytes, size: int) -> tuple[bytes, bytes]:
    """What goes before the zeros (headers and notes, a page's multiple long), and what behind them."""
    table, count = struct.unpack_from("<Q", raw, 32)[0], struct.unpack_from("<H", raw, 56)[0]
    rows = [list(struct.unpack_from("<IIQQQQQQ", raw, table + SEGMENT * at)) for at in range(count)]
    memory = min(row[2] for row in rows if row[0] == PT_LOAD and row[5])
    first = next(at for at, row in enumerate(rows) if row[0] == PT_LOAD)
    big = [PT_LOAD, RW, memory + PAGE, ADDRESS, 0, size, size, PAGE]
    for row in rows:
        # the new row moves the notes, and a page more is what that takes in front of memory
        row[2] += SEGMENT if row[0] != PT_LOAD else PAGE + size
    rows.insert(first, big)
    header = bytearray(raw[:table])
    struct.pack_into("<H", header, 56, count + 1)
    written = b"".join(struct.pack("<IIQQQQQQ", *row) for row in rows)
    front = bytes(header) + written + raw[table + SEGMENT * count : memory]
    return front.ljust(memory + PAGE, b"\0"), raw[memory:]


def main() -> None:
    raw, size = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]) << 30
    front, behind = parts(raw, size)
    zeros = memoryview(bytes(AT_ONCE))
    try:
        write(front)
        left = size
        while left:
            left -= os.write(1, zeros[: min(left, AT_ONCE)])
        write(behind)
    except BrokenPipeError:
        pass  # it had what it wanted


def write(content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(1, rest) :]


main()
