# SPDX-License-Identifier: Apache-2.0
"""Where a function of x86_64 without unwind tables keeps its return address: its instructions up to a place, followed
in a straight line. Pure: bytes in, a row of rules out.

Only instructions that move sp or set rbp matter; of the others the length is enough (Intel SDM 2, appendix A). Behind
a return or a jump goes on what was true where a jump to there stood, otherwise what was true in the function's body.
The answer is a claim: whoever uses it checks that a call of this very function lies before the return address.
"""

from __future__ import annotations

from telemetry_probes.crash.model import X86_64
from telemetry_probes.crash.rules import OFFSET, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    State = tuple[int | None, int | None, tuple[tuple[int, int], ...]]
    """Bytes from sp to the return address and from rbp to it, where known; (register, the same of where it's saved)."""

CODE_MAX = 1 << 14
"""Bytes of a function that are followed."""
DEPTH_MAX = 64 << 20
TAIL_INSTRUCTIONS_MAX = 8

ENTERED: State = (0, None, ())
"""At a function's first instruction."""

_PREFIXES = frozenset(b"\x66\x67\xf2\xf3\x2e\x36\x3e\x26\x64\x65\xf0")
_REGISTERS = (0, 2, 1, 3, 7, 6, 4, 5)  # DWARF's numbers of rax rcx rdx rbx rsp rbp rsi rdi
_INVALID = frozenset(b"\x06\x07\x0e\x16\x17\x1e\x1f\x27\x2f\x37\x3f\x60\x61\x82\x9a\xce\xd4\xd5\xd6\xea")
_MODRM = frozenset(
    [op for op in range(0x40) if op & 7 < 4] + [0x63, 0x69, 0x6B, 0x80, 0x81, 0x83, 0xC0, 0xC1, 0xC6, 0xC7, 0xFE, 0xFF]
    + [*range(0x84, 0x90), *range(0xD0, 0xD4), *range(0xD8, 0xE0), 0xF6, 0xF7]
)  # fmt: skip
_BYTE = frozenset(
    [op for op in range(0x40) if op & 7 == 4] + [0x6A, 0x6B, 0x80, 0x83, 0xA8, 0xC0, 0xC1, 0xC6, 0xCD, 0xEB]
    + [*range(0x70, 0x80), *range(0xB0, 0xB8), *range(0xE0, 0xE8)]
)  # fmt: skip
_LARGE = frozenset([op for op in range(0x40) if op & 7 == 5] + [0x68, 0x69, 0x81, 0xA9, 0xC7])
_PLAIN_0F = frozenset(
    b"\x05\x06\x08\x09\x0b\x0e\x77\xa0\xa1\xa2\xa8\xa9\xaa" + bytes([*range(0x30, 0x38), *range(0xC8, 0xD0)])
)
_BYTE_0F = frozenset(b"\x70\x71\x72\x73\xa4\xac\xba\xc2\xc4\xc5\xc6")
_ENDS = frozenset(b"\xc3\xc2\xe9\xeb\xf4")  # ret, jmp, hlt


class Instruction:
    """`table` is 0 for one byte opcodes and 0x0f for the others; `modrm` is -1 where there is none."""

    __slots__ = ("immediate", "modrm", "op", "rex", "size", "table")

    def __init__(self, table: int, op: int, rex: int, modrm: int, immediate: int, size: int) -> None:
        """`immediate` is the number at its end, signed; of an address without one the displacement."""
        self.table = table
        self.op = op
        self.rex = rex
        self.modrm = modrm
        self.immediate = immediate
        self.size = size


def row(code: bytes, state: State = ENTERED) -> Row | None:
    """The rules after the last instruction of `code`, which begins with the function's first one.

    `state` is another one at its start, where `code` is a part that the function jumps to. None where the bytes aren't
    instructions that end there, or where neither sp nor rbp leads to the return address.
    """
    ended = _follow(code, state, None)
    if ended is None:
        return None
    depth, frame, saved = ended
    if depth is not None and 0 <= depth < DEPTH_MAX:
        base, distance = X86_64.sp, depth
    elif frame is not None:
        base, distance = X86_64.fp, frame
    else:
        return None
    rules = [(register, OFFSET, -8 - place) for register, place in saved] + [(X86_64.pc, OFFSET, -8)]
    return Row(base, distance + 8, None, tuple(sorted(rules)), X86_64.pc, False, 0)


