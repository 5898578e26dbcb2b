# SPDX-License-Identifier: Apache-2.0
"""The `.debug_*` sections of a file, and which unit an address belongs to: by `.debug_aranges`, where that is missing
or silent (clang, Rust, assembler) by an index of our own.

Of what is compressed only pieces are in memory (`pieces`). What breaks the format raises what `dwarfforms` says.
"""

from __future__ import annotations

from bisect import bisect_right

from telemetry_probes.crash import dwarfcodes as dw
from telemetry_probes.crash import pieces
from telemetry_probes.crash.dwarfforms import Abbreviations, Layout, NotDwarfError
from telemetry_probes.crash.dwarfunits import UNIT_BYTES_MAX, Range, Unit, unit_length
from telemetry_probes.crash.symboltables import text_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.elf import Image

UNITS_MAX = 1 << 18
UNITS_KEPT = 64
TABLES_KEPT = 256
ARANGES_MAX = 1 << 20
UNITS_PER_LOOK = 64
RANGES_BACK = 4
"""Ranges that are looked at below an address: they may overlap, and some numbers are no addresses."""
SETS_BACK_MAX = 1 << 16
"""Ranges of one unit in `.debug_aranges`."""

_BROKEN = (NotDwarfError, IndexError, KeyError, ValueError, OverflowError)


