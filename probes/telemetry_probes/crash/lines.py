# SPDX-License-Identifier: Apache-2.0
"""Which function, file and line an address comes from, with the calls that the compiler inlined there, from DWARF.

Nothing here raises and nothing goes on after `expired()`: debug information may be a lie, and may be gigabytes. What
can't be found out in time is empty. Files are opened by `debugfiles`.
"""

from __future__ import annotations

from struct import error

from telemetry_probes.crash import dwarfcodes as dw
from telemetry_probes.crash import dwarflines
from telemetry_probes.crash.dwarfforms import NotDwarfError
from telemetry_probes.crash.dwarfsections import Sections
from telemetry_probes.crash.dwarfunits import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.elf import Image

INLINED_MAX = 64
LINE_MAX = (1 << 31) - 1
PROGRAMS_KEPT = 64
_BROKEN = (NotDwarfError, IndexError, KeyError, ValueError, OverflowError, MemoryError, RecursionError, error)


class Call:
    """A function, its name as the linker knows it, and the line in it; empty and 0 where that isn't known."""

    __slots__ = ("file", "function", "line")

    def __init__(self, function: str, file: str, line: int) -> None:
        self.function = function
        self.file = file
        self.line = line


class Lines:
    """The debug information of one file; `alternate` is the one that dwz shares between several."""

    __slots__ = ("_expired", "_programs", "_sections")

    def __init__(self, image: Image, alternate: Image | None, expired: Callable[[], bool]) -> None:
        self._sections = Sections(image, Sections(alternate) if alternate is not None else None)
        self._programs: dict[int, dwarflines.Program | None] = {}
        self._expired = expired

    def at(self, address: int) -> list[Call]:
        """The calls at an address of the file, innermost first; the last is the function that isn't inlined."""
        try:
            unit = self._sections.unit_of(address, self._expired)
        except _BROKEN:
            return []
        if unit is None:
            return []
        program = self._program(unit)
        row = program.row(address) if program is not None else None
        file, line = (self._file(unit, program, row[0]), _line(row[1])) if row is not None else ("", 0)
        calls: list[Call] = []
        try:
            place = unit.function(address, self._expired)
            if place is None:
                return [Call("", file, line)] if row is not None else []
            # From the innermost: each says where it was called from, which is the line of the one around it.
            for entry in reversed(unit.inlined(place, address, self._expired)[:INLINED_MAX]):
                calls.append(Call(unit.name(entry), file, line))
                file = self._file(unit, program, entry.get(dw.AT_CALL_FILE, (0, 0))[1])
                line = _line(entry.get(dw.AT_CALL_LINE, (0, 0))[1])
            calls.append(Call("", file, line))
            calls[-1].function = unit.name(unit.entry(place)[1])
        except _BROKEN:
            if not calls and row is not None:
                calls.append(Call("", file, line))
        return calls

    def _program(self, unit: Unit) -> dwarflines.Program | None:
        value = unit.root.get(dw.AT_STMT_LIST)
        if value is None:
            return None
        at = value[1]
        if at not in self._programs:
            if len(self._programs) >= PROGRAMS_KEPT:
                self._programs.clear()
            try:
                self._programs[at] = dwarflines.Program(
                    self._sections.section(".debug_line"), at, self._sections.text, self._expired
                )  # fmt: skip
            except _BROKEN:
                self._programs[at] = None
        return self._programs[at]

    def _file(self, unit: Unit, program: dwarflines.Program | None, number: int) -> str:
        if program is None:
            return ""
        try:
            directory = unit.string(unit.root[dw.AT_COMP_DIR]) if dw.AT_COMP_DIR in unit.root else ""
        except _BROKEN:
            directory = ""
        return program.file(number, directory)


def _line(number: int) -> int:
    """0 where it can't be one."""
    return number if 0 < number <= LINE_MAX else 0
