# SPDX-License-Identifier: Apache-2.0
"""Frames of real cores get names, with and without debug files: JIT code, signals, the vdso, inlined calls."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import readcore
from handmade import compile_c, gdb_core

from telemetry_probes.crash import sysroot
from telemetry_probes.crash.model import Frame, Place, Stack
from telemetry_probes.crash.naming import TRAMPOLINE, Names

SOURCE = """\
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
typedef int code(int (*)(int), int);
static void handler(int number) { (void)number; abort(); }
static inline __attribute__((always_inline)) int inlined(int x) { raise(SIGSEGV); return x + 1; }
__attribute__((noinline)) int called(int x) { return inlined(x) * 2; }
int main(int count, char **arguments)
{
    /* push rbp; mov rbp, rsp; mov rax, rdi; mov edi, esi; call rax; pop rbp; ret */
    static const unsigned char bytes[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, bytes, sizeof bytes);
    signal(SIGSEGV, handler);
    return ((code *)page)(called, 1) + count + !arguments;
}
"""


class Dead:
    """A program that died of abort() in a signal handler, below code that it had made itself."""

    def __init__(self, folder: Path) -> None:
        self.program = compile_c(SOURCE, folder / "program", "-O2", "-fno-omit-frame-pointer")
        gdb_core(self.program, folder / "core")
        found = readcore.read(folder / "core")
        self.core, self.modules, self.memory = found.core, found.modules, found.memory
        self.thread, self.stack = found.thread, found.stack()

    def names(self, seconds: float = 60, debug_files: bool = True) -> Names:
        def refuse(path: str) -> sysroot.Opened:
            return "no debug file"

        open_file = sysroot.opener() if debug_files else refuse
        until = time.monotonic() + seconds
        return Names(self.modules, self.memory, self.core.loads, time.monotonic, until, open_file)


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Dead:
    return Dead(tmp_path_factory.mktemp("naming"))


def named(places: list[tuple[Place, ...]], function: str) -> Place:
    return next(place for frame in places for place in frame if place.function == function)


def test_every_kind_of_frame(dead: Dead) -> None:
    places = dead.names().places(dead.stack, dead.thread)
    flat = [place.function for frame in places for place in frame]
    kinds = [frame[-1].kind for frame in places]
    tramp = flat.index(TRAMPOLINE)
    assert flat.index("abort") < flat.index("handler") < tramp < flat.index("inlined") < flat.index("called")
    assert kinds.count("signal") == 1
    called = next(index for index, frame in enumerate(places) if frame[-1].function == "called")
    assert [(place.function, place.line, place.inlined) for place in places[called]] == [
        ("inlined", 8, True), ("called", 9, False),
    ]  # fmt: skip
    assert named(places, "handler").file.endswith("/program.c") and named(places, "handler").line == 7


def test_own_names_do_not_depend_on_debug_files(dead: Dead) -> None:
    with_files, without = dead.names(), dead.names(debug_files=False)
    own = without.own_names(dead.stack)
    assert with_files.own_names(dead.stack) == own
    assert {"abort", "handler", "called"} <= set(own)
    # Where the module has a name itself it's the one that is shown, whatever is installed.
    for names in (with_files, without):
        for name, frame in zip(own, names.places(dead.stack, dead.thread), strict=True):
            assert not name or frame[-1].function == name or frame[-1].kind == "signal"
    shown = [frame[-1].function for frame in with_files.places(dead.stack, dead.thread)]
    assert shown.count("") < own.count("")


def test_after_the_deadline_there_are_symbols_but_no_lines(dead: Dead) -> None:
    places = dead.names(seconds=-1).places(dead.stack, dead.thread)
    assert len(places) == len(dead.stack.frames)
    assert named(places, "called").line == 0 and named(places, "called").file == ""


def test_code_that_the_program_made_is_told_from_data(dead: Dead) -> None:
    made = next(load.start for load in dead.core.loads if load.flags == 7 and dead.modules.at(load.start) is None)
    data = next(load.start for load in dead.core.loads if load.flags == 6 and dead.modules.at(load.start) is None)
    frames = tuple(Frame(at + 8, at + 8, None, None, "registers") for at in (made, data))
    places = dead.names().places(Stack(frames, 0, "outermost"), dead.thread)
    assert [(frame[0].function, frame[0].kind) for frame in places] == [("", "jit"), ("", "native")]


def test_what_is_nowhere_has_no_name(dead: Dead) -> None:
    heap = next(load.start for load in dead.core.loads if not load.flags & 1)
    frames = [Frame(at, at, None, dead.modules.at(at), "registers") for at in (0, 0xDEAD, heap, (1 << 64) - 1)]
    places = dead.names().places(Stack(tuple(frames), 0, "outermost"), dead.thread)
    assert [(frame[0].function, frame[0].kind) for frame in places] == [("", "native")] * 4


def test_functions_of_the_vdso(dead: Dead) -> None:
    vdso = next(module for module in dead.modules.all if module.path == "[vdso]")
    assert vdso.image is not None
    names = dead.names()
    found = set()
    for at in range(vdso.start, vdso.end, 16):
        frame = Frame(at, at, None, dead.modules.at(at), "registers")
        place = names.places(Stack((frame,), 0, "outermost"), dead.thread)[0][-1]
        assert place.kind == "vdso"
        found.add(place.function)
    assert any("clock_gettime" in name for name in found)
