# SPDX-License-Identifier: Apache-2.0
"""What a hostile core and hostile files can look like: real ones with a few places changed, on purpose or at random.

A mutant is a list of patches, so that big sparse files need not be copied for each. Pure but for reading the original;
a seed decides everything. Never in here: what is made of a mutant.
"""

from __future__ import annotations

import mmap
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

PT_LOAD, PT_NOTE, PT_DYNAMIC = 1, 4, 2
NT_FILE, NT_PRSTATUS = 0x46494C45, 1
HEADER, SEGMENT, SECTION = 64, 56, 64
EDGES = (
    0, 1, 2, 7, 8, 0xFF, 0xFFF, 0x1000, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF,
    1 << 32, (1 << 47) - 1, 1 << 48, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 8, (1 << 64) - 1,
)  # fmt: skip
HOSTILE_BYTES = (
    b"\x80" * 40,  # a LEB128 number that never ends
    b"\xff" * 40,
    b"\x2f\xfd\xff",  # DW_OP_skip to itself
    b"\x30\x28\xfc\xff" * 3,  # DW_OP_bra back for ever
    b"\x12" * 300,  # DW_OP_dup: a stack that grows
    b"\x06" * 64,  # DW_OP_deref
    b"\x0f\x08" + b"\x2f\xfd\xff" * 3,  # DW_CFA_def_cfa_expression
    b"\x0a" * 300,  # DW_CFA_remember_state
    b"\x0a\x0b" * 100,
    b"\x04\xff\xff\xff\xff",  # DW_CFA_advance_loc4
    b"\xff\xff\xff\xff" + b"\xff" * 8,  # the 64 bit form, and as long as can be
    b"\xff\xff\xff\xff" + b"\x00" * 8,
    b"\x00" * 64,
    b"\x16" * 40,  # DW_FORM_indirect
    b"\x10" + b"\x00" * 8 + b"\x13" + b"\x00" * 4,  # DW_FORM_ref_addr and ref4 to the start
)


class Patch(NamedTuple):
    """Bytes that stand at an offset instead of the original's."""

    offset: int
    content: bytes


class Mutant(NamedTuple):
    """`size`: where the file is cut, -1 where it isn't."""

    patches: list[Patch]
    size: int
    what: str


Changes = tuple[list[Patch], int]
"""Of one kind, and where the file is cut, -1 for nowhere."""


class Load(NamedTuple):
    offset: int
    address: int
    size: int
    flags: int


