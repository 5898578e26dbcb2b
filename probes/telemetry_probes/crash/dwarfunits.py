# SPDX-License-Identifier: Apache-2.0
"""Units of `.debug_info`: their headers, strings, addresses and ranges, and which functions they hold (DWARF 2 to 5).

A unit's entries are walked once, past types and over the insides of functions; what lies inside of one function is read
when an address in it is asked for. What breaks the format raises what `dwarfforms` says.
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash import dwarfcodes as dw
from telemetry_probes.crash.dwarfforms import Layout, NotDwarfError, Value, skip, values
from telemetry_probes.crash.leb import uleb
from telemetry_probes.crash.symboltables import text_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.dwarfsections import Sections

UNIT_BYTES_MAX = 256 << 20
RANGES_MAX = 1 << 16
LIST_BYTES, LIST_BYTES_MAX = 1 << 8, 1 << 20
"""Of a list of ranges: how many are read first, sixteen times as many if that isn't all, and the most."""
ENTRIES_PER_LOOK = 1 << 12
"""Entries that are walked between two looks at the clock."""
ORIGINS_MAX = 8
"""Entries that one says its name is at: an inlined copy, its abstract function, its declaration."""
DEPTH_MAX = 256

_ADDRESSES = frozenset((dw.FORM_ADDR, dw.FORM_ADDRX, dw.FORM_ADDRX1, dw.FORM_ADDRX2, dw.FORM_ADDRX3, dw.FORM_ADDRX4))
_ADDRESSES |= {dw.FORM_GNU_ADDR_INDEX}
_STRING_INDEXES = frozenset((dw.FORM_STRX, dw.FORM_STRX1, dw.FORM_STRX2, dw.FORM_STRX3, dw.FORM_STRX4))
_STRING_INDEXES |= {dw.FORM_GNU_STR_INDEX}
_LOCAL_REFERENCES = frozenset((dw.FORM_REF1, dw.FORM_REF2, dw.FORM_REF4, dw.FORM_REF8, dw.FORM_REF_UDATA))
_OTHER_FILE = frozenset((dw.FORM_GNU_REF_ALT, dw.FORM_REF_SUP4, dw.FORM_REF_SUP8))
_U4, _U8 = Struct("<I"), Struct("<Q")

Entry = dict[int, Value]
Range = tuple[int, int]


