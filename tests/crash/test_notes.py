# SPDX-License-Identifier: Apache-2.0
"""What is read of a core's notes: against pyelftools for a real core, and what comes of notes that lie."""

from __future__ import annotations

import random
import struct

import pytest
from handmade import (
    AARCH64,
    NT_AUXV,
    NT_FILE,
    NT_PRPSINFO,
    NT_PRSTATUS,
    NT_SIGINFO,
    mapped,
    prstatus,
)

from telemetry_probes.crash import model, notes


def content(one_note: bytes) -> bytes:
    names, size = struct.unpack_from("<II", one_note)
    at = 12 + (names + 3 & ~3)
    return one_note[at : at + size]


def siginfo(number: int, code: int, value: int) -> bytes:
    return struct.pack("<iiiiQ", number, 0, code, 0, value).ljust(128, b"\0")


def test_registers_of_x86_64_stand_in_dwarf_order() -> None:
    status = content(prstatus(4711, 0x7FFC0000, 0x401000, 6))
    known = notes.parse([(NT_PRSTATUS, status)], model.X86_64)
    (thread,) = known.threads
    # rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip, of r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig rip
    assert thread.registers == [
        110, 112, 111, 105, 113, 114, 104, 0x7FFC0000, 109, 108, 107, 106, 103, 102, 101, 100, 0x401000,
    ]  # fmt: skip
    assert (thread.tid, thread.signal, thread.thread_pointer) == (4711, 6, 121)
    assert known.pid == 4711
    assert known.signal is not None and known.signal.number == 6


def test_registers_of_aarch64_and_its_thread_pointer() -> None:
    status = struct.pack("<12xhxxQQI", 11, 0, 0, 9).ljust(112, b"\0") + struct.pack("<34Q", *range(34)) + bytes(8)
    known = notes.parse([(NT_PRSTATUS, status), (notes.NT_ARM_TLS, struct.pack("<QQ", 77, 0))], model.AARCH64)
    (thread,) = known.threads
    assert thread.registers == list(range(33))
    assert (thread.tid, thread.signal, thread.thread_pointer) == (9, 11, 77)
    assert model.MACHINES[AARCH64].register_count == len(thread.registers)


@pytest.mark.parametrize(
    ("number", "code", "address", "sender"),
    [(11, 1, 0x1234, None), (11, 0x80, None, None), (6, -6, None, 0x1234), (11, 0, None, 0x1234), (14, -2, None, None)],
)
def test_what_a_signal_tells_depends_on_its_code(
    number: int, code: int, address: int | None, sender: int | None
) -> None:
    known = notes.parse([(NT_SIGINFO, siginfo(number, code, 0x1234))], None)
    assert known.signal is not None
    assert (known.signal.number, known.signal.code) == (number, code)
    assert (known.signal.address, known.signal.sender_pid) == (address, sender)


def test_mapped_files_keep_odd_names() -> None:
    files = [(0x1000, 0x3000, 0, b"/tmp/a (deleted)"), (0x3000, 0x4000, 2, b"/tmp/\xff\n"), (0x5000, 0x6000, 9, b"")]
    known = notes.parse([(NT_FILE, content(mapped(files)))], model.X86_64)
    assert [
        (one.start, one.end, one.offset, one.path.encode("utf-8", "surrogateescape")) for one in known.mappings
    ] == [(start, end, page * 4096, path) for start, end, page, path in files]


@pytest.mark.parametrize("claimed", [0, 1, 4, 1 << 20, (1 << 64) - 1])
def test_a_count_of_files_that_lies(claimed: int) -> None:
    raw = bytearray(
        content(mapped([(0x1000, 0x2000, 0, b"/a"), (0x2000, 0x3000, 1, b"/b"), (0x3000, 0x4000, 2, b"/c")]))
    )
    struct.pack_into("<Q", raw, 0, claimed)
    known = notes.parse([(NT_FILE, bytes(raw))], model.X86_64)
    assert len(known.mappings) <= claimed
    assert len(known.mappings) == claimed or any("mapped files" in words for words in known.missing)


def test_of_too_many_threads_the_first_are_kept() -> None:
    status = content(prstatus(1, 2, 3))
    known = notes.parse([(NT_PRSTATUS, status)] * (notes.THREADS_MAX + 5), model.X86_64)
    assert len(known.threads) == notes.THREADS_MAX
    assert f"5 of the threads: only {notes.THREADS_MAX} are read" in known.missing


def test_nothing_is_missing_silently() -> None:
    known = notes.parse([], model.X86_64, ["the notes were cut"])
    assert known.threads == () and known.signal is None and known.pid == 0
    assert known.missing == (
        "the notes were cut",
        "no thread's registers (NT_PRSTATUS)",
        "no list of mapped files (NT_FILE)",
        "no name of the process (NT_PRPSINFO)",
    )


@pytest.mark.parametrize("machine", [model.X86_64, model.AARCH64, None])
@pytest.mark.parametrize("kind", sorted(notes.WANTED))
def test_no_content_of_a_note_raises(kind: int, machine: model.Machine | None) -> None:
    chance = random.Random(kind)
    for size in [*range(140), 335, 336, 384, 391, 392, 4000]:
        raw = bytes(size) if size % 3 else chance.randbytes(size)
        known = notes.parse([(NT_PRSTATUS, content(prstatus(1, 2, 3))), (kind, raw)], machine)
        assert all(thread.registers or machine is None for thread in known.threads)


def test_only_what_the_kernel_writes_is_wanted() -> None:
    assert notes.wanted(b"CORE\0", NT_PRPSINFO, 136) == 136
    assert notes.wanted(b"CORE", NT_AUXV, 1 << 31) == notes.WANTED[NT_AUXV]
    assert not notes.wanted(b"CORE\0", NT_PRSTATUS, 1 << 31)
    assert not notes.wanted(b"CORE\0", 2, 512)  # NT_FPREGSET
    assert not notes.wanted(b"GNU\0", NT_PRSTATUS, 336)
