# SPDX-License-Identifier: Apache-2.0
"""Unwind tables of a module: which entry covers an address, and the row of rules that it has there. Opens no file.

`.eh_frame` is found through the program headers and bisected in `.eh_frame_hdr`; where that has no table, the entries
are passed over once, as those of `.debug_frame` are (DWARF 5, 6.4; LSB Core 5.0, 10.6). An entry is read when it is
asked for: reading all of libc's takes longer than a report may. Never in here: what the instructions of an entry mean
(`rules`), and memory of the process.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct, error

from telemetry_probes.crash import rules
from telemetry_probes.crash.elf import PT_GNU_EH_FRAME, PT_LOAD
from telemetry_probes.crash.leb import sleb, uleb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator

    from telemetry_probes.crash.elf import Image
    from telemetry_probes.crash.rules import Row, Rules

ENTRIES_MAX = 250_000
"""Of a table without an index: a quarter of a second at the most, and more functions than any real program has."""
TABLE_BYTES_MAX = 256 << 20
CIES_MAX = 1024
"""That are remembered. Large programs have a handful."""

_U32 = Struct("<I").unpack_from
_PAIR = Struct("<II").unpack_from
_U64 = Struct("<Q").unpack_from
_SHORT = Struct("<iI").unpack_from  # DW_EH_PE_pcrel | sdata4
_WIDE = Struct("<QQ").unpack_from
_SIZES = {0: 8, 2: 2, 3: 4, 4: 8, 8: 8, 10: 2, 11: 4, 12: 8}  # of DW_EH_PE formats that have one
_PC_RELATIVE, _DATA_RELATIVE = 0x10, 0x30
_OMIT, _INDIRECT = 0xFF, 0x80
_SEARCHABLE = _DATA_RELATIVE | 11
_LONG, _LONG_ID = 0xFFFFFFFF, (1 << 64) - 1
_MASK = (1 << 64) - 1
_BROKEN = (IndexError, ValueError, error)  # what reading past the end of bytes raises


class Cie:
    """What entries have in common."""

    __slots__ = ("augmented", "cfa", "code_align", "data_align", "encoding", "return_register", "rules", "signal")

    def __init__(self, code_align: int, data_align: int, return_register: int) -> None:
        self.code_align = code_align
        self.data_align = data_align
        self.return_register = return_register
        self.encoding = 0
        self.augmented = False
        self.signal = False
        self.cfa: rules.Cfa = None
        self.rules: Rules = {}


class Section:
    """The bytes of `.eh_frame` or `.debug_frame`. `address` is that of the first byte, 0 for `.debug_frame`."""

    __slots__ = ("_cies", "address", "data", "debug", "endless")

    def __init__(self, data: memoryview, address: int, *, debug: bool, endless: bool = False) -> None:
        """`endless`: more than the section follows, so that a length of 0 ends it."""
        self.data = data
        self.address = address
        self.debug = debug
        self.endless = endless
        self._cies: dict[int, Cie | None] = {}

    def row(self, offset: int, target: int) -> Row | None:
        """The row that the entry at an offset has for an address; None where it doesn't cover it or is broken."""
        try:
            return self._row(offset, target)
        except _BROKEN:
            return None

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """(start, end, offset) of each entry, in the section's order, until one is broken."""
        data, base, debug = self.data, self.address, self.debug
        at, size = 0, len(data)
        try:
            for _count in range(ENTRIES_MAX):
                if at + 8 > size:
                    return
                length, pointer = _PAIR(data, at)
                if length == 0:
                    if self.endless:
                        return
                    at += 4
                    continue
                field, after = at + 4, at + 8
                if length == _LONG:
                    length, field = _U64(data, at + 4)[0], at + 12
                    pointer, after = (_U64(data, field)[0], at + 20) if debug else (_U32(data, field)[0], at + 16)
                end = field + length
                if length < 4 or end > size:
                    return
                if pointer != (_id_of(after - field) if debug else 0):
                    cie = self._cie(pointer if debug else field - pointer)
                    if cie is not None:
                        if cie.encoding == 0x1B:
                            start, extent = _SHORT(data, after)
                            start = start + base + after & _MASK
                        elif cie.encoding == 0:
                            start, extent = _WIDE(data, after)
                        else:
                            start, extent = self._extent(cie, after)
                        if start and extent:  # neither: its function was thrown away by the linker
                            yield start, start + extent, at
                at = end
        except _BROKEN:
            return

    def _row(self, offset: int, target: int) -> Row | None:
        data = self.data
        if offset < 0:
            return None
        length, pointer = _PAIR(data, offset)
        field, after = offset + 4, offset + 8
        if length == _LONG:
            length, field = _U64(data, offset + 4)[0], offset + 12
            pointer, after = (_U64(data, field)[0], offset + 20) if self.debug else (_U32(data, field)[0], offset + 16)
        end = field + length
        if end > len(data) or pointer == (_id_of(after - field) if self.debug else 0):
            return None
        cie = self._cie(pointer if self.debug else field - pointer)
        if cie is None:
            return None
        start, at = self._pointer(cie.encoding, after)
        extent, at = self._pointer(cie.encoding & 0x0F, at)
        if start is None or extent is None or not start <= target < start + extent:
            return None
        if cie.augmented:
            skipped, at = uleb(data, at)
            at += skipped
        state = rules.State(cie.cfa, dict(cie.rules))
        code = data[at:end]

        def read_pointer(inside: int) -> tuple[int | None, int]:
            value, stop = self._pointer(cie.encoding, at + inside)
            return value, stop - at

        if not rules.run(code, state, cie.rules, start, target, cie.code_align, cie.data_align, read_pointer):
            return None
        return rules.row(state, cie.return_register, cie.signal, start)

    def _extent(self, cie: Cie, at: int) -> tuple[int, int]:
        start, at = self._pointer(cie.encoding, at)
        extent, _at = self._pointer(cie.encoding & 0x0F, at)
        return start or 0, extent or 0

    def _cie(self, offset: int) -> Cie | None:
        cies = self._cies
        if offset in cies:
            return cies[offset]
        try:
            cie = self._read_cie(offset)
        except _BROKEN:
            cie = None
        if len(cies) < CIES_MAX:
            cies[offset] = cie
        return cie

    def _read_cie(self, offset: int) -> Cie | None:
        data = self.data
        if offset < 0:
            return None
        length = _U32(data, offset)[0]
        at, wide = offset + 4, length == _LONG
        if wide:
            length, at = _U64(data, offset + 4)[0], offset + 12
        end = at + length
        size = 8 if wide and self.debug else 4
        number = int.from_bytes(data[at : at + size], "little")
        if end > len(data) or number != (_id_of(size) if self.debug else 0):
            return None
        at += size
        version = data[at]
        if version not in (1, 3, 4):
            return None
        augmentation, at = self._string(at + 1, end)
        if version == 4:
            if data[at] != 8 or data[at + 1] != 0:  # other addresses than 8 bytes, or segments
                return None
            at += 2
        if augmentation.startswith(b"eh"):  # gcc 2
            augmentation, at = augmentation[2:], at + 8
        code_align, at = uleb(data, at)
        data_align, at = sleb(data, at)
        if version == 1:
            return_register, at = data[at], at + 1
        else:
            return_register, at = uleb(data, at)
        cie = Cie(code_align, data_align, return_register)
        if augmentation.startswith(b"z"):
            cie.augmented = True
            size, at = uleb(data, at)
            if not self._augment(cie, augmentation[1:], at):
                return None
            at += size
        elif augmentation:
            return None  # without z nobody knows how much to skip
        state = rules.State(None, {})
        if not rules.run(data[at:end], state, {}, 0, 0, code_align, data_align, lambda at: (None, at)):
            return None
        cie.cfa, cie.rules = state.cfa, state.rules
        return cie

    def _augment(self, cie: Cie, letters: bytes, at: int) -> bool:
        """What the letters of an augmentation say; False for one whose data isn't known to have no meaning here."""
        for letter in letters:
            if letter == 0x52:  # R: how addresses are written
                cie.encoding, at = self.data[at], at + 1
            elif letter == 0x50:  # P: a personality
                encoding = self.data[at]
                _value, at = self._pointer(encoding & ~_INDIRECT, at + 1)
            elif letter == 0x4C:  # L: how language data is written
                at += 1
            elif letter == 0x53:  # S: a signal's frame
                cie.signal = True
            elif letter not in b"BG":  # signed with key B; tagged memory
                return False
        return True

    def _string(self, at: int, end: int) -> tuple[bytes, int]:
        raw = bytes(self.data[at : min(end, at + 16)])
        size = raw.index(0)
        return raw[:size], at + size + 1

    def _pointer(self, encoding: int, at: int) -> tuple[int | None, int]:
        """An address in the encoding of DW_EH_PE and where it ends; None for one that isn't known from here."""
        if encoding == _OMIT:
            return None, at
        start, form = at, encoding & 0x0F
        if encoding & 0x70 == 0x50:  # DW_EH_PE_aligned
            start = at = at + (-(self.address + at) % 8)
            form = 0
        if form in _SIZES:
            size = _SIZES[form]
            raw = self.data[at : at + size]
            if len(raw) < size:
                raise IndexError
            value, at = int.from_bytes(raw, "little", signed=form >= 8), at + size
        elif form == 1:
            value, at = uleb(self.data, at)
        elif form == 9:
            value, at = sleb(self.data, at)
        else:
            raise ValueError
        base = encoding & 0x70
        if base == _PC_RELATIVE:
            value += self.address + start
        elif base not in (0, 0x50):
            return None, at  # relative to what only the dynamic linker knows
        return (None if encoding & _INDIRECT else value & _MASK), at


