# SPDX-License-Identifier: Apache-2.0
"""Stacks: cores of small programs against what gdb finds in them, memory laid out by hand for each trap, and lies."""

from __future__ import annotations

import json
import os
import random
import re
import struct
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from handmade import gdb_core

from telemetry_probes.crash import elf, modules, stream, unwind
from telemetry_probes.crash.loads import Loads
from telemetry_probes.crash.model import AARCH64, X86_64, Machine, Module, Stack, Thread
from telemetry_probes.crash.windows import Layers, Windows

GDB_SCRIPT = Path(__file__).with_name("gdbframes.py")
HEAD = """
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#define FRAME __attribute__((noinline, noclone, noipa))
#define AND_RETURN __asm__ volatile("" ::: "memory")
"""
DEEP = """
FRAME int deep(int n) { int got = n > 0 ? deep(n - 1) : (abort(), 0); AND_RETURN; return got + n; }
int main(void) { int got = deep(DEPTH); AND_RETURN; return got; }
"""
HANDLER = """
static char other[65536];
static void handler(int number) { (void)number; abort(); }
FRAME int fault(volatile int *where) { *where = 1; return *where; }
FRAME int cause(void) { int got = fault((volatile int *)0); AND_RETURN; return got; }
int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = FLAGS};
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    int got = cause();
    AND_RETURN;
    return got;
}
"""
ALIGNED = """
FRAME int boom(volatile char *room) { if (room[0]) abort(); return 1; }
FRAME int realigned(int number) {
    _Alignas(128) volatile char room[256];
    volatile char *more = __builtin_alloca((size_t)number * 100);
    room[0] = more[0] = 1;
    int got = boom(room);
    AND_RETURN;
    return got + room[1] + more[1];
}
int main(int argc, char **argv) { (void)argv; int got = realigned(argc); AND_RETURN; return got; }
"""
SORTING = """
static int compare(const void *a, const void *b) { (void)a; (void)b; abort(); }
int main(void) { int some[] = {3, 1, 2}; qsort(some, 3, sizeof some[0], compare); return some[0]; }
"""
THREADS = """
static pthread_barrier_t all;
FRAME static void rest(void) { pthread_barrier_wait(&all); for (;;) pause(); }
static void *waiter(void *no) { rest(); AND_RETURN; return no; }
int main(void) {
    pthread_t one;
    pthread_barrier_init(&all, NULL, 13);
    for (int i = 0; i < 12; i++) pthread_create(&one, NULL, waiter, NULL);
    pthread_barrier_wait(&all);
    abort();
}
"""
CONTEXT = """
static ucontext_t first, second;
static char room[65536];
FRAME static void inside(void) { abort(); }
static void start(void) { inside(); AND_RETURN; }
int main(void) {
    getcontext(&second);
    second.uc_stack.ss_sp = room;
    second.uc_stack.ss_size = sizeof room;
    second.uc_link = &first;
    makecontext(&second, start, 0);
    swapcontext(&first, &second);
    return 0;
}
"""
# A call to `where`, with the handler's report instead of a death that gdb would not stop at
WILD = """
FRAME int caller(int (*where)(void)) { int got = where(); AND_RETURN; return got; }
static char data[64] = "no code";
int main(int argc, char **argv) {
    (void)argc; (void)argv;
    signal(SIGSEGV, (void (*)(int))abort);
    int got = caller((int (*)(void))WHERE);
    AND_RETURN;
    return got + data[0];
}
"""


class Case(NamedTuple):
    source: str
    flags: str
    frames: str = ""
    """The innermost functions, as the source says, where they are more than gdb finds."""
    compiler: str = "gcc"


