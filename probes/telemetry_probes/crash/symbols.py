# SPDX-License-Identifier: Apache-2.0
"""Which function an address lies in, and what it is called: never a wrong name, rather none.

- A symbol that says how long it is covers just that; behind its end begins something that has no name here.
- A symbol without a size (hand-written assembler) reaches up to the next symbol or the next function that
  `.eh_frame_hdr` knows, and never beyond its section. Of `.dynsym`, where local functions are missing, it is believed
  only when the table says that a function begins exactly there.
- Of several names for one place the answer depends on nothing but the names: global ones first, then those of a
  function, then the fewest leading underscores (`poll` and not `__poll`), then the alphabet.
- A module's own tables (`.symtab` or `.dynsym`, then MiniDebugInfo) come first, those of a separate debug file last:
  installing one adds names where there were none, and changes no other.

No file is opened here, and names are as they stand in the file: see `demangle`.
"""

from __future__ import annotations

from telemetry_probes.crash import elf, symboltables
from telemetry_probes.crash.symboltables import FunctionStarts, Symbol, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.elf import Image

MINI_BYTES_MAX = 64 << 20
MINI_MEMORY_MAX = 128 << 20
"""What unpacking MiniDebugInfo may use; xz -9 needs 65 MiB."""
SHF_EXECINSTR = 4


class Symbols:
    """The names of one module. Addresses are those of its file, without bias."""

    __slots__ = ("_bias", "_debug", "_floors", "_image", "_mini_read", "_own", "_starts", "_tables")

    def __init__(self, image: Image, bias: int) -> None:
        """`bias` is for images of memory alone, whose dynamic section may hold addresses of the process."""
        self._image = image
        self._bias = bias
        self._tables: list[Table] | None = None
        self._mini_read = False
        self._debug: Table | None = None
        self._starts: FunctionStarts | None = None
        self._floors: list[tuple[int, int]] | None = None

    def find(self, addresses: list[int], debug_image: Callable[[], Image | None] | None = None) -> dict[int, Found]:
        """The symbol for each address that has one. Never raises.

        `debug_image` is asked for the separate debug file only where the module's own tables don't suffice.
        """
        found: dict[int, Found] = {}
        tables = self._own_tables()
        for table in tables:
            self._search(table, addresses, found, True)
        missing = [address for address in addresses if address not in found]
        if missing and not self._mini_read:
            self._mini_read = True
            mini = _mini(self._image)
            if mini is not None:
                tables.append(mini)
                self._search(mini, missing, found, True)
        missing = [address for address in missing if address not in found]
        if missing and self._debug is None and debug_image is not None and (image := debug_image()) is not None:
            self._debug = symboltables.own(image, 0)
        if missing and self._debug is not None:
            self._search(self._debug, missing, found, False)
        return found

    def value_of(self, name: str) -> int | None:
        """The address in the file of a function or variable that the module's own table defines."""
        for table in self._own_tables():
            value = table.value_of(name)
            if value is not None:
                return value
        return None

    def _own_tables(self) -> list[Table]:
        if self._tables is None:
            table = symboltables.own(self._image, self._bias)
            self._tables = [table] if table is not None else []
            self._starts = FunctionStarts(self._image)
        return self._tables

    def _search(self, table: Table, addresses: list[int], found: dict[int, Found], own: bool) -> None:
        assert self._starts is not None
        starts = {address: self._starts.at_or_before(address) for address in addresses if address not in found}
        # First between the function's start and the address, which is quick, and almost always enough.
        for narrow in (True, False):
            wanted = []
            for address, start in starts.items():
                if address in found or (narrow and start is None):
                    continue
                floor = self._floor(address)
                if floor is not None:
                    wanted.append((address, max(floor, start or 0) if narrow else floor))
            if not wanted:
                continue
            for (address, _), symbols in zip(wanted, table.near(wanted), strict=True):
                symbol = best(symbols, address, starts[address], table.full)
                if symbol is not None:
                    found[address] = Found(symbol.name, symbol.start, own)

    def _floor(self, address: int) -> int | None:
        """Where the section of code begins that `address` is in; None outside of code."""
        if self._floors is None:
            self._floors = [
                (section.address, section.address + section.size)
                for section in self._image.sections.values()
                if section.flags & SHF_EXECINSTR and section.size
            ] or [
                (segment.vaddr, segment.vaddr + segment.memory_size)
                for segment in self._image.segments
                if segment.type == elf.PT_LOAD and segment.flags & elf.PF_X
            ]
        for start, end in self._floors:
            if start <= address < end:
                return start
        return None


class Found:
    """What `find` gives: the name in the file, where the symbol begins, and whether the module itself says so."""

    __slots__ = ("name", "own", "start")

    def __init__(self, name: str, start: int, own: bool) -> None:
        self.name = name
        self.start = start
        self.own = own


def best(symbols: list[Symbol], address: int, function_start: int | None, full: bool) -> Symbol | None:
    """The one of `symbols`, which begin at or before `address`, that names it; see the head of this module.

    `function_start` is the nearest one of `.eh_frame_hdr`, `full` whether local functions are in the table.
    """
    covering = [symbol for symbol in symbols if symbol.start <= address < symbol.start + symbol.size]
    if covering:
        start = max([symbol.start for symbol in covering])
        return min([symbol for symbol in covering if symbol.start == start], key=_preference)
    if not symbols:
        return None
    start = max([symbol.start for symbol in symbols])
    endless = [symbol for symbol in symbols if symbol.start == start and symbol.size == 0]
    if not endless or (function_start is not None and function_start > start):
        return None
    if not full and function_start != start:
        return None
    return min(endless, key=_preference)


def _preference(symbol: Symbol) -> tuple[bool, bool, int, str]:
    name = symbol.name
    return symbol.is_local, not symbol.is_function, len(name) - len(name.lstrip("_")), name


def _mini(image: Image) -> Table | None:
    """The table of MiniDebugInfo: an xz-compressed ELF in `.gnu_debugdata`, with what `.dynsym` doesn't have."""
    content = image.section(".gnu_debugdata")
    if content is None:
        return None
    import lzma

    try:
        plain = lzma.LZMADecompressor(memlimit=MINI_MEMORY_MAX).decompress(bytes(content), MINI_BYTES_MAX)
    except (lzma.LZMAError, MemoryError, ValueError):
        return None
    inner = elf.read(plain, image.path)
    return symboltables.own(inner, 0) if inner is not None else None
