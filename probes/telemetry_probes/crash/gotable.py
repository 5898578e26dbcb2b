# SPDX-License-Identifier: Apache-2.0
"""What Go's functions are called, where their lines are and how deep their frames, from `.gopclntab`, which every Go
program has, stripped or not (Go 1.16 and later).

Layout: Go's debug/gosym/pclntab.go and runtime/symtab.go. All offsets may be lies: what is out of bounds is not known,
and nothing here raises. Never in here: memory, and what follows for a stack (`gostack`).
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct, error

from telemetry_probes.crash import pclntab
from telemetry_probes.crash.leb import uleb
from telemetry_probes.crash.pclntab import MAGIC_116, MAGIC_118, MAGIC_120
from telemetry_probes.crash.symboltables import text_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.elf import Image

INLINED = 2
"""Of a function's tables, which one says what call that was inlined an address is in."""
STEPS_MAX = 1 << 16
"""Entries of a function's line table."""

_HEADER = Struct("<IHBB")
_FIELDS = Struct("<8I")


class GoFunction:
    """A function: its name, the address in the file where it begins, the runtime's flags (0 before Go 1.17).

    `fields` are the table's: name, arguments, deferreturn, then where the tables of depths (pcsp), files and lines are,
    how many more tables, and the compilation unit; `tables` is where it says where those other tables are.
    """

    __slots__ = ("fields", "flags", "name", "start", "tables")

    def __init__(self, name: str, start: int, fields: tuple[int, ...], flags: int, tables: int) -> None:
        self.tables = tables
        self.name = name
        self.start = start
        self.fields = fields
        self.flags = flags


class GoTable:
    """The table of one program."""

    __slots__ = (
        "_count", "_cu_table", "_entry_size", "_file_table", "_function_table", "_magic", "_names", "_pc_table",
        "_quantum", "_start", "_table",
    )  # fmt: skip

    def __init__(self, image: Image) -> None:
        """Knows nothing where the program's table is of another kind."""
        self._count = 0
        found = pclntab.find(image)
        if found is not None:
            self._table, address = found
            try:
                self._read_header(image, address)
            except error:
                self._count = 0

    def _read_header(self, image: Image, address: int) -> None:
        table = self._table
        self._magic, _zero, self._quantum, pointer_size = _HEADER.unpack_from(table)
        if pointer_size != 8 or self._magic not in (MAGIC_116, MAGIC_118, MAGIC_120):
            return
        words = Struct("<8Q").unpack_from(table, 8)
        if self._magic == MAGIC_116:
            count, _files, names, cu_table, file_table, pc_table, functions, _ = words
            self._start = 0
        else:
            count, _files, self._start, names, cu_table, file_table, pc_table, functions = words
            self._start = self._start or pclntab.text_start(image, address)
        self._entry_size = 16 if self._magic == MAGIC_116 else 8
        self._names, self._cu_table, self._file_table, self._pc_table, self._function_table = (
            names, cu_table, file_table, pc_table, functions,
        )  # fmt: skip
        end = functions + count * self._entry_size
        if end + self._entry_size > len(table):
            return
        # The last entry is where the last function ends. Begin and end have to be where the code is.
        last = int.from_bytes(table[end : end + self._entry_size // 2], "little") + self._start
        code = image.header(".text")
        if code is not None and code.address <= (self._start or last) <= last <= code.address + code.size:
            self._count = count

    def at(self, address: int) -> tuple[str, str, int] | None:
        """Function, file and line at an address of the file; None where no function of Go is.

        The line is that of the innermost call that was inlined there (`is_inlined`), as Go's own addr2line has it.
        """
        function = self.function(address)
        return None if function is None else (function.name, *self.line(function, address))

    def line(self, function: GoFunction, address: int) -> tuple[str, int]:
        """File and line as `at` has them; empty and 0 where they aren't known."""
        try:
            return self._line(function, address)
        except (IndexError, ValueError, error):
            return "", 0

    def function(self, address: int) -> GoFunction | None:
        """The function at an address of the file; None where none of Go is."""
        try:
            return self._find(address)
        except (IndexError, ValueError, error):
            return None

    def depth(self, function: GoFunction, address: int) -> int | None:
        """How far sp lies at an address of the file below where it was when `function` was entered; None: not known."""
        try:
            return self._value(function.fields[3], function.start, address)
        except (IndexError, ValueError):
            return None

    def is_inlined(self, function: GoFunction, address: int) -> bool:
        """Do file and line at an address belong to another function, that the compiler put into `function`?"""
        if function.fields[6] <= INLINED:
            return False
        at = function.tables + 4 * INLINED
        try:
            value = self._value(int.from_bytes(self._table[at : at + 4], "little"), function.start, address)
        except (IndexError, ValueError):
            return False
        return value is not None and value >= 0

    def _find(self, address: int) -> GoFunction | None:
        if not self._count:
            return None
        end = self._function_table + self._count * self._entry_size + self._entry_size // 2
        relative = address - self._start
        raw = self._table[self._function_table : end].cast("B")
        words = raw.cast("Q") if self._entry_size == 16 else raw.cast("I")
        starts = words[::2]
        place = bisect_right(starts, relative) - 1
        if not 0 <= place < self._count:
            return None
        # _func: entry of 8 bytes (4 since 1.18), the fields, the start's line since 1.20, the function's id, flags
        info = self._function_table + words[2 * place + 1]
        at = info + self._entry_size // 2
        fields = _FIELDS.unpack_from(self._table, at)
        name = text_at(self._table, self._names + fields[0])
        if not name:
            return None
        at += _FIELDS.size + (4 if self._magic == MAGIC_120 else 0)
        return GoFunction(name, starts[place] + self._start, fields, self._table[at + 1], at + 4)

    def _line(self, function: GoFunction, address: int) -> tuple[str, int]:
        fields = function.fields
        line = self._value(fields[5], function.start, address)
        number = self._value(fields[4], function.start, address)
        file = ""
        if number is not None and number >= 0:
            raw = self._table[self._cu_table + 4 * (fields[7] + number) :][:4]
            offset = int.from_bytes(raw, "little")
            if offset != 0xFFFFFFFF:
                file = text_at(self._table, self._file_table + offset)
        return file, max(line or 0, 0)

    def _value(self, offset: int, start: int, address: int) -> int | None:
        """What a table of (value step, address step) pairs says for an address; it begins at -1."""
        if not offset:
            return None
        data = bytes(self._table[self._pc_table + offset :][: 1 << 16])
        at, value = 0, -1
        for step_number in range(STEPS_MAX):
            step, at = uleb(data, at)
            if not step and step_number:
                return None
            value += -(step + 1 >> 1) if step & 1 else step >> 1
            length, at = uleb(data, at)
            start += length * self._quantum
            if address < start:
                return value
        return None