CASES = {
    "deep": Case(DEEP, "-O2 -DDEPTH=40"),
    "deep_clang": Case(DEEP, "-O0 -DDEPTH=40", compiler="clang"),
    "deep_static": Case(DEEP, "-O1 -static -DDEPTH=10"),
    "deep_framed": Case(DEEP, "-O1 -fno-omit-frame-pointer -DDEPTH=3000"),
    "deep_debug_frame": Case(DEEP, "-O2 -fno-asynchronous-unwind-tables -g -DDEPTH=5"),
    "deep_no_tables": Case(DEEP, "-O1 -fno-asynchronous-unwind-tables -g0 -DDEPTH=4", "deep deep deep deep deep main"),
    "deep_no_tables_o0": Case(DEEP, "-O0 -fno-asynchronous-unwind-tables -g0 -DDEPTH=2", "deep deep deep main"),
    "deep_cold": Case(DEEP, "-O2 -fno-asynchronous-unwind-tables -g0 -DDEPTH=1", "abort deep.cold deep main"),
    "deep_musl": Case(DEEP, "-O1 -DDEPTH=3", "raise abort deep deep deep deep main", "musl-gcc"),
    "handler": Case(HANDLER, "-O2 -DFLAGS=0"),
    "handler_stack": Case(HANDLER, "-O2 -DFLAGS=SA_ONSTACK"),
    "handler_static": Case(HANDLER, "-O1 -static -DFLAGS=SA_ONSTACK|SA_SIGINFO"),
    "aligned": Case(ALIGNED, "-O2"),
    "aligned_o0": Case(ALIGNED, "-O0"),
    "aligned_clang": Case(ALIGNED, "-O2", compiler="clang"),
    "sorting": Case(SORTING, "-O2"),
    "sorting_no_tables": Case(SORTING, "-O1 -fno-asynchronous-unwind-tables -g0", "abort compare"),
    "threads": Case(THREADS, "-O2"),
    "context": Case(CONTEXT, "-O2"),
    "wild_null": Case(WILD, "-O2 -DWHERE=0", "caller main"),
    "wild_data": Case(WILD, "-O2 -DWHERE=data", "caller main"),
    "wild_garbage": Case(WILD, "-O0 -DWHERE=0x41414141", "caller main"),
}


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("unwind")

    def make(name: str) -> tuple[str, Path]:
        case = CASES[name]
        source, program = folder / f"{name}.c", folder / name
        source.write_text(HEAD + case.source)
        subprocess.run(
            [f"/usr/bin/{case.compiler}", "-w", "-g", "-pthread", *case.flags.split(), source, "-o", program],
            check=True, timeout=120, capture_output=True,
        )  # fmt: skip
        gdb_core(program, folder / f"{name}.core")
        return name, program

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(make, CASES))


def read(program: Path) -> tuple[stream.Core, modules.Modules, unwind.Unwinder]:
    fd = os.open(program.with_suffix(".core"), os.O_RDONLY)
    try:
        core = stream.read(fd)
    finally:
        os.close(fd)
    found = modules.find(core)
    assert core.machine is not None
    memory = modules.memory(core, found)
    return core, found, unwind.Unwinder(found, memory, core.machine, unwind.Limits(), time.monotonic, core.loads)


def stacks(program: Path) -> dict[int, Stack]:
    core, _modules, unwinder = read(program)
    return {thread.tid: unwinder.stack(thread, time.monotonic() + 60) for thread in core.notes.threads}


def gdb_stacks(program: Path) -> dict[int, list[int]]:
    settings = ["-iex", "set auto-load off", "-iex", "set backtrace past-main on", "-iex", "set debuginfod enabled off"]
    command = ["gdb", "-nx", "-batch", *settings, *map(str, (program, program.with_suffix(".core"), "-x", GDB_SCRIPT))]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    match = re.search(r"^JSON (.*)$", said, re.M)
    assert match, said
    return {tid: [pc for pc, _places in frames if pc > 0] for tid, frames in json.loads(match[1])}


