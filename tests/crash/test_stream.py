# SPDX-License-Identifier: Apache-2.0
"""Cores read from files and pipes: real ones in several orders, cut, slow and hostile ones."""

from __future__ import annotations

import os
import random
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import handmade
import pytest
from handmade import NT_PRSTATUS, PAGE, Part, R, W, X, as_the_kernel, piped, prstatus, take_apart

from telemetry_probes.crash import plan, reader, stream
from telemetry_probes.crash.windows import Windows

SOURCE = r"""
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_barrier_t all;
static void *idle(void *own) { pthread_barrier_wait(&all); pause(); return own; }
static void on_fault(int number) { (void)number; abort(); }
static int deep(int left) {
    volatile char room[4096];
    room[0] = (char)left;
    if (left == 0) *(volatile int *)16 = 1;
    return deep(left - 1) + room[0];
}
int main(void) {
    pthread_t thread;
    pthread_barrier_init(&all, 0, 4);
    for (int i = 0; i < 3; i++) pthread_create(&thread, 0, idle, 0);
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&other, 0);
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, 0);
    pthread_barrier_wait(&all);
    return deep(100);
}
"""
SP = 7  # DWARF's number of rsp
ORDERS = ["gdb", "kernel", "sorted by size"]
HANGING_S = 3.0
"""A writer that hangs is waited for so long, which is far more than what it did write takes to be read."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A core of four threads, the first on an alternate signal stack."""
    program = handmade.compile_c(SOURCE, tmp_path_factory.mktemp("stream") / "program", "-pthread")
    return handmade.gdb_core(program, program.with_name("core"))


@pytest.fixture(scope="module", params=ORDERS)
def ordered(request: pytest.FixtureRequest, raw: bytes) -> bytes:
    order = request.param
    return raw if order == "gdb" else as_the_kernel(raw, by_size=order == "sorted by size")


def read_bytes(raw: bytes, limits: stream.Limits | None = None) -> stream.Core:
    with piped(raw) as fd:
        return stream.read(fd, limits)


def read_file(raw: bytes, tmp_path: Path) -> stream.Core:
    file = tmp_path / "core"
    file.write_bytes(raw)
    fd = os.open(file, os.O_RDONLY)
    try:
        return stream.read(fd)
    finally:
        os.close(fd)


def registers(core: stream.Core) -> list[tuple[int, list[int | None]]]:
    return [(thread.tid, thread.registers) for thread in core.notes.threads]


def content_at(raw: bytes, address: int, size: int) -> bytes:
    """What the core has there, by the layout of `handmade`."""
    for part in take_apart(raw).parts:
        if part.address <= address and address + size <= part.address + len(part.content):
            return part.content[address - part.address : address - part.address + size]
    raise AssertionError(f"the core has nothing at {address:#x}")


def test_registers_are_those_that_gdb_put_there(ordered: bytes, tmp_path: Path) -> None:
    want = []
    for kind, content, _name in take_apart(ordered).notes:
        if kind == NT_PRSTATUS:
            values = struct.unpack_from("<27Q", content, 112)
            want.append((struct.unpack_from("<I", content, 32)[0], values[handmade.RSP], values[handmade.RIP]))
    for core in (read_bytes(ordered), read_file(ordered, tmp_path)):
        assert [(tid, values[SP], values[16]) for tid, values in registers(core)] == want
        assert core.machine is not None and core.machine.name == "x86_64"
        assert not core.truncated and not core.unread
        assert core.notes.signal is not None and core.notes.signal.number == 6
        assert core.notes.comm == "program" and len(core.notes.mappings) >= 10
        core.close()


def test_each_threads_stack_is_there_and_right(ordered: bytes, tmp_path: Path) -> None:
    for core in (read_bytes(ordered), read_file(ordered, tmp_path)):
        for _tid, values in registers(core):
            sp = values[SP]
            assert sp is not None
            assert core.memory.read(sp - 128, 1024) == content_at(ordered, sp - 128, 1024)
            assert core.memory.word(sp + 3) == int.from_bytes(content_at(ordered, sp + 3, 8), "little")
        core.close()


