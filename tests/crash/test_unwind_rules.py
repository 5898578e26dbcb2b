# SPDX-License-Identifier: Apache-2.0
"""Stacks: memory laid out by hand for each rule that leads to a caller, and each trap. Cores: test_unwind.py."""

from __future__ import annotations

import struct
import time

from telemetry_probes.crash import elf, unwind
from telemetry_probes.crash.loads import Loads
from telemetry_probes.crash.model import AARCH64, X86_64, Machine, Module, Stack, Thread
from telemetry_probes.crash.windows import Windows

TEXT, STACK, JIT = 0x10000, 0x7FFF0000, 0x500000


class Process:
    """One module with `code` and no tables, a stack, and perhaps a JIT's page."""

    def __init__(self, code: bytes, machine: Machine = X86_64, jit: bytes = b"") -> None:
        self.machine = machine
        header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        content = header + struct.pack("<HHIQQQIHHHHHH", 3, machine.number, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
        content += struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x2000, 0x2000, 4096)
        content = content.ljust(0x1000, b"\0") + code.ljust(0x1000, b"\xcc")
        image = elf.read(content)
        assert image is not None
        self.module = Module("/bin/program", TEXT, TEXT + 0x2000, TEXT, ((TEXT, TEXT + 0x2000),), "", image, "")
        self.memory = Windows()
        self.memory.add(TEXT, content)
        self.words = bytearray(0x4000)
        self.memory.add(STACK, self.words)
        rows = [(TEXT, 0x2000, 5), (STACK, 0x4000, 6)]
        if jit:
            self.memory.add(JIT, jit.ljust(0x1000, b"\xcc"))
            rows.append((JIT, 0x1000, 5))
        self.loads = Loads(
            b"".join(struct.pack("<IIQQQQQQ", 1, flags, 0, at, 0, size, size, 1) for at, size, flags in rows)
        )

    def at(self, address: int) -> Module | None:
        return self.module if TEXT <= address < TEXT + 0x2000 else None

    def put(self, address: int, *values: int) -> None:
        struct.pack_into(f"<{len(values)}Q", self.words, address - STACK, *values)

    def stack(self, pc: int, sp: int = STACK, limits: unwind.Limits | None = None, **registers: int) -> Stack:
        values: list[int | None] = [0] * self.machine.register_count
        values[self.machine.pc], values[self.machine.sp] = pc, sp
        for name, value in registers.items():
            assert name in ("fp", "link")
            values[self.machine.fp if name == "fp" else 30] = value
        unwinder = unwind.Unwinder(
            self, self.memory, self.machine, limits or unwind.Limits(), time.monotonic, self.loads
        )
        return unwinder.stack(Thread(1, values, 11), time.monotonic() + 60)


CODE = TEXT + 0x1000


def call(at: int, target: int) -> bytes:
    return b"\xe8" + struct.pack("<i", target - at - 5)


def laid_out(*parts: tuple[int, bytes]) -> bytes:
    code = bytearray(b"\xcc" * 0x800)
    for at, part in parts:
        code[at : at + len(part)] = part
    return bytes(code)


def pcs(stack: Stack) -> list[int]:
    return [frame.pc for frame in stack.frames]


def test_a_call_to_nowhere_needs_a_call_before_the_return_address() -> None:
    code = laid_out((0x100, b"\xff\xd0"), (0x200, b"\x90\x90"))
    process = Process(code)
    process.put(STACK, CODE + 0x102)
    assert pcs(process.stack(0x41414141)) == [0x41414141, CODE + 0x102]
    process.put(STACK, CODE + 0x202)  # no call ends there
    stack = process.stack(0x41414141)
    assert pcs(stack) == [0x41414141] and stack.ended == unwind.NO_RULE
    process.put(STACK, STACK + 64)  # not code at all
    assert pcs(process.stack(0)) == [0]


def test_a_return_to_nowhere_has_no_caller() -> None:
    """The stack was overwritten: what lies above the address that was taken needn't be one."""
    process = Process(laid_out((0x100, call(0x100, 0x300))))
    process.put(STACK + 0x100, 0x41414141, CODE + 0x105)
    assert pcs(process.stack(0x41414141, sp=STACK + 0x108)) == [0x41414141]


def test_instructions_lead_past_locals_that_look_like_return_addresses() -> None:
    code = laid_out(
        (0x100, call(0x100, 0x300) + b"\xc3"),  # the true caller
        (0x200, call(0x200, 0x300) + b"\xc3"),  # one that called before: its address is still on the stack
        (0x300, b"\x55\x53\x48\x83\xec\x18\x90\x90"),
    )
    process = Process(code)
    sp = STACK + 0x100
    process.put(sp, CODE + 0x205, 0, CODE + 0x205, 7, 8, CODE + 0x105)
    stack = process.stack(CODE + 0x307, sp=sp)
    assert pcs(stack)[:2] == [CODE + 0x307, CODE + 0x105]
    assert stack.frames[1].found_by == unwind.INSTRUCTIONS and stack.frames[0].cfa == sp + 0x30


def test_a_frame_pointer_is_not_believed_where_the_call_names_another_function() -> None:
    code = laid_out((0x100, call(0x100, 0x700)), (0x300, b"\x90" * 8))
    process = Process(code)
    process.put(STACK + 0x100, STACK + 0x200, CODE + 0x105)
    stack = process.stack(CODE + 0x304, fp=STACK + 0x100)
    assert pcs(stack) == [CODE + 0x304] and stack.ended == unwind.NO_RULE


