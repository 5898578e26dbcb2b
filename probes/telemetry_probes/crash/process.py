# SPDX-License-Identifier: Apache-2.0
"""What unwinding asks of the dead process: which module, whether code is there, what the tables say, what was called.

Every answer is remembered by address; 300 threads stand in few places. Never in here: stacks and frames (`unwind`).
"""

from __future__ import annotations

from telemetry_probes.crash import calls, cfi, gostack
from telemetry_probes.crash.elf import PF_X, PT_LOAD
from telemetry_probes.crash.model import AARCH64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from telemetry_probes.crash.elf import Image
    from telemetry_probes.crash.gostack import GoStack
    from telemetry_probes.crash.loads import Loads
    from telemetry_probes.crash.model import Machine, Memory, Module
    from telemetry_probes.crash.rules import Row

    class Lookup(Protocol):
        """`modules.Modules`."""

        def at(self, address: int) -> Module | None: ...


REMEMBERED_MAX = 1 << 16
"""Addresses of which something is remembered: a hostile core has a new one for every frame."""
ENTRY_BYTES = 64
"""Of the code at a program's entry point, from where nobody is called back."""

_ADDRESS_BITS = (48, 39)
"""Of a pointer on aarch64 that isn't part of its signature (PAC): of the usual kernels and those with 3 levels."""


class Process:
    """A dead process's code."""

    __slots__ = (
        "_called", "_code", "_debug", "_go", "_loads", "_modules", "_rows", "_separate", "_tables", "machine", "memory",
    )  # fmt: skip

    def __init__(
        self, machine: Machine, modules: Lookup, memory: Memory, loads: Loads | None = None,
        debug: Callable[[Module], Image | None] | None = None,
    ) -> None:  # fmt: skip
        """`loads` is the core's map: of memory outside of every module it says where code may be (a JIT's, for one).

        `debug` gives a module's separate debug file, whose `.debug_frame` helps where the module has no tables:
        it is asked for then.
        """
        self.machine = machine
        self.memory = memory
        self._modules = modules
        self._loads = loads
        self._debug = debug
        self._tables: dict[int, cfi.Tables | None] = {}
        self._separate: dict[int, cfi.Tables | None] = {}
        self._go: dict[int, GoStack | None] = {}
        self._rows: dict[int, Row | None] = {}
        self._called: dict[int, int] = {}
        self._code: dict[int, bool] = {}

    def module(self, address: int) -> Module | None:
        """The module that an address lies in."""
        return self._modules.at(address)

    def code(self, address: int) -> int:
        """A return address as it was before it was signed."""
        if self.machine is not AARCH64:
            return address
        for bits in _ADDRESS_BITS:
            plain = address & (1 << bits) - 1
            if self._modules.at(plain) is not None:
                return plain
        return address & (1 << _ADDRESS_BITS[0]) - 1

    def is_code(self, address: int) -> bool:
        """May instructions be at an address? In a module, by its program headers; elsewhere by the core's map."""
        page = address >> 12
        known = self._code.get(page)
        if known is None:
            known = self._is_code(address)
            self._room(self._code)[page] = known
        return known

    def row(self, address: int) -> Row | None:
        """The rules of the tables for an address; None where none covers it. `Row.start` is of the file."""
        rows = self._rows
        if address in rows:
            return rows[address]
        module = self._modules.at(address)
        row = self._row(address, module) if module is not None else None
        self._room(rows)[address] = row
        return row

    def manner(self, address: int) -> int:
        """What the function at an address is to its caller: `gostack.manner`, and ORDINARY for all but Go's."""
        module = self._modules.at(address)
        go = self._go_of(module) if module is not None else None
        return gostack.ORDINARY if go is None or module is None else go.manner(address - module.bias)

    def called(self, address: int) -> int:
        """`calls.called` of a return address."""
        known = self._called.get(address)
        if known is None:
            known = calls.called(self.machine, self.memory, address)
            self._room(self._called)[address] = known
        return known

    def same_function(self, start: int, pc: int) -> bool:
        """Can `pc` be in the function that begins at `start`? By module and tables."""
        if self._modules.at(start) is not self._modules.at(pc):
            return False
        first, here = self.row(start), self.row(pc)
        if first is None or here is None:
            return first is here
        return first.start == here.start

    def is_entry(self, pc: int) -> bool:
        """Is `pc` behind the entry point of a program or a dynamic linker?"""
        module = self._modules.at(pc)
        return (
            module is not None and module.image is not None and 0 <= pc - module.bias - module.image.entry < ENTRY_BYTES
        )

    def symbol_start(self, pc: int) -> int:
        """Where the symbol begins that `pc` is in or behind; -1 where no symbol tells."""
        module = self._modules.at(pc)
        if module is None or module.image is None:
            return -1
        from telemetry_probes.crash.symbols import Symbols  # only for code without tables

        inside = pc - module.bias
        found = Symbols(module.image, module.bias).find([inside]).get(inside)
        return -1 if found is None else found.start + module.bias

    def _is_code(self, address: int) -> bool:
        module = self._modules.at(address)
        if module is None or module.image is None:
            if self._loads is None:
                return module is not None
            load = self._loads.at(address)
            return load is not None and bool(load.flags & PF_X)
        inside = address - module.bias
        for segment in module.image.segments:
            if segment.type == PT_LOAD and segment.flags & PF_X:
                start = segment.vaddr & -4096
                if start <= inside < segment.vaddr + segment.memory_size:
                    return True
        return False

    def _go_of(self, module: Module) -> GoStack | None:
        key = module.start
        if key not in self._go:
            image = module.image
            self._go[key] = gostack.read(image, self.machine, self.memory, module.bias) if image is not None else None
        return self._go[key]

    def _row(self, address: int, module: Module) -> Row | None:
        key = module.start
        go = self._go_of(module)
        if go is not None and (row := go.row(address - module.bias)) is not None:
            return row
        if key not in self._tables:
            self._tables[key] = cfi.Tables(module.image) if module.image is not None else None
        tables = self._tables[key]
        row = tables.row(address - module.bias) if tables is not None else None
        if row is not None or self._debug is None:
            return row
        if key not in self._separate:
            image = self._debug(module)
            self._separate[key] = cfi.Tables(image) if image is not None and image is not module.image else None
        tables = self._separate[key]
        return tables.row(address - module.bias) if tables is not None else None

    def _room(self, answers: dict[int, _Answer]) -> dict[int, _Answer]:
        if len(answers) >= REMEMBERED_MAX:
            answers.clear()
        return answers


if TYPE_CHECKING:
    from typing import TypeVar

    _Answer = TypeVar("_Answer")
