# SPDX-License-Identifier: Apache-2.0
"""Who called, where no table knows: each guess is compared with the machine code, and a doubtful one is no answer.

A return address has to follow a call, and where that call names a function, the frame has to be one of that function.
In order of trust: a stack slot that the function's own instructions lead to (x86_64), a frame pointer's record, and in
a frame that was interrupted anywhere the word at sp or the link register. Pure: it reads `Memory` through a `Process`.
"""

from __future__ import annotations

from telemetry_probes.crash import calls, prologue
from telemetry_probes.crash.calls import INDIRECT, NO_CALL, UNREADABLE, is_trampoline
from telemetry_probes.crash.model import X86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Registers
    from telemetry_probes.crash.process import Process
    from telemetry_probes.crash.rules import Row

FRAME_POINTER, LINK, WORD_AT_SP, CFI = "frame pointer", "link", "word at sp", "cfi"

SLOTS_MAX = 512
"""Words above sp among which a return address is looked for: 4 KiB."""
FUNCTIONS_MAX = 16
"""That are followed for one guess."""
FUNCTION_BYTES_MAX = prologue.CODE_MAX
FRAME_BYTES_MAX = 64 << 20
"""Between sp and a frame pointer that is believed."""
_NEAR = 512
_THUNK = 48
_WHOLE = 2048
_SAME_FUNCTION = 4096
_PUSH_AND_MOVE = b"\x55\x48\x89\xe5"  # push %rbp; mov %rsp,%rbp
_MASK = (1 << 64) - 1


class Guess:
    """The caller: its registers, None where unknown, the frame's CFA if known, and by what it was found."""

    __slots__ = ("cfa", "found_by", "registers")

    def __init__(self, registers: Registers, cfa: int | None, found_by: str) -> None:
        self.registers = registers
        self.cfa = cfa
        self.found_by = found_by


def nowhere(process: Process, pc: int, registers: Registers) -> Guess | None:
    """The caller of a call to where no code is: nothing was executed there, so every register is still the caller's."""
    machine, memory = process.machine, process.memory
    sp = registers[machine.sp]
    if machine.link is not None:
        address, cfa, found_by = registers[machine.link], sp, LINK
    else:
        address, cfa, found_by = (None, None, "") if sp is None else (memory.word(sp), sp + 8, WORD_AT_SP)
    if not address or sp is None:
        return None
    address = process.code(address)
    called = calls.called(machine, memory, address) if process.is_code(address) else NO_CALL
    if called == NO_CALL:
        return None
    # What a return took lies below sp: then the address was overwritten, and who called isn't known
    if machine.link is None and called not in (INDIRECT, pc) and memory.word(sp - 8) == pc:
        return None
    return _guess(process, registers, address, cfa, cfa, found_by)


def proven(process: Process, pc: int, lookup_pc: int, registers: Registers) -> Row | None:
    """Rules for `pc` from the instructions of the function that a return address on the stack says was called.

    `lookup_pc` is in the function for sure: `pc` itself lies behind it, if its last deed is a call.
    """
    sp, fp = registers[X86_64.sp], registers[X86_64.fp]
    if process.machine is not X86_64 or sp is None:
        return None
    claims: dict[int, tuple[Row, ...]] = {}
    for slot in _slots(sp, fp):
        address = process.memory.word(slot)
        if address is None:
            if slot >= sp and slot != (fp or 0) + 8:
                break
            continue
        if not process.is_code(address):
            continue
        called = process.called(address)
        if called not in claims:
            if called == NO_CALL or len(claims) >= FUNCTIONS_MAX:
                continue
            claims[called] = _claims(process, called, pc, lookup_pc)
        for row in claims[called]:
            base = registers[row.cfa_register]
            if base is not None and base + row.cfa_offset == slot + 8:
                return row
    return None


def _claims(process: Process, called: int, pc: int, lookup_pc: int) -> tuple[Row, ...]:
    """Rules for `pc` as the function's instructions say, if it's the one that was called, or goes on from there."""
    if called < 0:  # the call doesn't name the function, so its symbol or its usual first instructions have to
        starts = [(process.symbol_start(lookup_pc), prologue.ENTERED), (_framed_start(process, pc), prologue.ENTERED)]
    else:
        starts = [(called, prologue.ENTERED), (_jumped_to(process, called), prologue.ENTERED)]
        parts = prologue.jumps(process.memory.read(called, _WHOLE) or b"").items()
        before = [
            (called + place, state) for place, state in parts if 0 <= lookup_pc - called - place < FUNCTION_BYTES_MAX
        ]
        starts += sorted(before, key=_place)[-1:]
    rows = []
    for start, state in starts:
        if 0 <= start <= lookup_pc < start + FUNCTION_BYTES_MAX and process.same_function(start, lookup_pc):
            code = process.memory.read(start, pc - start)
            row = prologue.row(code, state) if code is not None else None
            if row is not None:
                rows.append(row)
    return tuple(rows)


def _place(part: tuple[int, prologue.State]) -> int:
    return part[0]


