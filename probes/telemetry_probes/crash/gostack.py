# SPDX-License-Identifier: Apache-2.0
"""How a call in Go's own code is undone, by the table of frame depths that every Go program has (`gotable`), and what
is peculiar about some of the runtime's functions.

Go's `.debug_frame` is made of the same table and says less; a stripped program has only this. A goroutine's stack goes
on where the runtime left it for another one: `caller` finds that place by the frame pointer that was kept, and believes
it only where the frames there lead to that very frame pointer. Never in here: names, and what C code does.
Sources: Go's runtime/symtab.go, traceback.go, asm_amd64.s, cmd/internal/obj/x86/obj6.go.
"""

from __future__ import annotations

from telemetry_probes.crash import pclntab, prologue
from telemetry_probes.crash.model import AARCH64, X86_64
from telemetry_probes.crash.rules import OFFSET, UNDEFINED, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.elf import Image
    from telemetry_probes.crash.gotable import GoTable
    from telemetry_probes.crash.model import Machine, Memory
    from telemetry_probes.crash.process import Process

ORDINARY, FAULTED, RESUMED, SWITCHED, LAST = range(5)
"""What a function of Go is to its caller: called by it; put there by a signal handler when the caller faulted; put
there as if it had been; called on another stack; nobody's, whatever stood on that stack before."""

FRAME_BYTES_MAX = 64 << 10
"""Below a frame pointer, where the call that left the stack is looked for."""
FRAMES_MAX = 8
"""Between that call and the frame whose pointer was kept."""
DEPTH_MAX = 1 << 30

_MANNERS = {
    "runtime.sigpanic": FAULTED,
    "runtime.systemstack_switch": RESUMED,
    "runtime.cgocallback": ORDINARY,  # it writes sp, but makes both stacks look as if there had been a call
    "runtime.systemstack": SWITCHED, "runtime.asmcgocall": SWITCHED, "runtime.morestack": SWITCHED,
    "runtime.mcall": LAST, "runtime.gogo": LAST, "runtime.goexit": LAST, "runtime.rt0_go": LAST,
    "runtime.clone": LAST,
}  # fmt: skip
_WRITES_SP = 2  # a function's flag (FuncFlagSPWrite): it goes on on another stack than it was called on
_PROLOGUE = 96
_SAVED_LINK = 16
_FRAMED = (
    b"\x55\x48\x89\xe5",
    b"\x48\x8d\x6c\x24",
    b"\x48\x8d\xac\x24",
)  # push %rbp; mov %rsp,%rbp or lea n(%rsp),%rbp
_MASK = (1 << 64) - 1


class GoStack:
    """The rules of one module. Addresses are those of its file, without bias."""

    __slots__ = ("_bias", "_machine", "_memory", "_table")

    def __init__(self, table: GoTable, machine: Machine, memory: Memory, bias: int) -> None:
        self._table = table
        self._machine = machine
        self._memory = memory
        self._bias = bias

    def row(self, address: int) -> Row | None:
        """The rules at an address; None where no function of Go is, or its depth isn't known. Never raises."""
        function = self._table.function(address)
        if function is None:
            return None
        depth = self._table.depth(function, address)
        if depth is None or not 0 <= depth < DEPTH_MAX or depth % 8:
            return None
        if self._machine.link is None:
            return self._row_x86(function.start, address, depth)
        return _row_arm(function.start, depth, _MANNERS.get(function.name) == FAULTED)

    def _row_x86(self, start: int, address: int, depth: int) -> Row:
        rules: list[tuple[int, int, int]] = []
        if depth:
            framed = self._is_framed(start, address)
            rules.append((X86_64.fp, OFFSET, -16) if framed else (X86_64.fp, UNDEFINED, 0))
        rules.append((X86_64.pc, OFFSET, -8))
        return Row(X86_64.sp, depth + 8, None, tuple(rules), X86_64.pc, False, start)

    def manner(self, address: int) -> int:
        """ORDINARY, FAULTED, RESUMED, SWITCHED or LAST. Never raises."""
        function = self._table.function(address)
        if function is None:
            return ORDINARY
        known = _MANNERS.get(function.name)
        if known is not None:
            return known
        return SWITCHED if function.flags & _WRITES_SP else ORDINARY

    def _is_framed(self, start: int, address: int) -> bool:
        """Did the function save the frame pointer in the usual place before `address`?"""
        code = self._memory.read(start + self._bias, min(address - start, _PROLOGUE))
        return code is not None and any(pattern in code for pattern in _FRAMED)


def _row_arm(start: int, depth: int, faulted: bool) -> Row:
    """The return address lies at sp, the frame pointer below it; `faulted`: above both what was in the link register
    when the handler put this call there."""
    fp, link, pc = AARCH64.fp, AARCH64.link or 0, AARCH64.pc
    if faulted:
        size = depth + _SAVED_LINK
        rules: tuple[tuple[int, int, int], ...] = (
            (fp, OFFSET, -size - 8),
            (link, OFFSET, -_SAVED_LINK),
            (pc, OFFSET, -size),
        )
        return Row(AARCH64.sp, size, None, rules, pc, False, start)
    rules = ((fp, OFFSET, -depth - 8), (link, OFFSET, -depth)) if depth else ()
    return Row(AARCH64.sp, depth, None, rules, link, False, start)


def read(image: Image, machine: Machine, memory: Memory, bias: int) -> GoStack | None:
    """The rules of a module with code of Go; None of any other."""
    if not pclntab.is_go(image):
        return None
    from telemetry_probes.crash.gotable import GoTable

    return GoStack(GoTable(image), machine, memory, bias)


def caller(process: Process, start: int, fp: int | None) -> tuple[int, int, int] | None:
    """Return address, sp and frame pointer of who called the function at `start`, which went on on another stack with
    the frame pointer `fp` of the one it left; None where that can't be shown. x86_64 alone."""
    if process.machine is not X86_64 or not fp or fp % 8:
        return None
    memory = process.memory
    own = memory.word(fp + 8), memory.word(fp)  # since Go 1.21 such functions have a frame of their own
    if own[0] and own[1] is not None and process.is_code(own[0]) and process.called(own[0]) == start:
        return own[0], fp + 16, own[1]
    for slot in range(fp - 8, max(fp - FRAME_BYTES_MAX, 0), -8):
        address = memory.word(slot)
        if address is None:
            return None
        if not process.is_code(address):
            continue
        called = process.called(address)
        if called < 0 or (called != start and _goes_on(process, called) != start):
            continue
        if _keeps(process, address, slot + 8, fp):
            return address, slot + 8, fp
    return None


def _goes_on(process: Process, called: int) -> int:
    """Where a function jumps to that does nothing else that matters to the stack; -1 for any other."""
    jump = prologue.tail_jump(process.memory.read(called, 48) or b"")
    return -1 if jump is None else called + jump


def _keeps(process: Process, address: int, sp: int, fp: int) -> bool:
    """Is `fp` the frame pointer of the frame that `address` returns to at `sp`, or of the next one that has one?"""
    for _count in range(FRAMES_MAX):
        row = process.row(address - 1)
        if row is None or row.cfa_register != X86_64.sp or row.cfa_expression is not None:
            return False
        cfa = sp + row.cfa_offset & _MASK
        if (X86_64.fp, OFFSET, -16) in row.rules:
            return cfa - 16 == fp
        after = process.memory.word(cfa - 8)
        if after is None or not process.is_code(after):
            return False
        address, sp = after, cfa
    return False
