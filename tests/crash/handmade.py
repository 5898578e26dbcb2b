# SPDX-License-Identifier: Apache-2.0
"""Cores laid out by hand: from parts, or real ones in another order, with something left out, or sent through a pipe.

A layout of its own that imports nothing of the product, so that it is a second opinion. Real cores come from gdb, which
writes notes behind memory; the kernel writes them before it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PT_LOAD, PT_NOTE, PT_NULL = 1, 4, 0
R, W, X = 4, 2, 1
HEADER, ROW, PAGE = 64, 56, 4096
X86_64, AARCH64 = 62, 183
NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE, NT_SIGINFO = 1, 3, 6, 0x46494C45, 0x53494749
RSP, RIP = 19, 16  # in struct user_regs_struct


class Part(NamedTuple):
    """A PT_LOAD: `content` is in the core, `size` is what the process had."""

    address: int
    content: bytes
    flags: int = R | W
    size: int = 0


def note(kind: int, content: bytes, name: bytes = b"CORE\0") -> bytes:
    return (
        struct.pack("<III", len(name), len(content), kind)
        + name.ljust(len(name) + 3 & ~3, b"\0")
        + content.ljust(len(content) + 3 & ~3, b"\0")
    )


def prstatus(tid: int, sp: int, pc: int, signal: int = 11) -> bytes:
    registers = list(range(100, 127))
    registers[RSP], registers[RIP] = sp, pc
    head = struct.pack("<iiihxxQQIIII", signal, 0, 0, signal, 0, 0, tid, 1, tid, tid) + bytes(64)
    return note(NT_PRSTATUS, head + struct.pack("<27Q", *registers) + bytes(8))


def auxv(pairs: dict[int, int]) -> bytes:
    return note(NT_AUXV, b"".join(struct.pack("<QQ", *pair) for pair in [*pairs.items(), (0, 0)]))


def mapped(files: Sequence[tuple[int, int, int, bytes]]) -> bytes:
    """NT_FILE of (start, end, offset in pages, path)."""
    rows = b"".join(struct.pack("<QQQ", *file[:3]) for file in files)
    return note(NT_FILE, struct.pack("<QQ", len(files), PAGE) + rows + b"".join(file[3] + b"\0" for file in files))


def core(parts: Sequence[Part], notes: bytes, *, machine: int = X86_64, notes_first: bool = True) -> bytes:
    """A core of `parts` in their order. Of 65,535 program headers and more the number stands at the end (PN_XNUM)."""
    count = len(parts) + 1
    at = HEADER + ROW * count
    rows, body = [], b""
    note_row = struct.pack("<IIQQQQQQ", PT_NOTE, 0, at, 0, 0, len(notes), 0, 0)
    if notes_first:
        body = notes
    body += bytes(-(at + len(body)) % PAGE)
    chunks = [body]
    offset = at + len(body)
    for part in parts:
        size = max(part.size, len(part.content))
        rows.append(
            struct.pack("<IIQQQQQQ", PT_LOAD, part.flags, offset, part.address, 0, len(part.content), size, PAGE)
        )
        chunks.append(part.content)
        offset += len(part.content)
    if not notes_first:
        note_row = struct.pack("<IIQQQQQQ", PT_NOTE, 0, offset, 0, 0, len(notes), 0, 0)
        chunks.append(notes)
        offset += len(notes)
    many = count >= 0xFFFF
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 4, machine, 1, 0, HEADER, offset if many else 0, 0, HEADER, ROW,
        0xFFFF if many else count, 64, int(many), 0,
    )  # fmt: skip
    if many:
        chunks.append(struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 1, 0, count, 0, 0))
    return header + note_row + b"".join(rows) + b"".join(chunks)


class Taken(NamedTuple):
    """A core taken apart."""

    parts: list[Part]
    notes: list[tuple[int, bytes, bytes]]  # kind, content, name with its NUL


def take_apart(raw: bytes) -> Taken:
    table, count = struct.unpack_from("<Q", raw, 32)[0], struct.unpack_from("<H", raw, 56)[0]
    parts, notes = [], []
    for at in range(table, table + count * ROW, ROW):
        kind, flags, offset, address, _, size, in_memory, _ = struct.unpack_from("<IIQQQQQQ", raw, at)
        if kind == PT_LOAD:
            parts.append(Part(address, raw[offset : offset + size], flags, in_memory))
        elif kind == PT_NOTE:
            where = offset
            while where < offset + size:
                names, contents, of_kind = struct.unpack_from("<III", raw, where)
                name_at = where + 12
                content_at = name_at + (names + 3 & ~3)
                notes.append((of_kind, raw[content_at : content_at + contents], raw[name_at : name_at + names]))
                where = content_at + (contents + 3 & ~3)
    return Taken(parts, notes)


def as_the_kernel(raw: bytes, *, without: Sequence[int] = (), by_size: bool = False) -> bytes:
    """The same core with its notes first, as the kernel writes it; `by_size` is kernel.core_sort_vma.

    Of what is read-only only the first page of an ELF file is kept, as coredump_filter 0x33 does.
    """
    taken = take_apart(raw)
    parts = []
    for part in taken.parts:
        if not part.flags & W and not part.content.startswith(b"\x7fELF"):
            part = part._replace(content=b"")
        elif not part.flags & W and len(part.content) > 2 * PAGE:  # the vdso is whole
            part = part._replace(content=part.content[:PAGE])
        parts.append(part)
    if by_size:
        parts.sort(key=lambda part: len(part.content))
    return core(parts, b"".join(note(*one) for one in taken.notes if one[0] not in without))


@contextlib.contextmanager
def piped(raw: bytes, then_wait: bool = False) -> Iterator[int]:
    """A pipe that `raw` comes out of; with `then_wait` it stays open behind that, as of a writer that hangs."""
    out, into = os.pipe()
    done = threading.Event()

    def write() -> None:
        try:
            rest = memoryview(raw)
            while rest:
                rest = rest[os.write(into, rest) :]
            if then_wait:
                done.wait(60)
        except BrokenPipeError:
            pass  # the reader has what it wants
        finally:
            os.close(into)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield out
    finally:
        done.set()
        os.close(out)
        writer.join(60)


def compile_c(source: str, program: Path, *flags: str) -> Path:
    program.with_suffix(".c").write_text(source)
    subprocess.run(
        ["gcc", "-g", "-O0", "-o", program, program.with_suffix(".c"), *flags],
        check=True,
        timeout=60,
        cwd=program.parent,
    )
    return program


def gdb_core(program: Path, core_file: Path, *arguments: str) -> bytes:
    """Run `program` under gdb until it gets SIGABRT; the core of that."""
    said = subprocess.run(
        ["gdb", "-nx", "-batch", "-ex", "handle SIGSEGV nostop noprint pass", "-ex", "run",
         "-ex", f"generate-core-file {core_file}", "--args", program, *arguments],
        check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert core_file.exists(), said.stdout + said.stderr
    return core_file.read_bytes()