def test_the_stack_that_the_signal_interrupted_is_there(ordered: bytes) -> None:
    """`deep` left 100 frames of 4 KiB on the main stack; the handler runs on another."""
    core = read_bytes(ordered)
    sp = core.notes.threads[0].registers[SP]
    assert sp is not None and core.machine is not None
    above = core.memory.read(sp, 8192)
    assert above is not None
    (interrupted,) = plan.interrupted_stacks(memoryview(above), sp, core.machine)
    assert core.loads.at(interrupted) is not None
    assert core.memory.read(interrupted - 128, 400 << 10) == content_at(ordered, interrupted - 128, 400 << 10)


def test_first_pages_and_the_vdso_are_there(ordered: bytes) -> None:
    core = read_bytes(ordered)
    heads = [mapping.start for mapping in core.notes.mappings if mapping.offset == 0]
    assert len(heads) >= 3
    for head in [*heads, core.notes.auxv[33]]:
        assert core.memory.read(head, 4) == b"\x7fELF"


def test_small_writable_memory_is_kept_and_big_left_out() -> None:
    big = Part(0x7000_0000, bytes(3 << 20))
    parts = [Part(0x1000_0000 + n * 0x10_0000, bytes([n]) * (n * PAGE)) for n in range(1, 5)]
    core = read_bytes(handmade.core([big, *parts], prstatus(1, 1, 2)), stream.Limits(stretch_bytes=1 << 20))
    for number, part in enumerate(parts, 1):
        assert core.memory.read(part.address, number * PAGE) == part.content
    assert core.memory.read(big.address, 1) is None
    assert core.left_out == ("1 stretches of writable memory, 3 MiB, above what is kept",)


def test_memory_stays_within_its_budget() -> None:
    """200 threads with 1 MiB of stack each, of which little fits."""
    parts = [Part(0x1000_0000 + n * 0x20_0000, bytes([n]) * (1 << 20)) for n in range(200)]
    notes = b"".join(prstatus(n + 1, part.address + 0x1000, 2) for n, part in enumerate(parts))
    core = read_bytes(handmade.core(parts, notes), stream.Limits(kept_bytes=4 << 20, stacks_bytes=1 << 20))
    assert isinstance(core.memory, Windows) and core.memory.size <= 4 << 20
    for number, part in enumerate(parts):
        assert core.memory.read(part.address + 0x1000, 4096) == bytes([number]) * 4096, number


def test_the_first_threads_stack_is_kept_to_its_end() -> None:
    """Endless recursion: the outermost frames are 8 MiB above sp."""
    stack = Part(0x7FFF_0000_0000, random.Random(1).randbytes(8 << 20))
    core = read_bytes(handmade.core([stack], prstatus(1, stack.address + 64, 2)))
    assert core.memory.read(stack.address + 64, (8 << 20) - 64) == stack.content[64:]


def test_more_program_headers_than_fit_in_the_header(tmp_path: Path) -> None:
    parts = [Part(PAGE * n, b"", R, PAGE) for n in range(1, 70_000)]
    stack = Part(0x7FFF_0000_0000, bytes(range(256)) * 64)
    raw = handmade.core([*parts, stack], prstatus(1, stack.address + 256, 2))
    for core in (read_bytes(raw), read_file(raw, tmp_path)):
        assert len(core.loads) == len(parts) + 1
        assert core.memory.read(stack.address + 256, 256) == bytes(range(256))
        assert not core.truncated
        core.close()


def test_fewer_program_headers_are_read_than_a_limit() -> None:
    parts = [Part(PAGE * n, b"", R, PAGE) for n in range(1, 1000)]
    core = read_bytes(handmade.core(parts, prstatus(1, 2, 3)), stream.Limits(headers_bytes=100 * 56))
    assert len(core.loads) == 99
    assert "1000 stretches of memory, of which 100 are looked at" in core.notes.missing


def test_a_core_that_was_cut_gives_what_there_is(ordered: bytes, tmp_path: Path) -> None:
    taken = take_apart(ordered)
    complete = read_bytes(ordered)
    whole = len(registers(complete))
    chance = random.Random(2)
    # gdb writes section headers behind all that counts
    cuts = [0, 1, 63, 64, 65, 120, 2000, 4000, 8000, 20_000, complete.loads.end_offset - 1]
    cuts += [chance.randrange(len(ordered)) for _ in range(15)]
    for cut in cuts:
        for core in (read_bytes(ordered[:cut]), read_file(ordered[:cut], tmp_path)):
            assert len(core.notes.threads) <= whole
            for part in taken.parts[:40]:
                found = core.memory.read(part.address, 64)
                assert found is None or found == part.content[:64]
            if cut < 64:
                assert core.unread
            core.close()
        core = read_file(ordered[:cut], tmp_path)
        assert core.truncated or not cut
        core.close()