def jumps(code: bytes) -> dict[int, State]:
    """Where the instructions of `code` jump to outside of it, from its start, and the state that each arrives with.

    Compilers move what is unlikely into a part of its own, elsewhere. `code` may end in the middle of anything.
    """
    found: dict[int, State] = {}
    _follow(code, ENTERED, found)
    return found


def _follow(code: bytes, state: State, outside: dict[int, State] | None) -> State | None:
    """The state after `code`, or None. With `outside` it may end anywhere, and jumps out of it are put there."""
    body, called = state, False
    waiting: dict[int, State] = {}
    at = 0
    while at < len(code):
        found = instruction(code, at)
        if found is None:
            return None
        at += found.size
        after = _after(found, state)
        ends = found.table == 0 and (found.op in _ENDS or (found.op == 0xFF and found.modrm >> 3 & 7 == 4))
        jumps = (found.table == 0 and (0x70 <= found.op <= 0x7F or found.op in (0xEB, 0xE9))) or (
            found.table == 0x0F and 0x80 <= found.op <= 0x8F
        )
        if jumps and found.immediate > 0:
            waiting.setdefault(at + found.immediate, after)
        if jumps and outside is not None and not 0 <= at + found.immediate < len(code):
            outside.setdefault(at + found.immediate, after)
        called = called or (found.table == 0 and (found.op == 0xE8 or (found.op == 0xFF and found.modrm >> 3 & 7 == 2)))
        if not called and _grew(state, after):
            body = after
        if ends or (found.table == 0x0F and found.op == 0x0B):
            if outside is not None and not any(target >= at for target in waiting):
                return after  # nothing jumps to what follows: the function's end
            after = waiting.get(at, body)
        elif at in waiting and after[0] is None:
            after = waiting[at]
        state = after
    return state if at == len(code) else None


def tail_jump(code: bytes) -> int | None:
    """Where a function goes on that soon jumps to another one with nothing on the stack, from its start; or None."""
    at = 0
    for _count in range(TAIL_INSTRUCTIONS_MAX):
        found = instruction(code, at)
        if found is None or _after(found, ENTERED) != ENTERED:
            return None
        at += found.size
        if found.table == 0 and found.op in (0xE9, 0xEB):
            return at + found.immediate
    return None


def instruction(code: bytes, at: int) -> Instruction | None:
    """The instruction at an offset; None where there is none or it goes on past the end."""
    try:
        found = _instruction(code, at)
    except IndexError:
        return None
    return found if found is None or at + found.size <= len(code) else None


def _instruction(code: bytes, start: int) -> Instruction | None:
    at, rex, small, short_address = start, 0, False, False
    while code[at] in _PREFIXES:
        small = small or code[at] == 0x66
        short_address = short_address or code[at] == 0x67
        at += 1
    if 0x40 <= code[at] <= 0x4F:
        rex = code[at]
        at += 1
    op = code[at]
    at += 1
    table = immediate = 0
    large = 2 if small and not rex & 8 else 4
    if op in (0xC4, 0xC5, 0x62):  # VEX, EVEX
        maps = 1 if op == 0xC5 else code[at] & (0x1F if op == 0xC4 else 7)
        at += {0xC5: 1, 0xC4: 2, 0x62: 3}[op]
        table, op, at = 0x0F, code[at], at + 1
        has_modrm = not (maps == 1 and op == 0x77)
        immediate = int(maps == 3 or (maps == 1 and op in _BYTE_0F))
        op = 0x38  # none that matters
    elif op == 0x8F and code[at] & 0x1F >= 8:  # XOP
        maps = code[at] & 0x1F
        table, op, at, has_modrm = 0x0F, 0x38, at + 3, True
        immediate = {8: 1, 10: 4}.get(maps, 0)
    elif op == 0x0F:
        table, op, at = 0x0F, code[at], at + 1
        if op in (0x38, 0x3A):
            immediate, at, has_modrm = int(op == 0x3A), at + 1, True
        else:
            has_modrm = op not in _PLAIN_0F and not 0x80 <= op <= 0x8F
            immediate = 4 if 0x80 <= op <= 0x8F else int(op in _BYTE_0F)
    elif op in _INVALID:
        return None
    else:
        has_modrm = op in _MODRM
        immediate = _immediate(op, large, bool(rex & 8), short_address)
        if op in (0xF6, 0xF7) and code[at] >> 3 & 7 < 2:  # test
            immediate = 1 if op == 0xF6 else large
    modrm, displacement = -1, 0
    if has_modrm:
        modrm = code[at]
        at += 1
        size = (0, 1, 4, 0)[modrm >> 6]
        if modrm >> 6 != 3 and modrm & 7 == 4:
            if modrm >> 6 == 0 and code[at] & 7 == 5:
                size = 4
            at += 1
        elif modrm >> 6 == 0 and modrm & 7 == 5:
            size = 4
        displacement = int.from_bytes(code[at : at + size], "little", signed=True)
        at += size
    value = int.from_bytes(code[at : at + immediate], "little", signed=True) if immediate else displacement
    return Instruction(table, op, rex, modrm, value, at + immediate - start)


