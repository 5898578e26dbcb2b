# SPDX-License-Identifier: Apache-2.0
"""Symbol tables of ELF files as they lie there, and where functions begin according to `.eh_frame_hdr`.

A table of a large library has hundreds of thousands of entries: their order by value is made in chunks and kept as two
bytes for each, and an entry becomes an object only when an address was found near it. Every number in a file may be a
lie. Which of several names is the right one is decided in `symbols`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from struct import Struct, error, pack

from telemetry_probes.crash.elf import PT_DYNAMIC, PT_GNU_EH_FRAME, SHT_NOBITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_probes.crash.elf import Image

ENTRY_BYTES = 24
SYMBOLS_MAX = 8 << 20
CHUNK = 1 << 14
"""Entries that are sorted at a time, which takes 56 bytes each. At most 65,536: a place among them has two bytes."""
KEPT_MAX = 1 << 20
"""Entries up to which their order is kept for the next search."""
VALUES_BACK = 4
"""Different values that are looked at below an address: the nearest may be data, or a label inside of a function."""
ALIASES_MAX = 64
NAME_BYTES_MAX = 8192
HASH_BUCKETS_MAX = 1 << 22
DYNAMIC_BYTES_MAX = 1 << 14

DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5
STT_NOTYPE, STT_FUNC, STT_GNU_IFUNC = 0, 2, 10
STB_LOCAL = 0
SHN_UNDEF, SHN_ABS, SHN_COMMON = 0, 0xFFF1, 0xFFF2
EH_TABLE_ENCODING = 0x3B
"""DW_EH_PE_datarel | sdata4: the one encoding of the search table that linkers write."""

_SYMBOL = Struct("<IBBHQQ")


class Symbol:
    """A function, or a label in code. `size` 0 is a symbol that doesn't say where it ends."""

    __slots__ = ("is_function", "is_local", "name", "size", "start")

    def __init__(self, name: str, start: int, size: int, is_local: bool, is_function: bool) -> None:
        self.name = name
        self.start = start
        self.size = size
        self.is_local = is_local
        self.is_function = is_function