class Original:
    """An ELF file, with the places where it hurts."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size = len(self.data)
        self.table, self.sections_at = struct.unpack_from("<QQ", self.data, 32)
        _, self.count, _, self.section_count = struct.unpack_from("<HHHH", self.data, 54)
        self.loads, self.notes = self._segments()
        self.sections = self._sections() if self.sections_at + self.section_count * SECTION <= self.size else []

    def _segments(self) -> tuple[list[Load], tuple[int, int]]:
        loads, notes = [], (HEADER, HEADER)
        for at in range(self.count):
            kind, flags, offset, address, _, size, _, _ = struct.unpack_from(
                "<IIQQQQQQ", self.data, self.table + at * SEGMENT
            )
            if kind == PT_LOAD and size:
                loads.append(Load(offset, address, size, flags))
            elif kind == PT_NOTE:
                notes = (offset, offset + size)
        return loads, notes

    def _sections(self) -> list[tuple[int, int]]:
        """Offset and size of those that have bytes."""
        found = []
        for at in range(self.section_count):
            _, kind, _, _, offset, size = struct.unpack_from("<IIQQQQ", self.data, self.sections_at + at * SECTION)
            if size and kind != 8 and offset + size <= self.size:  # SHT_NOBITS
                found.append((offset, size))
        return found

    def note_headers(self) -> list[tuple[int, int, int]]:
        """Of each note: its offset, its kind, the offset of its content."""
        found, (at, end) = [], self.notes
        while at + 12 <= end:
            name, size, kind = struct.unpack_from("<III", self.data, at)
            content = at + 12 + (name + 3 & ~3)
            found.append((at, kind, content))
            at = content + (size + 3 & ~3)
        return found

    def registers_at(self) -> int:
        """Of the thread that died."""
        return next(content for _, kind, content in self.note_headers() if kind == NT_PRSTATUS) + 112

    def load_with(self, address: int) -> Load | None:
        return next((load for load in self.loads if load.address <= address < load.address + load.size), None)


class Maker:
    """Mutants of one original by chance."""

    def __init__(self, original: Original, chance: random.Random) -> None:
        self.original = original
        self.chance = chance

    def core(self) -> Mutant:
        """Of a core: most change a place or two, some a lot."""
        kinds = (self.headers, self.note_header, self.notes_bytes, self.mapped_files, self.registers, self.stack,
                 self.pointers, self.pointers, self.memory, self.cut)  # fmt: skip
        return self._some(kinds)

    def file(self) -> Mutant:
        """Of a program, a library or a debug file."""
        kinds = (self.headers, self.section_headers, self.section_bytes, self.section_bytes, self.section_bytes,
                 self.section_copies, self.section_numbers, self.section_numbers, self.cut)  # fmt: skip
        return self._some(kinds)

    def _some(self, kinds: Sequence[Callable[[], Changes]]) -> Mutant:
        patches: list[Patch] = []
        size, names = -1, []
        for _ in range(self.chance.choice((1, 1, 1, 2, 4))):
            kind = self.chance.choice(kinds)
            found, cut = kind()
            patches += [patch for patch in found if 0 <= patch.offset <= self.original.size - len(patch.content)]
            size = cut if cut >= 0 else size
            names.append(kind.__name__)
        return Mutant(patches, size, "+".join(names))

    def number(self) -> int:
        """One that lies: an edge, a size or an address of this file, or anything."""
        chance, original = self.chance, self.original
        ways = [chance.choice(EDGES), original.size + chance.randint(-9, 9), chance.getrandbits(chance.randint(1, 64))]
        if original.loads:
            load = chance.choice(original.loads)
            ways.append(load.address + chance.choice((0, load.size - 8, load.size, chance.randrange(load.size))))
        return int(chance.choice(ways)) & (1 << 64) - 1

    def _numbers(self, start: int, end: int, most: int) -> Changes:
        """Some fields there become numbers that lie."""
        patches = []
        for _ in range(self.chance.randint(1, most)):
            size = self.chance.choice((1, 2, 4, 4, 8, 8, 8))
            if end - start >= size:
                at = start + self.chance.randrange((end - start) // size) * size
                patches.append(Patch(at, (self.number() & (1 << 8 * size) - 1).to_bytes(size, "little")))
        return patches, -1

    def _bytes(self, start: int, end: int) -> Changes:
        """A place there has other bytes."""
        chance = self.chance
        if end <= start:
            return [], -1
        at = chance.randrange(start, end)
        content = chance.choice(
            (chance.randbytes(1), chance.randbytes(1), chance.randbytes(chance.randint(1, 64)),
             chance.choice(HOSTILE_BYTES), bytes(chance.randint(1, 4096)), chance.choice(HOSTILE_BYTES) * 20)
        )  # fmt: skip
        return [Patch(at, content[: end - at])], -1

    def headers(self) -> Changes:
        table_end = self.original.table + SEGMENT * self.original.count
        return self._numbers(16, table_end, 3) if self.chance.random() < 0.8 else self._bytes(4, table_end)

    def section_headers(self) -> Changes:
        original = self.original
        return self._numbers(original.sections_at, original.sections_at + SECTION * original.section_count, 3)

    def note_header(self) -> Changes:
        at, _, _ = self.chance.choice(self.original.note_headers() or [(HEADER, 0, 0)])
        return [Patch(at + 4 * self.chance.randrange(3), struct.pack("<I", self.number() & 0xFFFFFFFF))], -1

    def notes_bytes(self) -> Changes:
        return self.chance.choice((self._bytes(*self.original.notes), self._numbers(*self.original.notes, 4)))

    def mapped_files(self) -> Changes:
        for at, kind, content in self.original.note_headers():
            if kind == NT_FILE:
                size = struct.unpack_from("<I", self.original.data, at + 4)[0]
                end = content + self.chance.choice((16, size))
                return self.chance.choice((self._numbers(content, end, 3), self._bytes(content, content + size)))
        return self.headers()

    def registers(self) -> Changes:
        at = self.original.registers_at()
        return self._numbers(at, at + 27 * 8, 4)

    def _stack(self) -> Load | None:
        words = struct.unpack_from("<34Q", self.original.data, self.original.registers_at())
        number = struct.unpack_from("<H", self.original.data, 18)[0]
        return self.original.load_with(words[19 if number == 62 else 31])

    def stack(self) -> Changes:
        load = self._stack()
        if load is None:
            return self.memory()
        words = struct.unpack_from("<34Q", self.original.data, self.original.registers_at())
        sp = next(word for word in words if self.original.load_with(word) == load)
        start = load.offset + sp - load.address & ~7
        end = min(start + self.chance.choice((256, 4096)), load.offset + load.size)
        return self._numbers(start, end, 12) if self.chance.random() < 0.7 else self._bytes(start, end)

    def memory(self) -> Changes:
        load = self.chance.choice(self.original.loads)
        return self._bytes(load.offset, load.offset + load.size)

    def pointers(self) -> Changes:
        """Words that point into memory point elsewhere: what was a list becomes a ring."""
        data, patches = self.original.data, []
        load = self.chance.choice([one for one in self.original.loads if one.flags & 2] or self.original.loads)
        found = []
        for _ in range(400):
            at = load.offset + self.chance.randrange(max(load.size // 8, 1)) * 8
            if at + 8 <= self.original.size:
                word = struct.unpack_from("<Q", data, at)[0]
                if word and self.original.load_with(word) is not None:
                    found.append((at, word))
        for at, _ in found[: self.chance.choice((1, 4, 50))]:
            own = load.address + at - load.offset
            other = self.chance.choice(found)[1]
            patches.append(Patch(at, struct.pack("<Q", self.chance.choice((own, own - 8, other, self.number())))))
        return patches, -1

    def section_bytes(self) -> Changes:
        offset, size = self.chance.choice(self.original.sections or [(0, self.original.size)])
        return self._bytes(offset, offset + size)

    def section_numbers(self) -> Changes:
        offset, size = self.chance.choice(self.original.sections or [(0, self.original.size)])
        return self._numbers(offset, offset + self.chance.choice((min(size, 64), size)), 8)

    def section_copies(self) -> Changes:
        """A part of one section stands in another, or further on in its own."""
        sections = self.original.sections or [(0, self.original.size)]
        (source, length), (target, room) = self.chance.choice(sections), self.chance.choice(sections)
        begin = source + self.chance.randrange(length)
        content = self.original.data[begin : min(begin + self.chance.choice((8, 64, 1024)), source + length)]
        at = target + self.chance.randrange(room)
        return [Patch(at, content[: target + room - at])], -1

    def cut(self) -> Changes:
        return [], self.chance.choice(
            (self.chance.randrange(self.original.size), self.chance.randrange(min(self.original.size, 8192)))
        )