def functions(program: Path, stack: Stack) -> list[str]:
    """Names of the frames by nm, empty where it has none."""
    names = []
    tables: dict[str, list[tuple[int, str]]] = {}
    for frame in stack.frames:
        if frame.module is None:
            names.append("")
            continue
        if frame.module.path not in tables:
            said = "".join(
                subprocess.run(["nm", *more, frame.module.path], capture_output=True, text=True, timeout=60).stdout
                for more in ((), ("-D",))
            )
            found = re.findall(r"^([0-9a-f]+) [TtWw] ([^@\n]*)", said, re.M)
            tables[frame.module.path] = sorted((int(at, 16), name) for at, name in found)
        address = frame.lookup_pc - frame.module.bias
        names.append(next((name for at, name in reversed(tables[frame.module.path]) if at <= address), ""))
    return names


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.frames and name != "context"])
def test_frames_are_those_of_gdb(cores: dict[str, Path], name: str) -> None:
    ours, theirs = stacks(cores[name]), gdb_stacks(cores[name])
    assert ours.keys() == theirs.keys()
    for tid, stack in ours.items():
        frames = [frame.pc for frame in stack.frames]
        if stack.left_out:
            assert frames == theirs[tid][:192] + theirs[tid][-64:]
            assert stack.left_out == len(theirs[tid]) - 256
        else:
            assert frames == theirs[tid]
        assert stack.ended == unwind.OUTERMOST


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.frames])
def test_frames_that_gdb_may_miss_are_those_of_the_source(cores: dict[str, Path], name: str) -> None:
    (stack,) = stacks(cores[name]).values()
    names = functions(cores[name], stack)
    assert CASES[name].frames in " ".join(names), names
    assert "main" in names


def test_a_context_ends_where_nobody_called(cores: dict[str, Path]) -> None:
    (stack,) = stacks(cores["context"]).values()
    names = functions(cores["context"], stack)
    assert names[-3:-1] == ["inside", "start"] and stack.ended == unwind.OUTERMOST
    last = stack.frames[-1]
    assert last.lookup_pc == last.pc  # __start_context's first byte, not the last one of its neighbour


def test_what_a_signal_interrupted_is_looked_up_as_it_is(cores: dict[str, Path]) -> None:
    for name in ("handler", "handler_stack", "handler_static"):
        (stack,) = stacks(cores[name]).values()
        place = [frame.found_by for frame in stack.frames].index(unwind.SIGNAL)
        exact = [frame.lookup_pc == frame.pc for frame in stack.frames]
        assert exact[0] and exact[place - 1] and exact[place]  # the crash, the trampoline, what it interrupted
        assert exact.count(True) == 3
        assert functions(cores[name], stack)[place : place + 3] == ["fault", "cause", "main"]


def test_the_limit_of_frames_keeps_both_ends(cores: dict[str, Path]) -> None:
    core, found, _unwinder = read(cores["deep"])
    assert core.machine is not None
    whole = stacks(cores["deep"])[core.notes.threads[0].tid].frames
    limits = unwind.Limits(top=5, bottom=3)
    memory = modules.memory(core, found)
    cut = unwind.stack(
        core.notes.threads[0], found, memory, core.machine, limits, time.monotonic, time.monotonic() + 60
    )
    assert [frame.pc for frame in cut.frames] == [frame.pc for frame in (*whole[:5], *whole[-3:])]
    assert cut.left_out == len(whole) - 8 and cut.ended == unwind.OUTERMOST
    few = unwind.Limits(steps=4)
    cut = unwind.stack(core.notes.threads[0], found, memory, core.machine, few, time.monotonic, time.monotonic() + 60)
    assert [frame.pc for frame in cut.frames] == [frame.pc for frame in whole[:4]] and cut.ended == unwind.LIMIT


