# SPDX-License-Identifier: Apache-2.0
"""Stacks: cores of small programs against what gdb finds in them, and lies. The rules: test_unwind_rules.py."""

from __future__ import annotations

import json
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
import readcore
from handmade import gdb_core
from readcore import ReadCore

from telemetry_probes.crash import modules, unwind
from telemetry_probes.crash.model import AARCH64, X86_64, Machine, Module, Stack, Thread
from telemetry_probes.crash.windows import Layers, Windows

GDB_SCRIPT = Path(__file__).with_name("gdbframes.py")
FLAGS = ["-w", "-g", "-pthread", f"-I{Path(__file__).parent}/programs"]
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
#include "at_rest.h"
static pthread_barrier_t all;
FRAME static void rest(void) { pthread_barrier_wait(&all); for (;;) pause(); }
static void *waiter(void *no) { rest(); AND_RETURN; return no; }
int main(void) {
    pthread_t one;
    pthread_barrier_init(&all, NULL, 13);
    for (int i = 0; i < 12; i++) pthread_create(&one, NULL, waiter, NULL);
    pthread_barrier_wait(&all);
    until_others_sleep();
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
            [f"/usr/bin/{case.compiler}", *FLAGS, *case.flags.split(), source, "-o", program],
            check=True, timeout=120, capture_output=True,
        )  # fmt: skip
        gdb_core(program, folder / f"{name}.core")
        return name, program

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(make, CASES))


def of(program: Path) -> ReadCore:
    return readcore.read(program.with_suffix(".core"))


def stacks(program: Path) -> dict[int, Stack]:
    dead = of(program)
    unwinder = dead.unwinder()
    return {thread.tid: unwinder.stack(thread, time.monotonic() + 60) for thread in dead.core.notes.threads}


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
    dead = of(cores["deep"])
    whole = stacks(cores["deep"])[dead.thread.tid].frames
    cut = dead.stack(unwind.Limits(top=5, bottom=3))
    assert [frame.pc for frame in cut.frames] == [frame.pc for frame in (*whole[:5], *whole[-3:])]
    assert cut.left_out == len(whole) - 8 and cut.ended == unwind.OUTERMOST
    cut = dead.stack(unwind.Limits(steps=4))
    assert [frame.pc for frame in cut.frames] == [frame.pc for frame in whole[:4]] and cut.ended == unwind.LIMIT


def test_at_the_deadline_what_exists_is_given(cores: dict[str, Path]) -> None:
    dead = of(cores["deep"])
    ticks = iter(range(1000))
    unwinder = unwind.Unwinder(dead.modules, dead.memory, dead.machine, unwind.Limits(), lambda: float(next(ticks)))
    stack = unwinder.stack(dead.thread, 5.0)
    assert stack.ended == unwind.DEADLINE and 1 <= len(stack.frames) <= 5
    assert unwinder.stack(dead.thread, 0.0).frames == ()


def test_frames_alike_are_counted_without_being_walked(cores: dict[str, Path]) -> None:
    """The quick way over a recursion gives the same stack as the slow one."""
    dead = of(cores["deep_framed"])
    quick = dead.unwinder().stack(dead.thread, time.monotonic() + 60)
    slow = dead.unwinder(unwind.Limits(top=10_000)).stack(dead.thread, time.monotonic() + 60)
    assert len(slow.frames) > 3000 and slow.left_out == 0
    kept = (*slow.frames[:192], *slow.frames[-64:])
    assert [(frame.pc, frame.cfa, frame.found_by) for frame in quick.frames] == [
        (frame.pc, frame.cfa, frame.found_by) for frame in kept
    ]
    assert quick.left_out == len(slow.frames) - 256


@pytest.mark.parametrize("machine", [X86_64, AARCH64])
def test_any_stack_and_registers_are_survived(cores: dict[str, Path], machine: Machine) -> None:
    """Real code and tables over nonsense: words that point anywhere, into the code and into the stack itself."""
    dead = of(cores["handler_static"])
    chance = random.Random(9)
    base = dead.thread.registers[7] or 0
    code = [module for module in dead.modules.all if module.image is not None]
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
            Thread(1, registers, 11), dead.modules, Layers(memory, dead.memory), machine, unwind.Limits(),
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
    dead = of(cores["threads"])
    counting, threads = Counting(dead.modules), dead.core.notes.threads
    unwinder = unwind.Unwinder(counting, dead.memory, dead.machine, unwind.Limits(), time.monotonic, dead.core.loads)
    frames = sum(len(unwinder.stack(thread, time.monotonic() + 60).frames) for thread in threads)
    once = counting.count
    for _copy in range(25):
        for thread in threads:
            frames += len(unwinder.stack(thread, time.monotonic() + 60).frames)
    assert frames > 26 * 13 * 4
    assert counting.count == once