def test_a_pipe_that_was_cut_within_the_notes_says_so(raw: bytes) -> None:
    ordered = as_the_kernel(raw)
    core = read_bytes(ordered[: 64 + 56 * (len(take_apart(ordered).parts) + 1) + 2000])
    assert core.truncated
    assert "the notes were cut or don't fit together" in core.notes.missing
    assert len(core.notes.threads) == 1


def test_a_writer_that_hangs_ends_at_the_deadline(raw: bytes) -> None:
    ordered = as_the_kernel(raw)
    with piped(ordered[: len(ordered) // 2], then_wait=True) as fd:
        core = stream.read(fd, deadline=time.monotonic() + HANGING_S)
    assert reader.LATE in core.left_out
    assert len(core.notes.threads) == 4
    with piped(b"", then_wait=True) as fd:
        assert stream.read(fd, deadline=time.monotonic() + 0.1).unread == "the time to read the core was over"
    with piped(ordered) as fd:
        assert stream.read(fd, deadline=time.monotonic() - 1).unread


def test_reading_ends_behind_what_is_wanted(raw: bytes) -> None:
    """A writer that hangs behind the last wanted byte is not waited for."""
    with piped(as_the_kernel(raw) + bytes(1 << 16), then_wait=True) as fd:
        core = stream.read(fd, deadline=time.monotonic() + 60)
    assert reader.LATE not in core.left_out and not core.truncated


def test_a_socket_will_do(raw: bytes) -> None:
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            theirs.sendall(as_the_kernel(raw))

    with ours:
        writer = threading.Thread(target=send)
        writer.start()
        core = stream.read(ours.fileno())
        assert len(core.notes.threads) == 4
        while ours.recv(1 << 20):
            pass
        writer.join(60)


def changed(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (0, b"\x7fELG", "not a core file"),
        (4, b"\x01", "the core of a 32 bit or big-endian process, whose stacks can't be unwound"),
        (5, b"\x02", "the core of a 32 bit or big-endian process, whose stacks can't be unwound"),
        (16, b"\x02", "an ELF file, but not a core"),
        (18, b"\xf3", "stacks of this machine (RISC-V, ELF number 243) can't be unwound"),
    ],
)
def test_what_cannot_be_unwound_says_why(at: int, new: bytes, why: str, tmp_path: Path) -> None:
    raw = changed(handmade.core([Part(0x1000, bytes(64))], prstatus(7, 0x1000, 2)), at, new)
    for core in (read_bytes(raw), read_file(raw, tmp_path)):
        assert core.machine is None and core.unread == why
        assert [thread.tid for thread in core.notes.threads] == ([7] if "RISC" in why else [])
        core.close()


def test_a_note_of_4_gib_that_does_not_exist(tmp_path: Path) -> None:
    enormous = struct.pack("<III", 5, 0xFFFF_FFFF, 1) + b"CORE\0\0\0\0"
    raw = handmade.core([Part(0x1000, bytes(64))], prstatus(7, 0x1000, 2) + enormous)
    row = bytearray(raw[64:120])
    struct.pack_into("<Q", row, 32, 1 << 62)  # the segment's own size lies as well
    for core in (read_bytes(changed(raw, 64, bytes(row))), read_file(changed(raw, 64, bytes(row)), tmp_path)):
        assert [thread.tid for thread in core.notes.threads] == [7]
        assert "the notes were cut or don't fit together" in core.notes.missing
        core.close()


def test_big_notes_that_nobody_asks_for_pass_by() -> None:
    states = handmade.note(0x202, bytes(5 << 20), b"LINUX\0")
    stack = Part(0x1000_0000, b"S" * 8192)
    core = read_bytes(
        handmade.core([stack], prstatus(7, stack.address, 2) + states * 3 + prstatus(8, stack.address, 2))
    )
    assert [thread.tid for thread in core.notes.threads] == [7, 8]
    assert core.memory.read(stack.address, 16) == b"S" * 16


def test_segments_that_share_bytes_of_the_core(tmp_path: Path) -> None:
    raw = handmade.core([Part(0x1000, b"a" * PAGE), Part(0x9000, b"b" * PAGE)], prstatus(7, 0x1000, 2))
    second = 64 + 2 * 56 + 8  # p_offset of the second stretch becomes that of the first
    raw = changed(raw, second, raw[64 + 56 + 8 : 64 + 56 + 16])
    assert read_bytes(raw).memory.read(0x1000, PAGE) == b"a" * PAGE
    core = read_file(raw, tmp_path)
    assert core.memory.read(0x9000, PAGE) == b"a" * PAGE
    core.close()


def test_no_change_of_a_core_raises_or_takes_long(raw: bytes, tmp_path: Path) -> None:
    """Headers and notes with other numbers in them, from a pipe and from a file."""
    small = as_the_kernel(raw)
    parts = [part._replace(content=part.content[: 4 * PAGE]) for part in take_apart(small).parts]
    notes = b"".join(
        handmade.note(*one) for one in take_apart(small).notes if one[0] in (1, 3, 6) or one[0] > 0x40000000
    )
    good = handmade.core(parts, notes)
    interesting = 64 + 56 * (len(parts) + 1) + len(notes)
    chance = random.Random(3)
    read = 0
    for turn in range(600):
        other = bytearray(good)
        for _change in range(chance.randint(1, 5)):
            at = chance.choice(
                (chance.randrange(18, 64), chance.randrange(64, 64 + 56 * 8), chance.randrange(interesting))
            )
            width = chance.choice((1, 2, 4, 8))
            other[at : at + width] = bytes([chance.choice((0, 1, 0x10, 0x7F, 0x80, 0xFF))]) * width
        begun = time.monotonic()
        core = read_bytes(bytes(other)) if turn % 2 else read_file(bytes(other), tmp_path)
        assert time.monotonic() - begun < 30
        if isinstance(core.memory, Windows):
            assert core.memory.size <= stream.Limits().kept_bytes
        for thread in core.notes.threads:
            if core.machine is not None:
                core.memory.word(thread.registers[core.machine.sp] or 0)
        for address in (-8, 0, 0x1000, (1 << 64) - 4, 1 << 70):
            core.memory.word(address)
            core.memory.read(address, 1 << 24)
            core.loads.at(address)
        read += bool(core.notes.threads)
        core.close()
    assert read > 300


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_hands_out_what_was_asked_for_once(seed: int) -> None:
    chance = random.Random(seed)
    parts = [Part(0x10_0000 * n, bytes(chance.randrange(1, 40) * 512), R | W | X) for n in range(1, 6)]
    chance.shuffle(parts)
    raw = handmade.core(parts, b"")
    core = read_bytes(raw)
    wanted = plan.Plan(core.loads, 1 << 20)
    asked: set[int] = set()
    for _turn in range(40):
        part = chance.choice(parts)
        start = part.address + chance.randrange(len(part.content))
        end = start + chance.randrange(4000)
        wanted.add(start, end)
        asked.update(range(start, min(end, part.address + len(part.content))))
    got: list[int] = []
    position = 0
    while (piece := wanted.next(position)) is not None:
        offset, size, address = piece
        assert offset >= position
        position = offset + size
        load = core.loads.at(address)
        assert load is not None and load.offset + address - load.start == offset
        got.extend(range(address, address + size))
    assert len(got) == len(set(got)) and set(got) == asked
    assert wanted.room == (1 << 20) - len(asked)


def test_a_core_of_1_gib_passes_in_constant_memory(tmp_path: Path) -> None:
    """The stack lies behind a heap of 1 GiB, as in every process; the reader may hold 32 MB of memory."""
    stack = Part(0x7FFF_0000_0000, b"S" * 8192)
    heap = Part(0x1000_0000, b"")
    raw = bytearray(handmade.core([heap, stack], prstatus(1, stack.address, 2)))
    at = struct.unpack_from("<Q", raw, 64 + 56 + 8)[0]
    struct.pack_into("<QQ", raw, 64 + 56 + 32, 1 << 30, 1 << 30)
    struct.pack_into("<Q", raw, 64 + 2 * 56 + 8, at + (1 << 30))
    file = tmp_path / "core"
    with file.open("wb") as out:
        out.write(raw[:at])
        out.seek(at + (1 << 30))
        out.write(raw[at:])
    program = (
        "from telemetry_probes.crash import stream\ncore = stream.read(0)\n"
        f"assert core.memory.read({stack.address}, 4) == b'SSSS', core.notes.missing\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            [sys.executable, "-c", program], stdin=source.stdout, capture_output=True, text=True, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20)),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 <= 32_000_000
