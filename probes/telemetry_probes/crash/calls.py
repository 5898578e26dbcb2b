# SPDX-License-Identifier: Apache-2.0
"""What machine code says about calls: whether one ends at an address and what it called, and the signal trampoline.

Pure: the code is read through `Memory`. This is how a return address that was guessed is told from any other number:
the instruction before it has to be a call. Sources: Intel SDM 2 (CALL), Arm ARM C6.2 (BL, BLR), rt_sigframe in the
kernel's arch/x86/include/asm/sigframe.h and arch/arm64/kernel/signal.c. Never in here: whole functions (`prologue`).
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash.model import X86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Machine, Memory, Registers

NO_CALL, UNREADABLE, INDIRECT = -1, -2, -3
"""What `called` answers where it can't tell an address: none ends there; nobody knows; through a register or memory."""

_MASK = (1 << 64) - 1
_PLT_SIZE = 16
_X86_CONTEXT = Struct("<17Q")
_X86_CONTEXT_AT = 40  # ucontext_t: flags, link, stack_t
_X86_ORDER = (13, 12, 14, 11, 9, 8, 10, 15, *range(8), 16)  # of r8..r15 rdi rsi rbp rbx rdx rax rcx rsp rip
_ARM_CONTEXT = Struct("<33Q")
_ARM_CONTEXT_AT = 128 + 176 + 8  # siginfo_t; ucontext_t up to its aligned mcontext; fault_address
_X86_TRAMPOLINES = (b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", b"\xb8\x0f\x00\x00\x00\x0f\x05")  # mov $15; syscall
_ARM_TRAMPOLINE = b"\x68\x11\x80\xd2\x01\x00\x00\xd4"  # mov x8, #139; svc #0


def called(machine: Machine, memory: Memory, address: int) -> int:
    """What the call that returns to `address` called, followed through the PLT where memory has the slot.

    NO_CALL, UNREADABLE or INDIRECT where there is no such address.
    """
    if machine is X86_64:
        return _called_x86(memory, address)
    raw = memory.read(address - 4, 4) if address % 4 == 0 else b""
    if raw is None:
        return UNREADABLE
    code = int.from_bytes(raw, "little")
    if code & 0xFC000000 == 0x94000000:  # bl
        return _through_plt_arm(memory, address - 4 + 4 * _signed(code & 0x3FFFFFF, 26) & _MASK)
    if code & 0xFFFFFC1F == 0xD63F0000 or code & 0xFEFFF800 == 0xD63F0800:  # blr; blraa and its like
        return INDIRECT
    return NO_CALL


def is_trampoline(machine: Machine, memory: Memory, pc: int) -> bool:
    """Does a handler that returns to `pc` leave its signal there (rt_sigreturn)?"""
    if machine is X86_64:
        first = memory.read(pc, 7)
        if first is None or first[0] not in (0x48, 0xB8):
            return False
        return any(memory.read(pc, len(code)) == code for code in _X86_TRAMPOLINES)
    return memory.read(pc, 8) == _ARM_TRAMPOLINE


def interrupted(machine: Machine, memory: Memory, sp: int) -> Registers | None:
    """The registers that the kernel saved at `sp` before it called a handler; None where they aren't at hand."""
    if machine is X86_64:
        raw = memory.read(sp + _X86_CONTEXT_AT, _X86_CONTEXT.size)
        if raw is None:
            return None
        saved = _X86_CONTEXT.unpack(raw)
        return [saved[at] for at in _X86_ORDER]
    raw = memory.read(sp + _ARM_CONTEXT_AT, _ARM_CONTEXT.size)
    return None if raw is None else list(_ARM_CONTEXT.unpack(raw))


def _called_x86(memory: Memory, address: int) -> int:
    raw = memory.read(address - 7, 7)
    if raw is None:
        raw = memory.read(address - 5, 5)
        if raw is None:
            return UNREADABLE
        raw = b"\x90\x90" + raw
    if raw[2] == 0xE8:
        return _through_plt_x86(memory, address + _signed(int.from_bytes(raw[3:], "little"), 32) & _MASK)
    if raw[1] == 0xFF and raw[2] == 0x15:  # call *slot(%rip)
        slot = address + _signed(int.from_bytes(raw[3:], "little"), 32) & _MASK
        target = memory.word(slot)
        return INDIRECT if target is None else target
    for size in (2, 3, 4, 6, 7):
        if raw[7 - size] == 0xFF and _call_size(raw, 8 - size) == size:
            return INDIRECT
    return NO_CALL


def _call_size(raw: bytes, at: int) -> int:
    """The bytes of `call *operand`, from 0xff on; `at` is the byte after it. 0 where it's another instruction."""
    modrm = raw[at]
    if modrm >> 3 & 7 != 2:
        return 0
    mod, rm = modrm >> 6, modrm & 7
    if mod == 3:
        return 2
    size = 2 + (0, 1, 4)[mod]
    if rm == 4:
        size += 1
        if mod == 0 and at + 1 < len(raw) and raw[at + 1] & 7 == 5:
            size += 4
    elif mod == 0 and rm == 5:
        size += 4
    return size


def _through_plt_x86(memory: Memory, target: int) -> int:
    raw = memory.read(target, _PLT_SIZE)
    if raw is None:
        return target
    at = 4 if raw.startswith(b"\xf3\x0f\x1e\xfa") else 0  # endbr64
    at += raw[at] == 0xF2  # bnd
    if raw[at : at + 2] != b"\xff\x25":
        return target
    slot = target + at + 6 + _signed(int.from_bytes(raw[at + 2 : at + 6], "little"), 32)
    found = memory.word(slot & _MASK)
    return INDIRECT if found is None else found


def _through_plt_arm(memory: Memory, target: int) -> int:
    raw = memory.read(target, 12)
    if raw is None:
        return target
    page, load = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")
    if page == 0xD503245F:  # bti c
        raw = memory.read(target + 4, 12)
        if raw is None:
            return INDIRECT
        page, load = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")
        target += 4
    if page & 0x9F00001F != 0x90000010 or load & 0xFFC003FF != 0xF9400211:  # adrp x16, page; ldr x17, [x16, #n]
        return target
    distance = _signed((page >> 5 & 0x7FFFF) << 2 | page >> 29 & 3, 21) << 12
    found = memory.word((target & -4096) + distance + (load >> 10 & 0xFFF) * 8 & _MASK)
    return INDIRECT if found is None else found


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
