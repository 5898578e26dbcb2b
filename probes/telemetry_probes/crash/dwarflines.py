# SPDX-License-Identifier: Apache-2.0
"""The line number program of a unit (DWARF 5, chapter 6.2; versions 2 to 5): which line made an address.

Runs the whole program once and keeps three numbers a row. Bytes in, rows out; strings of other sections are asked for
through `Strings`. A program that breaks the format raises what `dwarfforms` says; one that never ends has its bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct

from telemetry_probes.crash import dwarfcodes as dw
from telemetry_probes.crash.dwarfforms import NotDwarfError
from telemetry_probes.crash.leb import sleb, uleb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.pieces import Inflated, Plain

PROGRAM_BYTES_MAX = 64 << 20
ROWS_MAX = 4 << 20
FILES_MAX = 1 << 17
CHECK_EVERY = 1 << 15
"""Rows between two looks at the clock."""

_SIZES = {dw.FORM_DATA1: 1, dw.FORM_DATA2: 2, dw.FORM_DATA4: 4, dw.FORM_DATA8: 8, dw.FORM_DATA16: 16}
_SIZES |= {dw.FORM_STRX1: 1, dw.FORM_STRX2: 2, dw.FORM_STRX3: 3, dw.FORM_STRX4: 4}
_STRINGS = frozenset((dw.FORM_LINE_STRP, dw.FORM_STRP, dw.FORM_STRP_SUP))
_U4, _U8 = Struct("<I"), Struct("<Q")


class Program:
    """A unit's program, run. `row` gives an address's file and line, `file` the path of a file."""

    __slots__ = ("_addresses", "_directories", "_files", "_lines", "_numbers", "_sequences", "_version")

    def __init__(
        self, section: Plain | Inflated, at: int, text: Callable[[int, int], str], expired: Callable[[], bool]
    ) -> None:
        """`text` gives the string of a (form, offset or index) in another section."""
        self._addresses: list[int] = []
        self._lines: list[int] = []
        self._numbers: list[int] = []
        self._sequences: list[tuple[int, int, int, int]] = []
        self._directories: list[str] = []
        self._files: list[tuple[str, int]] = []
        self._run(section, at, text, expired)

    def row(self, address: int) -> tuple[int, int] | None:
        """The (file's number, line) of the code at an address, or None. Line 0 is code of no line."""
        best = None
        for low, high, first, last in self._sequences:
            # Of several that claim the address the shortest is the likeliest.
            if low <= address < high and (best is None or high - low < best[0]):
                place = bisect_right(self._addresses, address, first, last) - 1
                best = high - low, self._numbers[place], self._lines[place]
        return best[1:] if best is not None else None

    def file(self, number: int, directory: str) -> str:
        """The path of a file, below the unit's `directory` where it is relative; empty where there is no such file."""
        if self._version < 5:
            number -= 1
        if not 0 <= number < len(self._files):
            return ""
        name, place = self._files[number]
        if name.startswith("/"):
            return name
        if self._version < 5:
            # Directory 0, the unit's own, is left out.
            folder = self._directories[place - 1] if 0 < place <= len(self._directories) else ""
        else:
            folder = self._directories[place] if 0 <= place < len(self._directories) else ""
            directory = self._directories[0] if place and self._directories else ""
        if not folder.startswith("/") and directory:
            folder = f"{directory}/{folder}" if folder else directory
        path = f"{folder}/{name}" if folder else name
        while "/./" in path:
            path = path.replace("/./", "/")
        return path.removeprefix("./")

    def _run(
        self, section: Plain | Inflated, at: int, text: Callable[[int, int], str], expired: Callable[[], bool]
    ) -> None:
        head = section.read(at, 12)
        size, offset_size, prefix = _U4.unpack_from(head)[0], 4, 4
        if size == 0xFFFFFFFF:
            size, offset_size, prefix = _U8.unpack_from(head, 4)[0], 8, 12
        if size > PROGRAM_BYTES_MAX:
            raise NotDwarfError
        data = section.read(at + prefix, size)
        version = self._version = data[0] | data[1] << 8
        if not 2 <= version <= 5:
            raise NotDwarfError
        at = 4 if version == 5 else 2  # past the sizes of addresses and segment selectors
        begin = at + offset_size + int.from_bytes(data[at : at + offset_size], "little")
        at += offset_size
        minimum = data[at]
        at += 2 if version >= 4 else 1  # past the operations of a VLIW instruction
        line_base = data[at + 1] - 256 if data[at + 1] > 127 else data[at + 1]
        line_range, opcode_base = data[at + 2], data[at + 3]
        if not line_range or not opcode_base:
            raise NotDwarfError
        lengths = bytes(1) + data[at + 4 : at + 3 + opcode_base]
        at += 3 + opcode_base
        if version == 5:
            self._read_names(data, at, offset_size, text)
        else:
            self._read_old_names(data, at)
        advances = [(op - opcode_base) // line_range * minimum for op in range(256)]
        steps = [line_base + (op - opcode_base) % line_range for op in range(256)]
        self._execute(data, begin, opcode_base, minimum, lengths, advances, steps, expired)

    def _read_old_names(self, data: bytes, at: int) -> None:
        while data[at]:
            end = data.index(0, at)
            self._directories.append(data[at:end].decode("utf-8", "replace"))
            at = end + 1
        at += 1
        while data[at] and len(self._files) < FILES_MAX:
            end = data.index(0, at)
            name = data[at:end].decode("utf-8", "replace")
            place, at = uleb(data, end + 1)
            _time, at = uleb(data, at)
            _size, at = uleb(data, at)
            self._files.append((name, place))

    def _read_names(self, data: bytes, at: int, offset_size: int, text: Callable[[int, int], str]) -> None:
        for is_file in (False, True):
            formats = []
            count = data[at]
            at += 1
            for _ in range(count):
                kind, at = uleb(data, at)
                form, at = uleb(data, at)
                formats.append((kind, form))
            count, at = uleb(data, at)
            if count > FILES_MAX or not formats:
                count = 0
            for _ in range(count):
                name, place = "", 0
                for kind, form in formats:
                    if form == dw.FORM_STRING:
                        end = data.index(0, at)
                        value: int | str = data[at:end].decode("utf-8", "replace")
                        at = end + 1
                    elif form in _STRINGS:
                        value = int.from_bytes(data[at : at + offset_size], "little")
                        at += offset_size
                    elif form in _SIZES:
                        value = int.from_bytes(data[at : at + _SIZES[form]], "little")
                        at += _SIZES[form]
                    elif form in (dw.FORM_UDATA, dw.FORM_STRX):
                        value, at = uleb(data, at)
                    elif form == dw.FORM_BLOCK:
                        value, at = uleb(data, at)
                        at += value
                    else:
                        raise NotDwarfError
                    if kind == dw.LNCT_PATH:
                        name = value if isinstance(value, str) else text(form, value)
                    elif kind == dw.LNCT_DIRECTORY_INDEX and isinstance(value, int):
                        place = value
                if at > len(data):
                    raise NotDwarfError
                if is_file:
                    self._files.append((name, place))
                else:
                    self._directories.append(name)

    def _execute(
        self, data: bytes, at: int, opcode_base: int, minimum: int, lengths: bytes, advances: list[int],
        steps: list[int], expired: Callable[[], bool],
    ) -> None:  # fmt: skip
        addresses, lines, numbers = self._addresses, self._lines, self._numbers
        add_address, add_line, add_number = addresses.append, lines.append, numbers.append
        address, number, line, first = 0, 1, 1, 0
        end, next_look = len(data), CHECK_EVERY
        while at < end:
            op = data[at]
            at += 1
            if op >= opcode_base:
                address += advances[op]
                line += steps[op]
                add_address(address)
                add_line(line)
                add_number(number)
            elif op == 5 or op == 12:  # set_column, set_isa
                while data[at] >= 0x80:
                    at += 1
                at += 1
            elif op == 3:
                step, at = sleb(data, at)
                line += step
            elif op == 1:
                add_address(address)
                add_line(line)
                add_number(number)
            elif op == 0:
                size, at = uleb(data, at)
                kind = data[at]
                if kind == 1:  # end_sequence
                    self._end_sequence(first, address)
                    first = len(addresses)
                    address, number, line = 0, 1, 1
                elif kind == 2:
                    address = int.from_bytes(data[at + 1 : at + size], "little")
                at += size
            elif op == 2:
                step, at = uleb(data, at)
                address += step * minimum
            elif op == 4:
                number, at = uleb(data, at)
            elif op == 8:
                address += advances[255]
            elif op == 9:
                address += data[at] | data[at + 1] << 8
                at += 2
            elif op not in (6, 7, 10, 11):  # those take nothing, and nothing here depends on them
                for _ in range(lengths[op]):
                    _, at = uleb(data, at)
            if len(addresses) > next_look:
                next_look += CHECK_EVERY
                if expired() or len(addresses) > ROWS_MAX:
                    return

    def _end_sequence(self, first: int, end: int) -> None:
        """Keep a sequence; not one of code that the linker left out, which begins at 0."""
        addresses = self._addresses
        if first < len(addresses) and 0 < addresses[first] < end:
            self._sequences.append((addresses[first], end, first, len(addresses)))
