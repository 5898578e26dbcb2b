# SPDX-License-Identifier: Apache-2.0
"""DWARF expressions as unwind tables use them (DWARF 5, 2.5 and 6.4.2). Pure: bytes, registers and memory in, a number
out.

An expression is hostile: it may loop for ever, run off its end or ask for what isn't there. Then the answer is None;
nothing raises. Never in here: expressions of debug information that need more than registers and memory.
"""

from __future__ import annotations

from telemetry_probes.crash.leb import sleb, uleb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.crash.model import Memory

STEPS_MAX = 1000
"""Operations of one evaluation: real ones of unwind tables have fewer than 20."""
DEPTH_MAX = 64

_MASK = (1 << 64) - 1
_SIGN = 1 << 63

_CONSTANTS = {  # operation: bytes of its number, signed
    0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True), 0x0C: (4, False), 0x0D: (4, True),
    0x0E: (8, False), 0x0F: (8, True), 0x03: (8, False),
}  # fmt: skip


def evaluate(expression: bytes, registers: Sequence[int | None], memory: Memory, start: int | None) -> int | None:
    """The value on top when `expression` ends, an unsigned 64 bit number, or None where there is none.

    `start` is pushed first (the canonical frame address, for the rule of a register); `registers` are in DWARF's order.
    """
    try:
        return _run(expression, registers, memory, [] if start is None else [start])
    except IndexError:  # the stack or the expression ended too early, or a register doesn't exist
        return None


def _signed(value: int) -> int:
    return value - (1 << 64) if value & _SIGN else value


def _run(code: bytes, registers: Sequence[int | None], memory: Memory, stack: list[int]) -> int | None:
    at = 0
    for _step in range(STEPS_MAX):
        if at == len(code):
            return stack[-1] if stack else None
        if len(stack) > DEPTH_MAX:
            return None
        op = code[at]
        at += 1
        if 0x70 <= op <= 0x8F or op == 0x92:  # DW_OP_breg0.., DW_OP_bregx
            if op == 0x92:
                number, at = uleb(code, at)
            else:
                number = op - 0x70
            offset, at = sleb(code, at)
            base = registers[number]
            if base is None:
                return None
            stack.append(base + offset & _MASK)
        elif 0x30 <= op <= 0x4F:  # DW_OP_lit0..
            stack.append(op - 0x30)
        elif op in _CONSTANTS:
            size, signed = _CONSTANTS[op]
            raw = code[at : at + size]
            if len(raw) < size:
                return None
            stack.append(int.from_bytes(raw, "little", signed=signed) & _MASK)
            at += size
        elif op in (0x06, 0x94):  # DW_OP_deref, DW_OP_deref_size
            size = 8
            if op == 0x94:
                size = code[at]
                at += 1
            found = memory.read(stack.pop(), size) if 0 < size <= 8 else None
            if found is None:
                return None
            stack.append(int.from_bytes(found, "little"))
        elif op == 0x10:  # DW_OP_constu
            value, at = uleb(code, at)
            stack.append(value & _MASK)
        elif op == 0x11:  # DW_OP_consts
            value, at = sleb(code, at)
            stack.append(value & _MASK)
        elif op == 0x23:  # DW_OP_plus_uconst
            value, at = uleb(code, at)
            stack.append(stack.pop() + value & _MASK)
        elif op in (0x28, 0x2F):  # DW_OP_bra, DW_OP_skip
            raw = code[at : at + 2]
            if len(raw) < 2:
                return None
            at += 2
            if op == 0x2F or stack.pop():
                at += int.from_bytes(raw, "little", signed=True)
                if not 0 <= at <= len(code):
                    return None
        elif op == 0x15:  # DW_OP_pick
            index = code[at]
            at += 1
            stack.append(stack[-1 - index])
        elif op != 0x96 and not _stack_operation(op, stack):  # DW_OP_nop
            return None
    return None


def _stack_operation(op: int, stack: list[int]) -> bool:
    """Do what needs nothing but the stack; False for an operation that isn't known."""
    if op == 0x12:  # DW_OP_dup
        stack.append(stack[-1])
    elif op == 0x13:  # DW_OP_drop
        stack.pop()
    elif op == 0x14:  # DW_OP_over
        stack.append(stack[-2])
    elif op == 0x16:  # DW_OP_swap
        stack[-1], stack[-2] = stack[-2], stack[-1]
    elif op == 0x17:  # DW_OP_rot
        stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]
    elif op == 0x19:  # DW_OP_abs
        stack[-1] = abs(_signed(stack[-1])) & _MASK
    elif op == 0x1F:  # DW_OP_neg
        stack[-1] = -stack[-1] & _MASK
    elif op == 0x20:  # DW_OP_not
        stack[-1] = ~stack[-1] & _MASK
    else:
        right = stack.pop()
        value = _binary(op, stack[-1], right)
        if value is None:
            return False
        stack[-1] = value & _MASK
    return True


def _binary(op: int, left: int, right: int) -> int | None:
    if op == 0x1A:  # DW_OP_and
        return left & right
    if op == 0x1B:  # DW_OP_div: signed, towards zero
        a, b = _signed(left), _signed(right)
        return None if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if op == 0x1C:  # DW_OP_minus
        return left - right
    if op == 0x1D:  # DW_OP_mod: unsigned
        return left % right if right else None
    if op == 0x1E:  # DW_OP_mul
        return left * right
    if op == 0x21:  # DW_OP_or
        return left | right
    if op == 0x22:  # DW_OP_plus
        return left + right
    if op == 0x24:  # DW_OP_shl
        return left << right if right < 64 else 0
    if op == 0x25:  # DW_OP_shr
        return left >> right if right < 64 else 0
    if op == 0x26:  # DW_OP_shra
        return _signed(left) >> min(right, 63)
    if op == 0x27:  # DW_OP_xor
        return left ^ right
    a, b = _signed(left), _signed(right)
    if op == 0x29:  # DW_OP_eq
        return int(a == b)
    if op == 0x2A:  # DW_OP_ge
        return int(a >= b)
    if op == 0x2B:  # DW_OP_gt
        return int(a > b)
    if op == 0x2C:  # DW_OP_le
        return int(a <= b)
    if op == 0x2D:  # DW_OP_lt
        return int(a < b)
    if op == 0x2E:  # DW_OP_ne
        return int(a != b)
    return None