class Sections:
    """What the units of one file share. `alternate` are those of the file that dwz moved entries into."""

    __slots__ = (
        "_in_aranges", "_indexed", "_indexed_up_to", "_lows", "_pairs", "_pieces", "_sorted_lows", "_starts", "_tables",
        "_units", "alternate", "image", "info",
    )  # fmt: skip

    def __init__(self, image: Image, alternate: Sections | None = None) -> None:
        self.image = image
        self.alternate = alternate
        self._pieces: dict[str, pieces.Plain | pieces.Inflated] = {}
        self.info = pieces.of(image, ".debug_info") or pieces.Plain(memoryview(b""))
        self._tables: dict[tuple[int, int, int, int], Abbreviations] = {}
        self._units: dict[int, Unit] = {}
        self._starts: list[int] = []
        self._pairs: memoryview | None = None
        self._lows: list[int] = []
        self._sorted_lows: list[int] = []
        self._in_aranges: set[int] | None = None
        self._indexed: list[tuple[list[Range], int]] = []
        self._indexed_up_to = 0

    def abbreviations(self, at: int, layout: Layout) -> Abbreviations:
        """The table at `at`, which many units share."""
        key = at, layout.version, layout.address_size, layout.offset_size
        table = self._tables.get(key)
        if table is None:
            table = Abbreviations(self.section(".debug_abbrev"), at, layout)
            if len(self._tables) < TABLES_KEPT:
                self._tables[key] = table
        return table

    def number(self, section: str, at: int, size: int) -> int:
        """`size` bytes of a section as a number."""
        raw = self.section(section).read(at, size)
        if len(raw) != size:
            raise NotDwarfError
        return int.from_bytes(raw, "little")

    def text(self, form: int, at: int) -> str:
        """The string that a form points at."""
        if form in (dw.FORM_GNU_STRP_ALT, dw.FORM_STRP_SUP):
            return self.alternate.text(dw.FORM_STRP, at) if self.alternate is not None else ""
        strings = self.image.section(".debug_line_str" if form == dw.FORM_LINE_STRP else ".debug_str")
        if strings is None:
            raise NotDwarfError
        return text_at(strings, at)

    def unit(self, start: int) -> Unit:
        """The unit whose header is at `start`."""
        unit = self._units.get(start)
        if unit is None:
            if len(self._units) >= UNITS_KEPT:
                self._units.clear()
            unit = self._units[start] = Unit(self, start)
        return unit

    def unit_around(self, offset: int) -> Unit | None:
        """The unit that the entry at an offset of `.debug_info` is in."""
        starts = self._starts
        at = starts[-1] if starts else 0
        while at <= offset and len(starts) < UNITS_MAX:
            if not starts or at > starts[-1]:
                starts.append(at)
            at = self._next(at)
        place = bisect_right(starts, offset) - 1
        return self.unit(starts[place]) if place >= 0 else None

    def unit_of(self, address: int, expired: Callable[[], bool]) -> Unit | None:
        """The unit that has the code at an address; None also where time ran out."""
        start_of_unit = self._aranges_unit(address)
        if start_of_unit is not None:
            return self.unit(start_of_unit)
        for ranges, start in self._indexed:
            if any(low <= address < high for low, high in ranges):
                return self.unit(start)
        return self._index(address, expired)

    def _index(self, address: int, expired: Callable[[], bool]) -> Unit | None:
        """Go on through the units that `.debug_aranges` leaves out, up to the one of `address`."""
        if self._in_aranges is None:
            self._in_aranges = self._units_in_aranges(expired)
        count = 0
        while self._indexed_up_to < self.info.size:
            start = self._indexed_up_to
            count += 1
            if (not count % UNITS_PER_LOOK and expired()) or len(self._indexed) > UNITS_MAX:
                return None
            self._indexed_up_to = self._next(start)
            if start in self._in_aranges:
                continue
            try:
                unit = Unit(self, start)
                ranges = unit.ranges(unit.root)
            except _BROKEN:
                continue  # one broken unit is no reason to give up the others
            self._indexed.append((ranges, start))
            if any(low <= address < high for low, high in ranges):
                self._units[start] = unit
                return unit
        return None

    def _next(self, start: int) -> int:
        size, _offset_size, prefix = unit_length(self.info.read(start, 12))
        if size > UNIT_BYTES_MAX:
            raise NotDwarfError
        return start + prefix + size

    def _aranges_unit(self, address: int) -> int | None:
        """The unit that `.debug_aranges` names for an address.

        All of it are pairs of 8 byte numbers as linkers write it, (address, length) and the headers of sets alike. So
        the nearest lower number is looked for, and then whether there is a header above that makes it an address.
        """
        if self._pairs is None:
            section = self.image.section(".debug_aranges")
            self._pairs = (section[: min(len(section), ARANGES_MAX * 16) & ~15] if section else memoryview(b"")).cast(
                "Q"
            )
            self._lows = self._pairs[::2].tolist()
            self._sorted_lows = sorted(self._lows)
        place = bisect_right(self._sorted_lows, address)
        for low in self._sorted_lows[max(place - RANGES_BACK, 0) : place][::-1]:
            index = self._lows.index(low)
            if low and address < low + self._pairs[2 * index + 1]:
                return self._unit_of_set(index)
        return None

    def _unit_of_set(self, index: int) -> int | None:
        """The unit of the set of address ranges that the pair at `index` is in, if it is in one."""
        assert self._pairs is not None
        pairs = self._pairs
        first = index
        while first and index - first < SETS_BACK_MAX and (pairs[2 * first - 2] or pairs[2 * first - 1]):
            first -= 1
        head, rest = pairs[2 * first], pairs[2 * first + 1]
        # unit_length of 4 bytes, version of 2, the unit's offset of 4, sizes of an address and of a segment selector
        size, version, address_size = head & 0xFFFFFFFF, head >> 32 & 0xFFFF, rest >> 16 & 0xFF
        if version != 2 or address_size != 8 or not first < index < first + (size + 4) // 16:
            return None
        return head >> 48 | (rest & 0xFFFF) << 16

    def _units_in_aranges(self, expired: Callable[[], bool]) -> set[int]:
        """The units that have a set of address ranges, if only an empty one."""
        found: set[int] = set()
        section = self.image.section(".debug_aranges")
        at = 0
        while section is not None and at + 12 < len(section) and len(found) < UNITS_MAX:
            try:
                size, offset_size, prefix = unit_length(bytes(section[at : at + 12]))
            except NotDwarfError:
                break
            header = at + prefix + 2
            # A set of another form than `_unit_of_set` knows leaves its unit to the index.
            if offset_size == 4 and not at % 16 and section[header - 2] == 2 and size > 44:
                found.add(int.from_bytes(section[header : header + 4], "little"))
            at += prefix + size
            if not len(found) % UNITS_PER_LOOK and expired():
                break
        return found

    def section(self, name: str) -> pieces.Plain | pieces.Inflated:
        """To read from. NotDwarfError where there is none."""
        found = self._pieces.get(name)
        if found is None:
            found = pieces.of(self.image, name)
            if found is None:
                raise NotDwarfError
            self._pieces[name] = found
        return found