class Tables:
    """The unwind tables of one image. Nothing of them is read before somebody asks."""

    __slots__ = ("_known", "_places")

    def __init__(self, image: Image, debug: Image | None = None) -> None:
        """`debug` is a file of separate debug information, whose `.debug_frame` counts after the image's own."""
        self._places = _places(image, debug)
        self._known: list[Callable[[int], Row | None]] = []

    def row(self, address: int) -> Row | None:
        """The rules at an address of the file (without bias), or None where no table covers it. Never raises."""
        for ask in self._known:
            row = ask(address)
            if row is not None:
                return row
        for ask in self._places:
            self._known.append(ask)
            row = ask(address)
            if row is not None:
                return row
        return None


def _places(image: Image, debug: Image | None) -> Iterator[Callable[[int], Row | None]]:
    """Ways to find an entry, each made when those before it had none."""
    found = _indexed(image) or _unindexed(image)
    if found is not None:
        yield found
    for each in (image, debug):
        content = each.section(".debug_frame", TABLE_BYTES_MAX) if each is not None else None
        if content is not None:
            yield _passed_over(Section(content, 0, debug=True))


def _indexed(image: Image) -> Callable[[int], Row | None] | None:
    """By the search table of `.eh_frame_hdr`: pairs of (start, entry), both relative to the header's own address."""
    header = image.segment(PT_GNU_EH_FRAME)
    if header is None:
        return None
    content = image.up_to(header.vaddr, min(header.memory_size, TABLE_BYTES_MAX))
    if content is None or len(content) < 12 or content[0] != 1 or content[3] != _SEARCHABLE:
        return None
    fields = Section(content, header.vaddr, debug=False)
    try:
        frames, at = fields._pointer(content[1], 4)
        count, at = fields._pointer(content[2], at)
    except _BROKEN:
        return None
    if frames is None or not count:
        return None
    section = _section_from(image, frames)
    if section is None:
        return None
    base = header.vaddr
    table = content[at : at + min(count, (len(content) - at) // 8) * 8].cast("i")
    starts, entries = table[::2], table[1::2]

    def ask(address: int) -> Row | None:
        index = bisect_right(starts, address - base) - 1
        return None if index < 0 else section.row(entries[index] + base - section.address, address)

    return ask


def _unindexed(image: Image) -> Callable[[int], Row | None] | None:
    header, content = image.header(".eh_frame"), image.section(".eh_frame", TABLE_BYTES_MAX)
    section: Section | None = None
    if header is not None and content is not None:
        section = Section(content, header.address, debug=False)
    elif (segment := image.segment(PT_GNU_EH_FRAME)) is not None:
        start = image.up_to(segment.vaddr, 16)
        if start is not None and len(start) >= 12:
            try:
                frames, _at = Section(start, segment.vaddr, debug=False)._pointer(start[1], 4)
            except _BROKEN:
                frames = None
            section = _section_from(image, frames) if frames is not None else None
    return _passed_over(section) if section is not None else None


def _section_from(image: Image, address: int) -> Section | None:
    """From where `.eh_frame` begins to the end of its segment: program headers don't tell its size."""
    for segment in image.segments:
        if segment.type == PT_LOAD and 0 <= address - segment.vaddr < segment.memory_size:
            rest = segment.vaddr + segment.memory_size - address
            content = image.up_to(address, min(rest, TABLE_BYTES_MAX))
            return None if content is None else Section(content, address, debug=False, endless=True)
    return None


def _passed_over(section: Section) -> Callable[[int], Row | None]:
    """By an index of our own, made when the first address is asked for."""
    from array import array  # brings collections with it: only for the few sections that have no index

    starts, ends, offsets = array("Q"), array("Q"), array("Q")

    def ask(address: int) -> Row | None:
        if not starts and not _index(section, starts, ends, offsets):
            return None
        index = bisect_right(starts, address) - 1
        if index < 0 or address >= ends[index]:
            return None
        return section.row(offsets[index], address)

    return ask


def _index(section: Section, starts: array[int], ends: array[int], offsets: array[int]) -> bool:
    """Fill in all entries by their start. False where there are none."""
    last, ordered = 0, True
    for start, end, offset in section.entries():
        if end > _MASK:
            continue
        if start < last:
            ordered = False
        last = start
        starts.append(start)
        ends.append(end)
        offsets.append(offset)
    if not ordered:
        order = sorted(range(len(starts)), key=starts.__getitem__)
        for column in (starts, ends, offsets):
            column[:] = type(column)("Q", [column[index] for index in order])
    return bool(starts)


def _id_of(size: int) -> int:
    """What stands in `.debug_frame` where an entry has the offset of its common part."""
    return _LONG_ID if size == 8 else _LONG
