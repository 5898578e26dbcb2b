# SPDX-License-Identifier: Apache-2.0
"""How a call is undone: the row that a call frame program gives for one address (DWARF 5, 6.4). Pure: bytes in, a `Row`
out.

The rules of a row say where the caller's registers are, measured from the canonical frame address (CFA). Programs are
hostile: their instructions, bytes and remembered rows are counted, and what makes no sense gives None. Never in here:
where a program is found (`cfi`), and memory (`unwind` applies a row).
"""

from __future__ import annotations

from telemetry_probes.crash.leb import sleb, uleb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Rules = dict[int, tuple[int, int | bytes]]
    Cfa = tuple[int, int] | bytes | None
    ReadPointer = Callable[[int], tuple[int | None, int]]

INSTRUCTIONS_MAX = 20_000
PROGRAM_BYTES_MAX = 1 << 16
REMEMBERED_MAX = 64

# What a rule says: the value is at CFA + n; is CFA + n; is that of register n; is at an expression's address; is an
# expression's value; unknown (for the return address: there is no caller); unchanged.
OFFSET, VAL_OFFSET, REGISTER, EXPRESSION, VAL_EXPRESSION, UNDEFINED, SAME = range(7)


class Row:
    """What holds at an address. The CFA is `cfa_register` + `cfa_offset`, or the value of `cfa_expression`.

    `rules` are (register, kind, value), by register; a register without one is unchanged. `return_register` is the one
    that holds pc in the caller. `signal`: this frame was made by the kernel to call a handler (augmentation S).
    `start` is where the function (its table entry) begins.
    """

    __slots__ = ("cfa_expression", "cfa_offset", "cfa_register", "return_register", "rules", "signal", "start")

    def __init__(
        self, cfa_register: int, cfa_offset: int, cfa_expression: bytes | None,
        rules: tuple[tuple[int, int, int | bytes], ...], return_register: int, signal: bool, start: int,
    ) -> None:  # fmt: skip
        self.cfa_register = cfa_register
        self.cfa_offset = cfa_offset
        self.cfa_expression = cfa_expression
        self.rules = rules
        self.return_register = return_register
        self.signal = signal
        self.start = start


class State:
    """A row while a program runs over it."""

    __slots__ = ("cfa", "rules")

    def __init__(self, cfa: Cfa, rules: Rules) -> None:
        self.cfa = cfa
        self.rules = rules


def run(
    code: memoryview, state: State, initial: Rules, location: int, target: int, code_align: int, data_align: int,
    read_pointer: ReadPointer,
) -> bool:  # fmt: skip
    """Run a program over `state` until its location is past `target`. False where it makes no sense.

    `initial` are the rules after the common part, which DW_CFA_restore goes back to. `read_pointer` reads an address in
    the encoding of the table at an offset of `code`, and says where it ends.
    """
    try:
        return _run(code, state, initial, location, target, code_align, data_align, read_pointer)
    except IndexError:  # ended in the middle of an instruction
        return False


def row(state: State, return_register: int, signal: bool, start: int) -> Row | None:
    """The row that a program left; None where it has no CFA."""
    cfa = state.cfa
    if cfa is None:
        return None
    rules = tuple((register, kind, value) for register, (kind, value) in sorted(state.rules.items()) if kind != SAME)
    if isinstance(cfa, bytes):
        return Row(0, 0, cfa, rules, return_register, signal, start)
    return Row(cfa[0], cfa[1], None, rules, return_register, signal, start)


