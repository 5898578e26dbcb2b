# SPDX-License-Identifier: Apache-2.0
"""A thread's stack: from its registers, memory and the modules' unwind tables to frames, one call after the other.

For each frame: a signal trampoline is told by its bytes, otherwise the tables say how the call is undone, and where no
table knows, `guesses` does, if the machine code agrees. A return address that isn't behind a call ends the stack: less
is better than a wrong frame. What was found for a pc is remembered, and most frames are undone with a few additions.
Everything that is read is hostile: frames, steps and time are limited. Never in here: names.
"""

from __future__ import annotations

from telemetry_probes.crash import gostack, guesses, rules, undo
from telemetry_probes.crash.calls import NO_CALL, interrupted, is_trampoline
from telemetry_probes.crash.expressions import evaluate
from telemetry_probes.crash.frames import Limits, Walk
from telemetry_probes.crash.guesses import CFI, FRAME_POINTER, LINK, WORD_AT_SP
from telemetry_probes.crash.model import AARCH64
from telemetry_probes.crash.process import Process
from telemetry_probes.crash.recursion import FRAMES_MIN, alike
from telemetry_probes.crash.undo import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.elf import Image
    from telemetry_probes.crash.loads import Loads
    from telemetry_probes.crash.model import Machine, Memory, Module, Now, Registers, Stack, Thread
    from telemetry_probes.crash.process import Lookup
    from telemetry_probes.crash.rules import Row

__all__ = ["CFI", "FRAME_POINTER", "LINK", "WORD_AT_SP", "Limits", "Unwinder", "stack"]

REGISTERS, SIGNAL, INSTRUCTIONS, FAULT, SWITCH = "registers", "signal", "instructions", "fault", "switch"

OUTERMOST = "outermost"
DEADLINE = "deadline"
NO_RULE = "no rule for pc"
NO_MEMORY = "memory not in the core"
CYCLE = "a cycle"
LIMIT = "limit"
NO_CODE = "the return address is not code"
NO_REGISTERS = "no registers"

_FROM_STACK_TO_STACK = (SIGNAL, SWITCH)
_CHECK_EVERY = 128
_MASK = (1 << 64) - 1


