# SPDX-License-Identifier: Apache-2.0
"""ELF files and images, read no further than somebody asks: headers, segments, sections, the build-id.

Only 64 bit little-endian, which both machines are that can be unwound. Every number in a file is taken for a lie until
it was compared with the size of the file; what doesn't fit is absent, and nothing here raises. Never in here: symbols,
unwind tables and debug information, which have modules of their own, and opening a file.
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash.compression import ELFCOMPRESS_ZLIB, decompressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    from telemetry_probes.crash.model import Memory

ET_EXEC, ET_DYN, ET_CORE = 2, 3, 4
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR, PT_TLS = 1, 2, 3, 4, 6, 7
PT_GNU_EH_FRAME = 0x6474E550
PF_X, PF_W, PF_R = 1, 2, 4
SHT_NOTE, SHT_NOBITS = 7, 8
SHF_COMPRESSED = 0x800
NT_GNU_BUILD_ID = 3
PN_XNUM = 0xFFFF
SHN_XINDEX = 0xFFFF

MAGIC = b"\x7fELF"
HEADER_SIZE = 64
PAGE = 4096
"""The smallest page of both machines: what the kernel maps begins at a multiple of it."""
SEGMENTS_MAX = 512
"""Program headers of a program or a library: real ones have about a dozen. (A core is read by `stream`.)"""
SECTIONS_MAX = 65536
NAME_MAX = 256
SECTION_BYTES_MAX = 256 << 20
"""Of a section after it was decompressed."""
NOTE_BYTES_MAX = 1 << 16
"""Of a segment or section of notes in which the build-id is looked for."""
BUILD_ID_MAX = 64
"""Bytes; SHA-1 has 20, and a file may carry any number."""

_HEADER = Struct("<16sHHIQQQIHHHHHH")  # gABI, ELF header
_SEGMENT = Struct("<IIQQQQQQ")
_SECTION = Struct("<IIQQQQIIQQ")
_COMPRESSED = Struct("<IIQQ")
_NOTE = Struct("<III")
_IDENT = b"\x7fELF\x02\x01\x01"  # 64 bit, little-endian, version 1


class Segment:
    """A program header. `offset` and `file_size` are within the file or the segment has `file_size` 0."""

    __slots__ = ("file_size", "flags", "memory_size", "offset", "type", "vaddr")

    def __init__(self, kind: int, flags: int, offset: int, vaddr: int, file_size: int, memory_size: int) -> None:
        self.type = kind
        self.flags = flags
        self.offset = offset
        self.vaddr = vaddr
        self.file_size = file_size
        self.memory_size = memory_size


class Section:
    """A section header as the file has it; `section()` of the image checks before it reads."""

    __slots__ = ("address", "entry_size", "flags", "info", "link", "name", "offset", "size", "type")

    def __init__(
        self, name: str, kind: int, flags: int, address: int, offset: int, size: int, link: int, info: int,
        entry_size: int,
    ) -> None:  # fmt: skip
        """`size` is the one in the file: of the compressed bytes, where the section is compressed."""
        self.name = name
        self.type = kind
        self.flags = flags
        self.address = address
        self.offset = offset
        self.size = size
        self.link = link
        self.info = info
        self.entry_size = entry_size


class Image:
    """A file's bytes, with everything that is looked up in them remembered. `read()` makes one.

    `data` is the whole file; `machine` is e_machine, `type` e_type; `path` is for people alone.
    """

    __slots__ = (
        "_build_id", "_contents", "_sections", "_shape", "data", "entry", "machine", "path", "segments", "type",
    )  # fmt: skip

    def __init__(
        self, data: memoryview, path: str, kind: int, machine: int, entry: int, segments: tuple[Segment, ...],
        shape: tuple[int, int, int],
    ) -> None:  # fmt: skip
        """`shape` is e_shoff, e_shnum and e_shstrndx."""
        self.data = data
        self.path = path
        self.type = kind
        self.machine = machine
        self.entry = entry
        self.segments = segments
        self._shape = shape
        self._sections: dict[str, Section] | None = None
        self._contents: dict[str, memoryview | None] = {}
        self._build_id: str | None = None

    @property
    def build_id(self) -> str:
        """The GNU build-id in hex, or empty: from the segments of notes, otherwise from the sections."""
        if self._build_id is None:
            self._build_id = self._find_build_id()
        return self._build_id

    @property
    def sections(self) -> dict[str, Section]:
        """All sections by name, in the file's order; of several of one name the first. Empty in an image of memory."""
        if self._sections is None:
            self._sections = dict(self._read_sections())
        return self._sections

    def header(self, name: str) -> Section | None:
        """The header of the section `name`, e.g. `.text`."""
        return self.sections.get(name)

    def section(self, name: str, limit: int = SECTION_BYTES_MAX) -> memoryview | None:
        """The bytes of a section, decompressed; None where it is absent, empty in the file, or above `limit` bytes.

        `.debug_x` is also found as `.zdebug_x`. What was decompressed once is kept.
        """
        try:
            content = self._contents[name]
        except KeyError:
            content = self._contents[name] = self._read_section(name, limit)
        return content

    def segment(self, kind: int) -> Segment | None:
        """The first segment of a type (`PT_...`)."""
        for segment in self.segments:
            if segment.type == kind:
                return segment
        return None

    def offset_of(self, address: int) -> int | None:
        """Where in the file the byte is that was loaded at an address (of the file, without bias)."""
        for segment in self.segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr < segment.file_size:
                return address - segment.vaddr + segment.offset
        return None

    def at(self, address: int, size: int) -> memoryview | None:
        """Exactly `size` bytes that the file has at an address (of the file, without bias)."""
        return self._at(address, size, 0)

    def constant(self, address: int, size: int) -> memoryview | None:
        """As `at`, but only of what can't have been written to: segments without PF_W."""
        return self._at(address, size, PF_W)

    def up_to(self, address: int, size: int) -> memoryview | None:
        """As `at`, but fewer than `size` bytes where the segment ends before; None where it has none."""
        for segment in self.segments:
            inside = address - segment.vaddr
            if segment.type == PT_LOAD and 0 <= inside < segment.file_size:
                start = inside + segment.offset
                return self.data[start : start + min(size, segment.file_size - inside)]
        return None

    def _at(self, address: int, size: int, without: int) -> memoryview | None:
        for segment in self.segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr <= segment.file_size - size:
                if segment.flags & without or size < 0:
                    return None
                start = address - segment.vaddr + segment.offset
                return self.data[start : start + size]
        return None

    def _find_build_id(self) -> str:
        for segment in self.segments:
            if segment.type == PT_NOTE and (found := self._note_at(segment)):
                return found
        for section in self.sections.values():
            if section.type == SHT_NOTE and not section.flags & SHF_COMPRESSED:
                size = min(section.size, NOTE_BYTES_MAX)
                if found := build_id(self.data[section.offset : section.offset + size]):
                    return found
        return ""

    def _note_at(self, segment: Segment) -> str:
        size = min(segment.file_size, NOTE_BYTES_MAX)
        return build_id(self.data[segment.offset : segment.offset + size])

    def _read_sections(self) -> Iterator[tuple[str, Section]]:
        data = self.data
        offset, count, names_index = self._shape
        if not 0 < offset <= len(data) - _SECTION.size:
            return
        first = _SECTION.unpack_from(data, offset)
        count = min(count or first[5], SECTIONS_MAX, (len(data) - offset) // _SECTION.size)
        if names_index == SHN_XINDEX:
            names_index = first[6]
        if names_index >= count:
            return
        table = _SECTION.unpack_from(data, offset + names_index * _SECTION.size)
        names, names_size = table[4], table[5]
        if names > len(data) or names_size > len(data) - names:
            return
        known = set()
        for fields in _SECTION.iter_unpack(data[offset : offset + count * _SECTION.size]):
            start = fields[0]
            if start >= names_size:
                continue
            raw = bytes(data[names + start : names + min(start + NAME_MAX, names_size)])
            name = raw[: raw.find(0)].decode("ascii", "replace")
            if name not in known:
                known.add(name)
                kind, flags, address, offset_of, size, link, info, _align, entry_size = fields[1:]
                yield name, Section(name, kind, flags, address, offset_of, size, link, info, entry_size)

    def _read_section(self, name: str, limit: int) -> memoryview | None:
        gnu_compressed = False
        section = self.sections.get(name)
        if section is None and name.startswith(".debug_"):
            section = self.sections.get(".z" + name[1:])
            gnu_compressed = section is not None
        if section is None or section.type == SHT_NOBITS or section.size == 0:
            return None
        data = self.data
        if section.offset > len(data) or section.size > len(data) - section.offset:
            return None
        content = data[section.offset : section.offset + section.size]
        if gnu_compressed:
            if len(content) < 12 or bytes(content[:4]) != b"ZLIB":
                return None
            return decompressed(content[12:], ELFCOMPRESS_ZLIB, int.from_bytes(content[4:12], "big"), limit)
        if section.flags & SHF_COMPRESSED:
            if len(content) < _COMPRESSED.size:
                return None
            kind, _reserved, size, _align = _COMPRESSED.unpack_from(content)
            return decompressed(content[_COMPRESSED.size :], kind, size, limit)
        return content if len(content) <= limit else None


class MemoryImage(Image):
    """An image of what a process had in memory: segments and the build-id, no sections. `in_memory()` makes one.

    `data` is the ELF header's first page alone; addresses are those of the file, as in any image.
    """

    __slots__ = ("_bias", "_memory")

    def __init__(self, page: bytes, path: str, like: Image, memory: Memory, bias: int) -> None:
        super().__init__(memoryview(page), path, like.type, like.machine, like.entry, like.segments, (0, 0, 0))
        self._memory = memory
        self._bias = bias

    def _at(self, address: int, size: int, without: int) -> memoryview | None:
        for segment in self.segments:
            if segment.type == PT_LOAD and 0 <= address - segment.vaddr <= segment.memory_size - size:
                if segment.flags & without:
                    return None
                content = self._memory.read(address + self._bias, size)
                return None if content is None else memoryview(content)
        return None

    def up_to(self, address: int, size: int) -> memoryview | None:
        while size > 0:
            found = self._at(address, size, 0)
            if found is not None:
                return found
            size //= 2
        return None

    def _note_at(self, segment: Segment) -> str:
        content = self._memory.read(segment.vaddr + self._bias, min(segment.memory_size, NOTE_BYTES_MAX))
        return build_id(memoryview(content)) if content is not None else ""


def read(data: bytes | mmap | memoryview, path: str = "") -> Image | None:
    """The image that a file's bytes are, or None where they are no 64 bit little-endian ELF.

    A file that was cut gives an image all the same: what is missing is absent. `data` lives as long as the image.
    """
    view = memoryview(data)
    header = _header(view)
    if header is None:
        return None
    kind, machine, entry, table, sections, segment_count, section_count, names_index = header
    room = max(len(view) - table, 0) // _SEGMENT.size
    raw = view[table : table + min(segment_count, room, SEGMENTS_MAX) * _SEGMENT.size]
    segments = []
    for p_type, flags, offset, vaddr, _paddr, file_size, memory_size, _align in _SEGMENT.iter_unpack(raw):
        file_size = min(file_size, max(len(view) - offset, 0))
        segments.append(Segment(p_type, flags, offset, vaddr, file_size, memory_size))
    return Image(view, path, kind, machine, entry, tuple(segments), (sections, section_count, names_index))


def in_memory(memory: Memory, start: int, path: str = "") -> tuple[MemoryImage, int] | None:
    """The image whose ELF header lies at `start`, and its bias: an address of the file + bias is one of memory.

    None where memory doesn't have the header and its program headers, or no segment begins at the start of the file.
    """
    page = memory.read(start, PAGE) or memory.read(start, HEADER_SIZE)
    if page is None:
        return None
    header = _header(memoryview(page))
    if header is None:
        return None
    segment_count = min(header[5], SEGMENTS_MAX)
    table = header[3]
    if table + segment_count * _SEGMENT.size > len(page):
        if table > 1 << 32:
            return None
        raw = memory.read(start + table, segment_count * _SEGMENT.size)
        if raw is None:
            return None
    else:
        raw = page[table : table + segment_count * _SEGMENT.size]
    segments = tuple(
        Segment(kind, flags, offset, vaddr, file_size, memory_size)
        for kind, flags, offset, vaddr, _paddr, file_size, memory_size, _align in _SEGMENT.iter_unpack(raw)
    )
    for segment in segments:
        if segment.type == PT_LOAD and segment.offset < PAGE:
            bias = (start - (segment.vaddr - segment.offset)) & -PAGE
            like = Image(memoryview(page), path, header[0], header[1], header[2], segments, (0, 0, 0))
            return MemoryImage(page, path, like, memory, bias), bias
    return None


def build_id(notes: memoryview) -> str:
    """The GNU build-id among notes, in hex; empty where there is none. Never raises."""
    at = 0
    while at + 16 <= len(notes):
        name_size, size, kind = _NOTE.unpack_from(notes, at)
        content = at + 12 + (name_size + 3 & ~3)
        if content + size > len(notes):
            return ""
        if kind == NT_GNU_BUILD_ID and name_size == 4 and bytes(notes[at + 12 : at + 16]) == b"GNU\0":
            return notes[content : content + size].hex() if 0 < size <= BUILD_ID_MAX else ""
        at = content + (size + 3 & ~3)
    return ""


def _header(view: memoryview) -> tuple[int, int, int, int, int, int, int, int] | None:
    """e_type, e_machine, e_entry, e_phoff, e_shoff, e_phnum, e_shnum, e_shstrndx."""
    if len(view) < HEADER_SIZE or bytes(view[:7]) != _IDENT:
        return None
    (
        _ident, kind, machine, _version, entry, table, sections, _flags, _size, segment_size, segment_count,
        section_size, section_count, names_index,
    ) = _HEADER.unpack_from(view)  # fmt: skip
    if segment_size != _SEGMENT.size:
        segment_count = 0  # a separate debug file may have none; anything else with another size is no ELF64
    if section_size != _SECTION.size:
        sections = 0
    return kind, machine, entry, table, sections, segment_count, section_count, names_index