def _run(
    code: memoryview, state: State, initial: Rules, location: int, target: int, code_align: int, data_align: int,
    read_pointer: ReadPointer,
) -> bool:  # fmt: skip
    rules, cfa = state.rules, state.cfa
    remembered: list[tuple[Cfa, Rules]] = []
    at, end = 0, len(code)
    if end > PROGRAM_BYTES_MAX:
        return False
    for _count in range(INSTRUCTIONS_MAX):
        if at >= end:
            break
        op = code[at]
        at += 1
        high = op & 0xC0
        if high == 0x40:  # DW_CFA_advance_loc
            location += (op & 0x3F) * code_align
            if location > target:
                break
        elif high == 0x80:  # DW_CFA_offset
            value, at = uleb(code, at)
            rules[op & 0x3F] = OFFSET, value * data_align
        elif high == 0xC0:  # DW_CFA_restore
            _restore(op & 0x3F, rules, initial)
        elif op == 0x0E:  # DW_CFA_def_cfa_offset
            value, at = uleb(code, at)
            if not isinstance(cfa, tuple):
                return False
            cfa = cfa[0], value
        elif 0x02 <= op <= 0x04:  # DW_CFA_advance_loc1, 2, 4
            size = 1 << op - 2
            if at + size > end:
                return False
            location += int.from_bytes(code[at : at + size], "little") * code_align
            at += size
            if location > target:
                break
        elif op == 0x0A:  # DW_CFA_remember_state
            if len(remembered) >= REMEMBERED_MAX:
                return False
            remembered.append((cfa, dict(rules)))
        elif op == 0x0B:  # DW_CFA_restore_state
            if not remembered:
                return False
            cfa, rules = remembered.pop()
        elif op == 0x0C or op == 0x12:  # DW_CFA_def_cfa, _sf
            register, at = uleb(code, at)
            offset, at = uleb(code, at) if op == 0x0C else sleb(code, at)
            cfa = register, offset if op == 0x0C else offset * data_align
        elif op == 0x0D:  # DW_CFA_def_cfa_register
            register, at = uleb(code, at)
            if not isinstance(cfa, tuple):
                return False
            cfa = register, cfa[1]
        elif op == 0x13:  # DW_CFA_def_cfa_offset_sf
            offset, at = sleb(code, at)
            if not isinstance(cfa, tuple):
                return False
            cfa = cfa[0], offset * data_align
        elif op == 0x0F:  # DW_CFA_def_cfa_expression
            expression, at = _block(code, at)
            cfa = expression
        elif op == 0x01:  # DW_CFA_set_loc
            moved, at = read_pointer(at)
            if moved is None:
                return False
            location = moved
            if location > target:
                break
        elif op == 0x00 or op == 0x2D or op == 0x2C:
            pass  # DW_CFA_nop, DW_CFA_AARCH64_negate_ra_state (and _with_pc): the code's signature is always cut off
        elif op == 0x2E:  # DW_CFA_GNU_args_size
            _size, at = uleb(code, at)
        else:
            after = _rule(op, code, at, rules, initial, data_align)
            if after is None:
                return False
            at = after
    else:
        return False
    state.cfa, state.rules = cfa, rules
    return True


def _rule(op: int, code: memoryview, at: int, rules: Rules, initial: Rules, data_align: int) -> int | None:
    """The instructions that set one register's rule. Where it ends, or None for one that isn't known."""
    register, at = uleb(code, at)
    if op == 0x05:  # DW_CFA_offset_extended
        value, at = uleb(code, at)
        rules[register] = OFFSET, value * data_align
    elif op == 0x11:  # DW_CFA_offset_extended_sf
        value, at = sleb(code, at)
        rules[register] = OFFSET, value * data_align
    elif op == 0x2F:  # DW_CFA_GNU_negative_offset_extended
        value, at = uleb(code, at)
        rules[register] = OFFSET, -value * data_align
    elif op == 0x06:  # DW_CFA_restore_extended
        _restore(register, rules, initial)
    elif op == 0x07:  # DW_CFA_undefined
        rules[register] = UNDEFINED, 0
    elif op == 0x08:  # DW_CFA_same_value
        rules[register] = SAME, 0
    elif op == 0x09:  # DW_CFA_register
        value, at = uleb(code, at)
        rules[register] = REGISTER, value
    elif op == 0x10 or op == 0x16:  # DW_CFA_expression, DW_CFA_val_expression
        expression, at = _block(code, at)
        rules[register] = EXPRESSION if op == 0x10 else VAL_EXPRESSION, expression
    elif op == 0x14:  # DW_CFA_val_offset
        value, at = uleb(code, at)
        rules[register] = VAL_OFFSET, value * data_align
    elif op == 0x15:  # DW_CFA_val_offset_sf
        value, at = sleb(code, at)
        rules[register] = VAL_OFFSET, value * data_align
    else:
        return None
    return at


def _restore(register: int, rules: Rules, initial: Rules) -> None:
    rule = initial.get(register)
    if rule is None:
        rules.pop(register, None)
    else:
        rules[register] = rule


def _block(code: memoryview, at: int) -> tuple[bytes, int]:
    size, at = uleb(code, at)
    if size > len(code) - at:
        raise IndexError
    return bytes(code[at : at + size]), at + size