class Unwinder:
    """Unwinds the threads of one process, and remembers what it learned of their code."""

    __slots__ = ("_exact", "_limits", "_now", "_process", "_returned")

    def __init__(
        self, modules: Lookup, memory: Memory, machine: Machine, limits: Limits, now: Now,
        loads: Loads | None = None, debug: Callable[[Module], Image | None] | None = None,
    ) -> None:  # fmt: skip
        """`loads` and `debug` as for `process.Process`: without the first no JIT's frame is believed."""
        self._process = Process(machine, modules, memory, loads, debug)
        self._limits = limits
        self._now = now
        self._exact: dict[int, Step] = {}
        self._returned: dict[int, Step] = {}

    def stack(self, thread: Thread, deadline: float) -> Stack:
        """The thread's frames, innermost first: at `deadline` (of `now`) as many as there are. Never raises."""
        machine = self._process.machine
        walk = Walk(self._limits)
        registers = list(thread.registers[: machine.register_count])
        if len(registers) < machine.register_count or registers[machine.pc] is None:
            walk.ended = NO_REGISTERS
        else:
            walk.ended = self._walk(walk, registers, deadline)
        return walk.stack()

    def _walk(self, walk: Walk, registers: Registers, deadline: float) -> str:
        process = self._process
        machine, word = process.machine, process.memory.word
        mask = (1 << 48) - 1 if machine is AARCH64 else _MASK
        sp_at, pc_at = machine.sp, machine.pc
        returns_at = pc_at if machine.link is None else machine.link
        exact, found_by = True, REGISTERS
        floor = registers[sp_at] or 0
        signals: set[int] = set()
        previous: Step | None = None
        repeated = 0
        for count in range(self._limits.steps):
            if not count % _CHECK_EVERY and self._now() >= deadline:
                return DEADLINE
            pc = registers[pc_at]
            if pc is None:
                return NO_MEMORY
            steps = self._exact if exact else self._returned
            step = steps.get(pc)
            if step is None:
                if self._now() >= deadline:
                    return DEADLINE
                step = self._learn(pc, registers, exact)
            if step.simple:
                base = registers[step.cfa_register]
                if base is not None:
                    repeated = repeated + 1 if step is previous else 0
                    if repeated == FRAMES_MIN:
                        repeated = 0
                        base += self._skip(walk, step, registers, base)
                    previous = step
                    cfa = base + step.cfa_offset
                    if cfa <= floor and not (cfa == floor and exact and machine.link is not None):
                        walk.add(step, None, found_by)
                        return OUTERMOST if step.by_hand else CYCLE
                    walk.add(step, cfa, found_by)
                    for register, distance in step.saved:
                        registers[register] = word(cfa + distance)
                    pc = registers[returns_at]
                    if pc is None:
                        return OUTERMOST if step.by_hand else NO_MEMORY
                    if pc == 0:
                        return NO_CODE if exact else OUTERMOST
                    registers[pc_at] = pc & mask
                    registers[sp_at] = floor = cfa
                    exact, found_by = False, step.finds_by
                    continue
            if step.kind == undo.NOT_A_FRAME:
                return OUTERMOST if previous is not None and previous.by_hand else NO_CODE
            previous = step
            ended, after, cfa_found, how = self._undo(step, registers, exact)
            walk.add(step, cfa_found, found_by)
            if ended:
                return OUTERMOST if step.by_hand else ended
            sp = after[sp_at]
            if how in _FROM_STACK_TO_STACK:
                if cfa_found is None or cfa_found in signals or len(signals) >= self._limits.signals:
                    return CYCLE
                signals.add(cfa_found)
                floor = sp or 0  # which may be anywhere
            elif cfa_found is not None:
                if cfa_found < floor or (cfa_found == floor and not exact):
                    return OUTERMOST if step.by_hand else CYCLE
                floor = cfa_found
            pc = after[pc_at]
            if pc is None:
                return NO_MEMORY
            if pc == 0 and how != SIGNAL:  # a signal may well have interrupted a call to 0
                return NO_CODE if exact else OUTERMOST
            after[pc_at] = process.code(pc)
            registers, exact, found_by = after, how in (SIGNAL, FAULT), how
        return LIMIT

    def _skip(self, walk: Walk, step: Step, registers: Registers, base: int) -> int:
        """Pass over frames that are all alike: by how many bytes. Those of the stack's bottom are left to be walked."""
        machine, memory = self._process.machine, self._process.memory
        cfa, saved = base + step.cfa_offset, dict(step.saved)
        returns = saved.get(machine.pc if machine.link is None else machine.link, 0)
        chain = saved.get(machine.fp, 0) if step.cfa_register == machine.fp else None
        if chain is not None:
            stride = (memory.word(cfa + chain) or 0) - base
        else:
            stride = step.cfa_offset if step.cfa_register == machine.sp else 0
        found = alike(memory, cfa, base, stride, (returns, step.pc), chain)
        skipped = found - self._limits.bottom
        if skipped <= 0 or not walk.skip(skipped):
            return 0
        distance = skipped * stride
        for register, place in saved.items():
            registers[register] = memory.word(cfa + distance - stride + place)
        registers[machine.sp] = cfa + distance - stride
        return distance

    def _learn(self, pc: int, registers: Registers, exact: bool) -> Step:
        """The step for a pc that is met for the first time."""
        step = self._look(pc, registers, exact)
        steps = self._exact if exact else self._returned
        if len(steps) >= 1 << 16:
            steps.clear()
        steps[pc] = step
        return step

    def _look(self, pc: int, registers: Registers, exact: bool) -> Step:
        process = self._process
        machine, plain = process.machine, process.code(pc)
        module = process.module(plain)
        if is_trampoline(machine, process.memory, plain):
            return Step(undo.TRAMPOLINE, plain, plain, module)
        if not process.is_code(plain):
            return Step(undo.NOWHERE if exact else undo.NOT_A_FRAME, plain, plain, module)
        lookup_pc = plain if exact else plain - 1
        row = process.row(lookup_pc)
        if not exact and process.called(plain) == NO_CALL and (row is None or not row.signal):
            return self._by_hand(plain, module, row)
        manner = process.manner(lookup_pc)
        if manner == gostack.LAST or (manner == gostack.SWITCHED and not exact):
            return Step(undo.LAST if manner == gostack.LAST else undo.SWITCHED, plain, lookup_pc, module, row)
        finds_by = FAULT if manner == gostack.FAULTED else CFI
        if row is None:
            row = guesses.proven(process, plain, lookup_pc, registers)
            finds_by = INSTRUCTIONS
        if row is None:
            return Step(undo.GUESS, plain, lookup_pc, module)
        step = undo.by_row(plain, lookup_pc, module, row, machine, exact)
        step.finds_by = finds_by
        step.simple = step.simple and finds_by != FAULT
        return step

    def _by_hand(self, pc: int, module: Module | None, row: Row | None) -> Step:
        """The step for an address that no call returns to: put there by makecontext, a coroutine, Go's runtime, which
        have the start of a function there; or by whatever wrote over the stack. `row` is that of the byte before."""
        process = self._process
        bias = module.bias if module is not None else 0
        if process.manner(pc) == gostack.RESUMED and (resumed := process.row(pc)) is not None:
            return undo.by_row(pc, pc, module, resumed, process.machine, False)
        lookup_pc = pc - 1
        if row is None or row.start + bias != lookup_pc:
            row, lookup_pc = process.row(pc), pc
        if row is None or row.start + bias != lookup_pc:
            return Step(undo.NOT_A_FRAME, pc, pc, module)
        step = undo.by_row(pc, lookup_pc, module, row, process.machine, False)
        step.by_hand = True
        return step

    def _undo(self, step: Step, registers: Registers, exact: bool) -> tuple[str, Registers, int | None, str]:
        """Why the stack ends or an empty string, the caller's registers, this frame's CFA, and how it was found."""
        process = self._process
        machine = process.machine
        if step.kind == undo.LAST:
            return OUTERMOST, registers, None, CFI
        if step.kind == undo.SWITCHED:
            left = self._left(step, registers[machine.fp])
            return ("", left, left[machine.sp], SWITCH) if left is not None else (NO_RULE, registers, None, SWITCH)
        if step.kind == undo.TRAMPOLINE:
            sp = registers[machine.sp]
            found = interrupted(machine, process.memory, sp) if sp is not None else None
            return ("", found, sp, SIGNAL) if found is not None else (NO_MEMORY, registers, None, SIGNAL)
        if step.kind == undo.TABLE and step.row is not None:
            ended, after, cfa = self._apply(step.row, registers)
            if after is not None:
                return ended, after, cfa, SIGNAL if step.row.signal else step.finds_by
            if ended != NO_RULE:
                return ended, registers, cfa, CFI
        if step.kind == undo.NOWHERE:
            guess = guesses.nowhere(process, step.pc, registers)
        else:
            guess = guesses.guess(process, step.lookup_pc, registers, exact)
        if guess is None:
            outermost = not exact and (process.is_entry(step.pc) or registers[machine.fp] == 0)
            return OUTERMOST if outermost else NO_RULE, registers, None, CFI
        return "", guess.registers, guess.cfa, guess.found_by

    def _left(self, step: Step, fp: int | None) -> Registers | None:
        """The registers where Go's runtime left the stack on which a function had been called, as far as it's known."""
        machine = self._process.machine
        if step.row is None or step.module is None:
            return None
        found = gostack.caller(self._process, step.row.start + step.module.bias, fp)
        if found is None:
            return None
        registers: Registers = [None] * machine.register_count
        registers[machine.pc], registers[machine.sp], registers[machine.fp] = found
        return registers

    def _apply(self, row: Row, registers: Registers) -> tuple[str, Registers | None, int | None]:
        """The caller's registers by a row of any kind, or None and why not."""
        process = self._process
        machine, memory = process.machine, process.memory
        cfa = self._cfa(row, registers)
        if cfa is None:
            return NO_RULE, None, None
        after = list(registers)
        after[machine.sp] = cfa
        address: int | None = None
        told = False
        for register, kind, given in row.rules:
            value: int | None = None
            if isinstance(given, bytes):
                value = evaluate(given, registers, memory, cfa)
                if kind == rules.EXPRESSION and value is not None:
                    value = memory.word(value)
            elif kind == rules.OFFSET:
                value = memory.word(cfa + given & _MASK)
            elif kind == rules.VAL_OFFSET:
                value = cfa + given & _MASK
            elif kind == rules.REGISTER:
                value = registers[given] if given < len(registers) else None
            if register == row.return_register:
                address, told = value, True
            if register < len(after):
                after[register] = value
        if not told:
            # On aarch64 a leaf's return address is still in its register; on x86_64 there is always a rule
            if machine.link is None or row.return_register >= len(registers):
                return NO_RULE, None, cfa
            address = registers[row.return_register]
        if address is None:
            return NO_MEMORY, None, cfa
        after[machine.pc] = address
        return "", after, cfa

    def _cfa(self, row: Row, registers: Registers) -> int | None:
        if row.cfa_expression is not None:
            return evaluate(row.cfa_expression, registers, self._process.memory, None)
        base = registers[row.cfa_register] if row.cfa_register < len(registers) else None
        if base is not None:
            return base + row.cfa_offset & _MASK
        machine = self._process.machine
        fp = registers[machine.fp]
        if machine.link is not None and fp is not None:
            # After a step by frame pointer sp isn't known, but the record that fp points to is where the rules say
            at = {register: given for register, kind, given in row.rules if kind == rules.OFFSET}
            record, link = at.get(machine.fp), at.get(machine.link)
            if isinstance(record, int) and link == record + 8:
                return fp - record & _MASK
        return None


def stack(
    thread: Thread, modules: Lookup, memory: Memory, machine: Machine, limits: Limits, now: Now, deadline: float
) -> Stack:
    """The stack of one thread. For all threads of a process make one `Unwinder`, which remembers."""
    return Unwinder(modules, memory, machine, limits, now).stack(thread, deadline)