def test_jit_frames_by_their_frame_pointers() -> None:
    jit = bytes.fromhex("554889e54883ec20ffd6c9c3")
    process = Process(laid_out((0x100, b"\xff\xd0"), (0x300, b"\x31\xc0\x89\x00")), jit=jit)
    process.put(STACK, JIT + 10, *[0] * 20)
    fp = STACK + 8 + 0x20
    process.put(fp, 1, CODE + 0x102)  # the caller keeps no frame pointer: 1 is just a number
    stack = process.stack(CODE + 0x300, fp=fp)
    assert pcs(stack)[:3] == [CODE + 0x300, JIT + 10, CODE + 0x102]
    without = unwind.Unwinder(process, process.memory, X86_64, unwind.Limits(), time.monotonic)
    values: list[int | None] = [0] * 17
    values[16], values[7], values[6] = CODE + 0x300, STACK, fp
    assert pcs(without.stack(Thread(1, values, 11), time.monotonic() + 60)) == [CODE + 0x300]


def signal_frame(process: Process, at: int, pc: int, sp: int) -> None:
    """What the kernel puts above the return address into the trampoline, for x86_64."""
    values = [0] * 17
    values[15], values[16] = sp, pc  # behind r8..r15 rdi rsi rbp rbx rdx rax rcx
    process.put(at + 40, *values)


TRAMPOLINE = bytes.fromhex("48c7c00f0000000f05")


def test_a_signal_may_have_interrupted_a_call_to_nowhere_on_another_stack() -> None:
    process = Process(laid_out((0x100, b"\xff\xd0"), (0x400, TRAMPOLINE)))
    signal_frame(process, STACK + 0x2000, 0, STACK + 0x10)
    process.put(STACK + 0x10, CODE + 0x102)
    stack = process.stack(CODE + 0x400, sp=STACK + 0x2000)
    assert pcs(stack) == [CODE + 0x400, 0, CODE + 0x102]
    assert [frame.found_by for frame in stack.frames] == [unwind.REGISTERS, unwind.SIGNAL, unwind.WORD_AT_SP]


def test_signal_frames_in_a_circle_end() -> None:
    process = Process(laid_out((0x400, TRAMPOLINE)))
    signal_frame(process, STACK + 0x100, CODE + 0x400, STACK + 0x1000)
    signal_frame(process, STACK + 0x1000, CODE + 0x400, STACK + 0x100)
    stack = process.stack(CODE + 0x400, sp=STACK + 0x100)
    assert stack.ended == unwind.CYCLE and len(stack.frames) <= 4


def test_frame_pointers_in_a_circle_end() -> None:
    process = Process(laid_out((0x100, b"\x55\x48\x89\xe5\xff\xd0\x90")))
    process.put(STACK + 0x100, STACK + 0x200, CODE + 0x106)
    process.put(STACK + 0x200, STACK + 0x100, CODE + 0x106)
    stack = process.stack(CODE + 0x106, fp=STACK + 0x100)
    assert len(stack.frames) < 10


def test_memory_that_is_not_there_ends_a_stack() -> None:
    process = Process(laid_out((0x400, TRAMPOLINE)))
    stack = process.stack(CODE + 0x400, sp=0x1234)
    assert pcs(stack) == [CODE + 0x400] and stack.ended == unwind.NO_MEMORY


ARM_CALL = struct.pack("<I", 0x94000000 | (0x100 // 4))  # bl to 0x100 bytes further on


def test_aarch64_leaf_and_frame_records() -> None:
    code = laid_out((0x100, ARM_CALL), (0x200, b"\x1f\x20\x03\xd5" * 8), (0x80, struct.pack("<I", 0x94000020)))
    process = Process(code, AARCH64)
    process.put(STACK + 0x40, 0, CODE + 0x84)
    signed = 0x2B << 56 | 0x7F << 48
    stack = process.stack(CODE + 0x208, link=CODE + 0x104 | signed, fp=STACK + 0x40)
    assert pcs(stack) == [CODE + 0x208, CODE + 0x104, CODE + 0x84]
    assert [frame.found_by for frame in stack.frames[1:]] == [unwind.LINK, unwind.FRAME_POINTER]
    assert stack.ended == unwind.OUTERMOST


def test_aarch64_does_not_take_its_own_earlier_call_for_its_caller() -> None:
    """LR points into the function itself, behind a call that it made."""
    code = laid_out((0x80, struct.pack("<I", 0x94000060)), (0x200, b"\x1f\x20\x03\xd5" * 8))
    code = code[:0x204] + struct.pack("<I", 0xD63F0100) + code[0x208:]  # blr x8
    process = Process(code, AARCH64)
    process.put(STACK + 0x40, 0, CODE + 0x84)
    stack = process.stack(CODE + 0x210, link=CODE + 0x208, fp=STACK + 0x40)
    assert pcs(stack) == [CODE + 0x210, CODE + 0x84]


def test_a_thread_without_registers_has_no_frames() -> None:
    process = Process(b"")
    unwinder = unwind.Unwinder(process, process.memory, X86_64, unwind.Limits(), time.monotonic)
    for registers in ([], [0] * 3, [None] * 17):
        assert unwinder.stack(Thread(1, list(registers), 11), time.monotonic() + 60).frames == ()
