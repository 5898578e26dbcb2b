# SPDX-License-Identifier: Apache-2.0
"""What memory a core says the process had: its PT_LOAD program headers, found by address. Opens nothing.

A core may have a million of them (vm.max_map_count), so they stay packed as the core has them; a `Load` is made for the
one that is asked for. Addresses that overlap are valid input: the load that begins last wins.
"""

from __future__ import annotations

from bisect import bisect_right

from telemetry_probes.crash.elf import PT_LOAD, PT_NOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROW_SIZE = 56
_ROW_WORDS = 7
_TYPE_AND_FLAGS, _OFFSET, _VADDR, _FILE_SIZE, _MEMORY_SIZE = 0, 1, 2, 4, 5
_ADDRESSES = 1 << 64


class Load:
    """A stretch of memory. Bytes from `start` to `kept_end` are in the core, from there to `end` they are not.

    `offset` is where in the core they begin; `flags` are PF_R, PF_W, PF_X.
    """

    __slots__ = ("end", "flags", "kept_end", "offset", "start")

    def __init__(self, start: int, end: int, kept_end: int, offset: int, flags: int) -> None:
        self.start = start
        self.end = end
        self.kept_end = kept_end
        self.offset = offset
        self.flags = flags


class Loads:
    """All of them in the order of their addresses. `rows` are program headers, 56 bytes each, of any type and order."""

    __slots__ = ("_first", "_starts", "_words", "end_offset")

    def __init__(self, rows: bytes | bytearray | memoryview) -> None:
        """`end_offset` becomes the offset at which the core ends, notes and all, if it wasn't cut."""
        words = memoryview(rows)[: len(rows) // ROW_SIZE * ROW_SIZE].cast("Q")
        found = []
        self.end_offset = 0
        for at in range(0, len(words), _ROW_WORDS):
            if words[at] & 0xFFFFFFFF == PT_LOAD:
                found.append((words[at + _VADDR], at))
            if words[at + _FILE_SIZE]:
                self.end_offset = max(self.end_offset, words[at + _OFFSET] + words[at + _FILE_SIZE])
        found.sort()
        self._words = words
        self._starts = [start for start, _at in found]
        self._first = [at for _start, at in found]

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Load]:
        return map(self._load, range(len(self._starts)))

    def at(self, address: int) -> Load | None:
        """The load that `address` is in, whether or not its bytes are in the core."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        load = self._load(index)
        return load if address < load.end else None

    def _load(self, index: int) -> Load:
        words = self._words
        at = self._first[index]
        start = self._starts[index]
        size = min(words[at + _MEMORY_SIZE], _ADDRESSES - start)
        kept = min(words[at + _FILE_SIZE], _ADDRESSES - start)
        return Load(start, start + max(size, kept), start + kept, words[at + _OFFSET], words[at] >> 32)


def live_rows(rows: bytes | bytearray | memoryview) -> bytearray:
    """The same program headers for a file in which every address is its own offset: /proc/PID/mem."""
    changed = bytearray(rows[: len(rows) // ROW_SIZE * ROW_SIZE])
    words = memoryview(changed).cast("Q")
    for at in range(0, len(words), _ROW_WORDS):
        words[at + _OFFSET] = words[at + _VADDR]
    return changed


def note_ranges(rows: bytes | bytearray | memoryview) -> list[tuple[int, int]]:
    """(offset, size) of each PT_NOTE, in the order of the program headers."""
    words = memoryview(rows)[: len(rows) // ROW_SIZE * ROW_SIZE].cast("Q")
    return [
        (words[at + _OFFSET], words[at + _FILE_SIZE])
        for at in range(0, len(words), _ROW_WORDS)
        if words[at] & 0xFFFFFFFF == PT_NOTE
    ]


def first_load_offset(rows: bytes | bytearray | memoryview) -> int:
    """Where in the core the first byte of memory is; 0 where there is none."""
    words = memoryview(rows)[: len(rows) // ROW_SIZE * ROW_SIZE].cast("Q")
    return min(
        (
            words[at + _OFFSET]
            for at in range(0, len(words), _ROW_WORDS)
            if words[at] & 0xFFFFFFFF == PT_LOAD and words[at + _FILE_SIZE]
        ),
        default=0,
    )