def _immediate(op: int, large: int, wide: bool, short_address: bool) -> int:
    if op in _BYTE:
        return 1
    if op in _LARGE:
        return large
    if 0xB8 <= op <= 0xBF:
        return 8 if wide else large
    if op in (0xE8, 0xE9):
        return 4
    if 0xA0 <= op <= 0xA3:
        return 4 if short_address else 8
    return {0xC2: 2, 0xCA: 2, 0xC8: 3}.get(op, 0)


def _grew(before: State, after: State) -> bool:
    if after[0] is None or before[0] is None:
        return after[0] is None
    return after[0] > before[0] or (after[1] is not None and before[1] is None)


def _after(found: Instruction, state: State) -> State:
    """What an instruction does to sp, to rbp as the frame's base, and to what was saved."""
    depth, frame, saved = state
    op, modrm, value = found.op, found.modrm, found.immediate
    if found.table:
        return state
    if 0x50 <= op <= 0x57:  # push
        if depth is None:
            return state
        depth += 8
        register = _REGISTERS[op & 7] if not found.rex & 1 else 8 + (op & 7)
        if register in X86_64.callee_saved and all(register != known for known, _place in saved):
            saved += ((register, depth),)
        return depth, frame, saved
    if 0x58 <= op <= 0x5F:  # pop
        if depth is None:
            return state
        register = _REGISTERS[op & 7] if not found.rex & 1 else 8 + (op & 7)
        saved = tuple(entry for entry in saved if entry != (register, depth))
        return depth - 8, None if register == X86_64.fp else frame, saved
    if op in (0x68, 0x6A, 0x9C) or (op == 0xFF and modrm >> 3 & 7 == 6):  # push, pushf
        return None if depth is None else depth + 8, frame, saved
    if op == 0x9D or (op == 0x8F and modrm >> 3 & 7 == 0):  # popf, pop to memory
        return None if depth is None else depth - 8, frame, saved
    if op == 0xC9:  # leave
        saved = tuple(entry for entry in saved if entry[0] != X86_64.fp)
        return None if frame is None else frame - 8, None, saved
    if modrm < 0:
        return state
    mod, reg, rm = modrm >> 6, modrm >> 3 & 7, modrm & 7
    if op in (0x89, 0x8B) and mod == 3 and found.rex == 0x48:  # mov between registers
        source, target = (reg, rm) if op == 0x89 else (rm, reg)
        if (source, target) == (4, 5):
            return depth, depth, saved
        if (source, target) == (5, 4):
            return frame, frame, saved
    if op in (0x81, 0x83) and mod == 3 and rm == 4 and found.rex == 0x48 and reg in (0, 5, 7):
        if reg == 7:  # cmp
            return state
        return None if depth is None else depth + (value if reg == 5 else -value), frame, saved
    if op == 0x8D and reg == 4 and found.rex == 0x48 and mod in (1, 2):  # lea n(%rsp or %rbp), %rsp
        base = depth if rm == 4 else frame if rm == 5 else None
        return None if base is None else base - value, frame, saved
    return _clobbered(found, mod, reg, rm, state)


def _clobbered(found: Instruction, mod: int, reg: int, rm: int, state: State) -> State:
    """Any other instruction that writes to sp or rbp: what is known of it is no more."""
    op = found.op
    written = -1
    if op in (0x8B, 0x8D, 0x63) or (op < 0x38 and op & 7 == 3):
        written = reg + (8 if found.rex & 4 else 0)
    elif mod == 3 and (op in (0x89, 0xC7) or (op < 0x38 and op & 7 == 1) or (op in (0x81, 0x83) and reg != 7)):
        written = rm + (8 if found.rex & 1 else 0)
    depth, frame, saved = state
    if written == 4:
        return None, frame, saved
    if written == 5:
        return depth, None, saved
    return state