class Table:
    """A table and its strings. `full`: `.symtab`, which knows local functions too, or only `.dynsym`."""

    __slots__ = ("_count", "_entries", "_kept", "_names", "_quads", "full")

    def __init__(self, entries: memoryview, names: memoryview, full: bool) -> None:
        self._count = min(len(entries) // ENTRY_BYTES, SYMBOLS_MAX)
        self._entries = entries[: self._count * ENTRY_BYTES]
        self._quads = self._entries.cast("B").cast("Q")  # of an entry: name, kind and section; value; size
        self._names = names
        self._kept: list[tuple[int, memoryview]] = []
        self.full = full

    def near(self, wanted: list[tuple[int, int]]) -> list[list[Symbol]]:
        """For each (address, floor) the symbols of code at the nearest values from floor to address."""
        found: list[list[Symbol]] = [[] for _ in wanted]
        quads = self._quads
        for first, order in self._chunks():

            def value_at(place: int, base: int = first * 3 + 1) -> int:
                return quads[base + place * 3]

            for (address, floor), into in zip(wanted, found, strict=True):
                end = bisect_right(order, address, key=value_at)
                for _ in range(VALUES_BACK):
                    if not end or (value := value_at(order[end - 1])) < floor:
                        break
                    begin = bisect_left(order, value, 0, end, key=value_at)
                    aliases = order[begin : min(end, begin + ALIASES_MAX)]
                    symbols = [symbol for place in aliases if (symbol := self._symbol(first + place)) is not None]
                    into.extend(symbols)
                    if any(symbol.start + symbol.size > address for symbol in symbols):
                        break
                    end = begin
        return found

    def value_of(self, name: str) -> int | None:
        """The value of the symbol of that name, of any type; None where it isn't defined here."""
        wanted = name.encode() + b"\0"
        places: set[int] = set()
        names = bytes(self._names)
        place = names.find(wanted)
        while place >= 0 and len(places) < ALIASES_MAX:
            places.add(place)  # it may be the end of a longer name, which some linkers share
            place = names.find(wanted, place + 1)
        if not places:
            return None
        quads = self._quads
        for first in range(0, self._count, CHUNK):
            for index, head in enumerate(quads[first * 3 : (first + CHUNK) * 3 : 3].tolist(), first):
                # st_name, then st_info and st_other, then st_shndx
                if head & 0xFFFFFFFF in places and head >> 48 not in (SHN_UNDEF, SHN_COMMON):
                    return quads[index * 3 + 1]
        return None

    def _chunks(self) -> Iterator[tuple[int, memoryview]]:
        """The first index, and the places from there in the order of their values; of one chunk after another."""
        if self._kept:
            yield from self._kept
            return
        for first in range(0, self._count, CHUNK):
            values = self._quads[first * 3 + 1 : (first + CHUNK) * 3 : 3].tolist()
            places = sorted(range(len(values)), key=values.__getitem__)
            chunk = first, memoryview(pack(f"={len(places)}H", *places)).cast("H")
            if self._count <= KEPT_MAX:
                self._kept.append(chunk)
            yield chunk

    def _symbol(self, index: int) -> Symbol | None:
        """The entry, where it is a symbol of code with a name of its own."""
        name_at, info, _other, section, value, size = _SYMBOL.unpack_from(self._entries, index * ENTRY_BYTES)
        kind = info & 15
        if kind not in (STT_FUNC, STT_NOTYPE, STT_GNU_IFUNC) or section in (SHN_UNDEF, SHN_ABS, SHN_COMMON):
            return None
        name = text_at(self._names, name_at)
        # `$x` and `$d` mark code and data on ARM; `.annobin…` and `.L…` are notes of the compiler.
        if not name or name[0] in "$.":
            return None
        return Symbol(name, value, size, info >> 4 == STB_LOCAL, kind != STT_NOTYPE)


class FunctionStarts:
    """Where functions begin, as the search table of `.eh_frame_hdr` has it. Without one it knows nothing."""

    __slots__ = ("_base", "_starts")

    def __init__(self, image: Image) -> None:
        self._base = 0
        self._starts: memoryview | None = None
        segment = image.segment(PT_GNU_EH_FRAME)
        if segment is None:
            return
        header = image.up_to(segment.vaddr, segment.memory_size)
        # version, encodings of pointer, count and table; then pointer and count of 4 bytes each
        if header is None or len(header) < 12 or header[0] != 1 or header[1] & 15 not in (3, 11) or header[2] != 3:
            return
        if header[3] != EH_TABLE_ENCODING:
            return
        count = min(int.from_bytes(header[8:12], "little"), (len(header) - 12) // 8)
        self._starts = header[12 : 12 + count * 8].cast("B").cast("i")[::2]
        self._base = segment.vaddr

    def at_or_before(self, address: int) -> int | None:
        """The nearest start of a function up to `address`."""
        if self._starts is None:
            return None
        place = bisect_right(self._starts, address - self._base)
        return self._starts[place - 1] + self._base if place else None


def own(image: Image, bias: int) -> Table | None:
    """The image's fullest table: `.symtab`, else `.dynsym`, else what its dynamic section points at."""
    for section, strings in ((".symtab", ".strtab"), (".dynsym", ".dynstr")):
        header = image.header(section)
        if header is None or header.type == SHT_NOBITS or header.entry_size != ENTRY_BYTES:
            continue
        entries, names = image.section(section), image.section(strings)
        if entries is not None and names is not None and len(entries) > ENTRY_BYTES:
            return Table(entries, names, section == ".symtab")
    try:
        return _dynamic(image, bias)
    except error:  # struct's: a table that ends early
        return None


def text_at(names: memoryview, at: int) -> str:
    """The string that begins at `at`, empty where there is none or it doesn't end."""
    size = 256
    while at < len(names):
        piece = bytes(names[at : at + size])
        end = piece.find(0)
        if end >= 0:
            return piece[:end].decode("utf-8", "replace")
        if size >= NAME_BYTES_MAX:
            break
        size *= 8
    return ""


def _dynamic(image: Image, bias: int) -> Table | None:
    """The table that the loader uses; there without section headers, and in memory."""
    segment = image.segment(PT_DYNAMIC)
    content = image.up_to(segment.vaddr, min(segment.memory_size, DYNAMIC_BYTES_MAX)) if segment is not None else None
    if content is None:
        return None
    tags = dict(Struct("<QQ").iter_unpack(content[: len(content) & ~15]))
    symbols, strings, strings_size = tags.get(DT_SYMTAB), tags.get(DT_STRTAB), tags.get(DT_STRSZ)
    if symbols is None or strings is None or strings_size is None:
        return None

    def pointed_at(address: int, size: int) -> memoryview | None:
        # In memory the loader has made addresses of the process of some of them.
        found = image.up_to(address, size)
        return image.up_to(address - bias, size) if found is None and address >= bias > 0 else found

    if DT_HASH in tags:
        header = pointed_at(tags[DT_HASH], 8)
        count = Struct("<II").unpack_from(header)[1] if header is not None else 0
    else:
        count = _gnu_hash_count(pointed_at(tags.get(DT_GNU_HASH, 0), 1 << 26))
    entries = pointed_at(symbols, min(count, SYMBOLS_MAX) * ENTRY_BYTES)
    names = pointed_at(strings, min(strings_size, 1 << 28))
    return Table(entries, names, False) if entries is not None and names is not None and len(entries) else None


def _gnu_hash_count(table: memoryview | None) -> int:
    """How many symbols a DT_GNU_HASH table reaches: the last chain's end."""
    if table is None:
        return 0
    header: tuple[int, int, int, int] = Struct("<IIII").unpack_from(table)
    bucket_count, first, bloom_words, _shift = header
    if bucket_count > HASH_BUCKETS_MAX:
        return 0
    words = table[: len(table) & ~3].cast("I")
    buckets = 4 + bloom_words * 2
    last: int = max(words[buckets : buckets + bucket_count].tolist(), default=0)
    if last < first:
        return first
    chains = buckets + bucket_count
    while chains + last - first < len(words):
        if words[chains + last - first] & 1:
            return last + 1
        last += 1
    return 0