def test_at_the_deadline_what_exists_is_given(cores: dict[str, Path]) -> None:
    core, found, _unwinder = read(cores["deep"])
    assert core.machine is not None
    ticks = iter(range(1000))
    memory = modules.memory(core, found)
    unwinder = unwind.Unwinder(found, memory, core.machine, unwind.Limits(), lambda: float(next(ticks)))
    stack = unwinder.stack(core.notes.threads[0], 5.0)
    assert stack.ended == unwind.DEADLINE and 1 <= len(stack.frames) <= 5
    assert unwinder.stack(core.notes.threads[0], 0.0).frames == ()


def test_frames_alike_are_counted_without_being_walked(cores: dict[str, Path]) -> None:
    """The quick way over a recursion gives the same stack as the slow one."""
    core, found, unwinder = read(cores["deep_framed"])
    quick = unwinder.stack(core.notes.threads[0], time.monotonic() + 60)
    assert core.machine is not None
    wide = unwind.Unwinder(
        found, modules.memory(core, found), core.machine, unwind.Limits(top=10_000), time.monotonic, core.loads
    )
    slow = wide.stack(core.notes.threads[0], time.monotonic() + 60)
    assert len(slow.frames) > 3000 and slow.left_out == 0
    kept = (*slow.frames[:192], *slow.frames[-64:])
    assert [(frame.pc, frame.cfa, frame.found_by) for frame in quick.frames] == [
        (frame.pc, frame.cfa, frame.found_by) for frame in kept
    ]
    assert quick.left_out == len(slow.frames) - 256


# Memory laid out by hand

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


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_any_stack_and_registers_are_survived(cores: dict[str, Path], machine: Machine) -> None:
    """Real code and tables over nonsense: words that point anywhere, into the code and into the stack itself."""
    core, found, _unwinder = read(cores["handler_static"])
    chance = random.Random(9)
    base = core.notes.threads[0].registers[7] or 0
    code = [module for module in found.all if module.image is not None]
    begun = time.monotonic()
    for _round in range(400):
        module = chance.choice(code)
        size = module.end - module.start
        kinds: list[Callable[[], int]] = [
            lambda start=module.start, size=size: start + chance.randrange(size),  # type: ignore[misc]
            lambda: base + 8 * chance.randrange(1024),
            lambda: chance.randrange(1 << 64),
            lambda: chance.choice((0, 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 8)),
        ]
        memory = Windows()
        memory.add(base, struct.pack("<1024Q", *(chance.choice(kinds)() for _slot in range(1024))))
        registers: list[int | None] = [chance.choice(kinds)() for _number in range(machine.register_count)]
        registers[machine.sp] = base + 8 * chance.randrange(1024)
        registers[machine.pc] = kinds[0]()
        stack = unwind.stack(
            Thread(1, registers, 11), found, Layers(memory, modules.memory(core, found)), machine, unwind.Limits(),
            time.monotonic, time.monotonic() + 60,
        )  # fmt: skip
        assert 1 <= len(stack.frames) <= 256 and stack.ended
    assert time.monotonic() - begun < 60


class Counting:
    """Modules, and how often they were asked."""

    def __init__(self, found: modules.Modules) -> None:
        self.found = found
        self.count = 0

    def at(self, address: int) -> Module | None:
        self.count += 1
        return self.found.at(address)


def test_three_hundred_threads_share_what_was_learned(cores: dict[str, Path]) -> None:
    """Not a time but its cause: modules and tables are asked once for a place, not once for a thread."""
    core, found, _unwinder = read(cores["threads"])
    assert core.machine is not None
    counting = Counting(found)
    unwinder = unwind.Unwinder(
        counting, modules.memory(core, found), core.machine, unwind.Limits(), time.monotonic, core.loads
    )
    frames = sum(len(unwinder.stack(thread, time.monotonic() + 60).frames) for thread in core.notes.threads)
    once = counting.count
    for _copy in range(25):
        for thread in core.notes.threads:
            frames += len(unwinder.stack(thread, time.monotonic() + 60).frames)
    assert frames > 26 * 13 * 4
    assert counting.count == once