class Unit:
    """A unit. Places of entries are bytes from `start`, where its header begins in `.debug_info`."""

    __slots__ = (
        "_abbreviations", "_address_base", "_functions", "_layout", "_range_base", "_sections", "_string_base", "_wide",
        "data", "end", "first", "low_pc", "root", "start", "tag",
    )  # fmt: skip

    def __init__(self, sections: Sections, start: int) -> None:
        self._sections = sections
        self.start = start
        size, offset_size, prefix = unit_length(sections.info.read(start, 12))
        if size > UNIT_BYTES_MAX:
            raise NotDwarfError
        self.end = start + prefix + size
        data = self.data = sections.info.read(start, prefix + size)
        version = data[prefix] | data[prefix + 1] << 8
        if not 2 <= version <= 5:
            raise NotDwarfError
        at = prefix + 2
        kind = 1
        if version == 5:
            kind, address_size = data[at], data[at + 1]
            table = int.from_bytes(data[at + 2 : at + 2 + offset_size], "little")
            at += 2 + offset_size
            # A skeleton or split unit has an id, a unit of types a signature and an offset.
            at += {4: 8, 5: 8, 2: 8 + offset_size, 6: 8 + offset_size}.get(kind, 0)
        else:
            table = int.from_bytes(data[at : at + offset_size], "little")
            address_size = data[at + offset_size]
            at += offset_size + 1
        if address_size not in (4, 8):
            raise NotDwarfError
        self._layout = Layout(version, address_size, offset_size)
        self._abbreviations = sections.abbreviations(table, self._layout)
        self.first = at
        self.tag, self.root, _children, _next = self.entry(at)
        self._string_base = self.root.get(dw.AT_STR_OFFSETS_BASE, (0, 2 * offset_size if version == 5 else 0))[1]
        self._address_base = (self.root.get(dw.AT_ADDR_BASE) or self.root.get(dw.AT_GNU_ADDR_BASE) or (0, 8))[1]
        self._range_base = self.root.get(dw.AT_RNGLISTS_BASE, (0, 8 + offset_size))[1]
        self.low_pc = self.address(self.root[dw.AT_LOW_PC]) if dw.AT_LOW_PC in self.root else 0
        self._functions: list[tuple[list[Range], int]] | None = None
        self._wide: list[tuple[list[Range], int]] | None = None

    def entry(self, at: int) -> tuple[int, Entry, bool, int]:
        """The entry at a place: tag, attributes, whether it has children, where the next entry begins."""
        code, at = uleb(self.data, at)
        abbreviation = self._abbreviations[code]
        attributes, at = values(self.data, at, abbreviation, self._layout)
        return abbreviation.tag, attributes, abbreviation.children, at

    def string(self, value: Value) -> str:
        """The text of an attribute."""
        form, number = value
        if form == dw.FORM_STRING:
            return text_at(memoryview(self.data), number)
        if form in _STRING_INDEXES:
            size = self._layout.offset_size
            number = self._sections.number(".debug_str_offsets", self._string_base + number * size, size)
            form = dw.FORM_STRP
        return self._sections.text(form, number)

    def address(self, value: Value) -> int:
        """The address of an attribute, which may be an index into `.debug_addr`."""
        form, number = value
        if form == dw.FORM_ADDR:
            return number
        if form not in _ADDRESSES:
            raise NotDwarfError
        return self._indexed_address(number)

    def _indexed_address(self, index: int) -> int:
        size = self._layout.address_size
        return self._sections.number(".debug_addr", self._address_base + index * size, size)

    def ranges(self, entry: Entry) -> list[Range]:
        """(from, to) of the code of an entry; none of code that the linker left out, which begins at 0."""
        if dw.AT_RANGES in entry:
            return [pair for pair in self._range_list(entry[dw.AT_RANGES]) if 0 < pair[0] < pair[1]]
        if dw.AT_LOW_PC not in entry or dw.AT_HIGH_PC not in entry:
            return []
        low, high = self.address(entry[dw.AT_LOW_PC]), entry[dw.AT_HIGH_PC]
        end = self.address(high) if high[0] in _ADDRESSES else low + high[1]
        return [(low, end)] if 0 < low < end else []

    def _range_list(self, value: Value) -> list[Range]:
        form, at = value
        size = self._layout.address_size
        found: list[Range] = []
        base = self.low_pc
        if self._layout.version < 5:
            for _ in range(RANGES_MAX):
                low = self._sections.number(".debug_ranges", at, size)
                high = self._sections.number(".debug_ranges", at + size, size)
                at += 2 * size
                if low == high == 0:
                    return found
                if low == (1 << 8 * size) - 1:
                    base = high
                else:
                    found.append((base + low, base + high))
            raise NotDwarfError
        if form == dw.FORM_RNGLISTX:
            width = self._layout.offset_size
            at = self._range_base + self._sections.number(".debug_rnglists", self._range_base + at * width, width)
        bytes_read = LIST_BYTES
        while True:
            try:
                return self._pairs(self._sections.section(".debug_rnglists").read(at, bytes_read), base)
            except IndexError:
                if bytes_read >= LIST_BYTES_MAX:
                    raise
                bytes_read <<= 4

    def _pairs(self, data: bytes, base: int) -> list[Range]:
        """The ranges of a list of DWARF 5. IndexError where it doesn't end in `data`."""
        size = self._layout.address_size
        found: list[Range] = []
        at = 0
        for _ in range(RANGES_MAX):
            kind = data[at]
            at += 1
            if kind == dw.RLE_END_OF_LIST:
                return found
            if kind in (dw.RLE_BASE_ADDRESS, dw.RLE_START_END, dw.RLE_START_LENGTH):
                first = int.from_bytes(data[at : at + size], "little")
                at += size
            else:
                first, at = uleb(data, at)
            if kind in (dw.RLE_BASE_ADDRESS, dw.RLE_BASE_ADDRESSX):
                base = first if kind == dw.RLE_BASE_ADDRESS else self._indexed_address(first)
                continue
            if kind == dw.RLE_START_END:
                second = int.from_bytes(data[at : at + size], "little")
                at += size
            else:
                second, at = uleb(data, at)
            if kind == dw.RLE_STARTX_ENDX:
                first, second = self._indexed_address(first), self._indexed_address(second)
            elif kind == dw.RLE_STARTX_LENGTH:
                first = self._indexed_address(first)
                second += first
            elif kind == dw.RLE_OFFSET_PAIR:
                first, second = base + first, base + second
            elif kind == dw.RLE_START_LENGTH:
                second += first
            elif kind != dw.RLE_START_END:
                raise NotDwarfError
            found.append((first, second))
        raise NotDwarfError

    def function(self, address: int, expired: Callable[[], bool]) -> int | None:
        """The place of the innermost function that `address` is in, or None."""
        if self._functions is None:
            self._functions = self._walk(True, expired)
        place = _innermost(self._functions, address)
        if place is None and not expired():
            # A function inside of another one, which GCC writes there for nested ones and for lambdas.
            if self._wide is None:
                self._wide = self._walk(False, expired)
            place = _innermost(self._wide, address)
        return place

    def _walk(self, over_functions: bool, expired: Callable[[], bool]) -> list[tuple[list[Range], int]]:
        """All functions that have code: their ranges and places. What comes after the deadline is missing."""
        found: list[tuple[list[Range], int]] = []
        data, table, layout = self.data, self._abbreviations, self._layout
        end, at = len(data), self.first
        count = 0
        while at < end:
            place = at
            code = data[at]
            at += 1
            if code >= 0x80:
                code, at = uleb(data, place)
            if not code:
                continue
            count += 1
            if not count % ENTRIES_PER_LOOK and expired():
                break
            abbreviation = table[code]
            tag = abbreviation.tag
            if tag == dw.TAG_SUBPROGRAM:
                entry, at = values(data, at, abbreviation, layout)
                if dw.AT_LOW_PC in entry or dw.AT_RANGES in entry:
                    if ranges := self.ranges(entry):
                        found.append((ranges, place))
                    if not over_functions:
                        continue
                at = _sibling(entry, at)
            elif tag in dw.TAGS_OF_TYPES and dw.AT_SIBLING in abbreviation.names:
                entry, at = values(data, at, abbreviation, layout)
                at = _sibling(entry, at)
            else:
                steps = abbreviation.steps
                at = at + steps[0][0] if len(steps) == 1 else skip(data, at, steps, layout)
        return found

    def inlined(self, function: int, address: int, expired: Callable[[], bool]) -> list[Entry]:
        """The calls inlined into the function at a place that `address` is in, outermost first."""
        _tag, _entry, children, at = self.entry(function)
        found: list[Entry] = []
        if not children:
            return found
        data, table, layout = self.data, self._abbreviations, self._layout
        depth, deepest, count = 1, 0, 0
        while depth and at < len(data):
            code, at = uleb(data, at)
            if not code:
                depth -= 1
                continue
            count += 1
            if not count % ENTRIES_PER_LOOK and expired():
                break
            abbreviation = table[code]
            if abbreviation.tag == dw.TAG_INLINED_SUBROUTINE:
                entry, at = values(data, at, abbreviation, layout)
                if any(low <= address < high for low, high in self.ranges(entry)):
                    if depth > deepest:
                        deepest = depth
                        found.append(entry)
                elif dw.AT_SIBLING in entry:
                    at = _sibling(entry, at)
                    continue
            else:
                at = skip(data, at, abbreviation.steps, layout)
            if abbreviation.children:
                depth += 1
            if depth > DEPTH_MAX:
                break
        return found

    def name(self, entry: Entry) -> str:
        """A function's name as the linker knows it, else as the source has it; of inlined copies the original's."""
        unit = self
        for _ in range(ORIGINS_MAX):
            for attribute in (dw.AT_LINKAGE_NAME, dw.AT_MIPS_LINKAGE_NAME):
                if attribute in entry:
                    return unit.string(entry[attribute])
            origin = entry.get(dw.AT_ABSTRACT_ORIGIN) or entry.get(dw.AT_SPECIFICATION)
            if origin is None:
                return unit.string(entry[dw.AT_NAME]) if dw.AT_NAME in entry else ""
            form, number = origin
            if form in _LOCAL_REFERENCES:
                at = number
            else:
                sections = unit._sections
                if form in _OTHER_FILE:
                    if sections.alternate is None:
                        return ""
                    sections = sections.alternate
                elif form != dw.FORM_REF_ADDR:
                    return ""
                other = sections.unit_around(number)
                if other is None:
                    return ""
                unit, at = other, number - other.start
            _tag, entry, _children, _next = unit.entry(at)
        return ""


def unit_length(header: bytes) -> tuple[int, int, int]:
    """Of a unit's first bytes: its length without them, the size of its offsets, how long the length is itself."""
    size = int(_U4.unpack_from(header)[0])
    if size == 0xFFFFFFFF:
        return int(_U8.unpack_from(header, 4)[0]), 8, 12
    if size >= 0xFFFFFFF0:
        raise NotDwarfError
    return size, 4, 4


def _sibling(entry: Entry, at: int) -> int:
    """Where the next entry beside this one is, if that is said, and ahead."""
    value = entry.get(dw.AT_SIBLING)
    return max(value[1], at) if value is not None else at


def _innermost(functions: list[tuple[list[Range], int]], address: int) -> int | None:
    best, size = None, 0
    for ranges, place in functions:
        for low, high in ranges:
            if low <= address < high and (best is None or high - low < size):
                best, size = place, high - low
    return best