def guess(process: Process, pc: int, registers: Registers, exact: bool) -> Guess | None:
    """The caller of a frame without rules. `exact`: the frame was interrupted, it isn't in the middle of a call."""
    record = _by_frame_pointer(process, pc, registers, exact)
    if not exact:
        return record[0] if record is not None else None
    nearest = _nearest(process, pc, registers)
    if record is None or nearest is None:
        found = record or nearest
        return found[0] if found is not None else None
    # Both are possible. A call that names the function is better than one through a register; of two the nearer one
    if record[1] >= 0 or nearest[1] >= 0:
        return record[0] if record[1] >= nearest[1] else nearest[0]
    if process.machine is X86_64:
        code = process.memory.read(pc - _NEAR, _NEAR) or b""
        return record[0] if code.rfind(_PUSH_AND_MOVE) > code.rfind(b"\xc3") else nearest[0]
    return nearest[0]


def _jumped_to(process: Process, start: int) -> int:
    """What the function at `start` jumps to as its last deed; -1 if it's more than that, or not known."""
    code = process.memory.read(start, _THUNK)
    jump = prologue.tail_jump(code) if code is not None else None
    return -1 if jump is None else start + jump


def _framed_start(process: Process, pc: int) -> int:
    """Where the nearest function before `pc` begins that keeps rbp as its frame pointer; -1 if none is near."""
    for size in (4 * _NEAR, pc % 4096):
        code = process.memory.read(pc - size, size)
        if code is not None and (at := code.rfind(_PUSH_AND_MOVE)) >= 0:
            return pc - size + at
    return -1


def _slots(sp: int, fp: int | None) -> list[int]:
    slots = list(range(sp, sp + 8 * SLOTS_MAX, 8))
    if fp is not None and 0 <= fp - sp < FRAME_BYTES_MAX and fp % 8 == 0:
        slots.insert(0, fp + 8)
    return slots


def _by_frame_pointer(process: Process, pc: int, registers: Registers, exact: bool) -> tuple[Guess, int] | None:
    """The caller by the record that fp points to: the caller's fp and the return address. And what was called."""
    machine, memory = process.machine, process.memory
    fp, sp = registers[machine.fp], registers[machine.sp]
    if not fp or fp % 8 or (sp is not None and not 0 <= fp - sp < FRAME_BYTES_MAX):
        return None
    before, address = memory.word(fp), memory.word(fp + 8)
    if before is None or not address:
        return None
    address = process.code(address)
    called = _credible(process, pc, address)
    if called is None:
        return None
    # rbp need not be a frame pointer. The caller's need not be one either, but then the code has to show the call
    if before and before <= fp and (exact or called == UNREADABLE):
        return None
    if called == UNREADABLE and machine is X86_64 and before and not process.is_code(memory.word(before + 8) or 0):
        return None
    caller: Registers = [None] * machine.register_count
    caller[machine.fp], caller[machine.pc] = before, address
    cfa = fp + 16 if machine is X86_64 else None
    caller[machine.sp] = cfa  # on aarch64 the record may lie anywhere in its frame
    if machine.link is not None:
        caller[machine.link] = address
    return Guess(caller, cfa, FRAME_POINTER), called


def _nearest(process: Process, pc: int, registers: Registers) -> tuple[Guess, int] | None:
    """The caller of a function that didn't touch the stack yet: the word at sp, or the link register."""
    machine = process.machine
    sp = registers[machine.sp]
    if sp is None:
        return None
    if machine.link is not None:
        address, above, found_by = registers[machine.link], sp, LINK
    else:
        address, above, found_by = process.memory.word(sp), sp + 8, WORD_AT_SP
    if not address:
        return None
    address = process.code(address)
    called = _credible(process, pc, address)
    if called is None:
        return None
    # Within the function itself: left over from a call that it made. Without a name it may be, if it's close
    if 0 <= called <= address <= pc or (called < 0 and 0 <= pc - address < _SAME_FUNCTION):
        return None
    if called == UNREADABLE and machine is X86_64:
        return None
    if called >= 0 and machine is X86_64:
        # `proven` would have found it: the function's instructions lead somewhere else, or nowhere
        code = process.memory.read(called, pc - called)
        if code is not None and (row := prologue.row(code)) is not None and row.cfa_offset != 8:
            return None
    return _guess(process, registers, address, above, above, found_by), called


def _credible(process: Process, pc: int, address: int) -> int | None:
    """What the call before `address` called, if that can be the function that pc is in; None where it can't."""
    called = process.called(address) if process.is_code(address) else NO_CALL
    if called == NO_CALL:
        return INDIRECT if is_trampoline(process.machine, process.memory, address) else None
    if called in (INDIRECT, UNREADABLE):
        return called
    return called if called <= pc and process.same_function(called, pc) else None


def _guess(
    process: Process, registers: Registers, address: int, sp: int | None, cfa: int | None, found_by: str
) -> Guess:
    caller = list(registers)
    caller[process.machine.sp], caller[process.machine.pc] = sp, address
    return Guess(caller, cfa, found_by)
