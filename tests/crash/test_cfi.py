# SPDX-License-Identifier: Apache-2.0
"""Unwind tables: every kind of table against pyelftools' reading of it, and what comes of tables that lie."""

from __future__ import annotations

import io
import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile
from handmade import compile_c

from telemetry_probes.crash import cfi, elf, expressions, rules
from telemetry_probes.crash.leb import sleb, uleb
from telemetry_probes.crash.windows import Windows

KINDS = {
    "OFFSET": rules.OFFSET,
    "VAL_OFFSET": rules.VAL_OFFSET,
    "REGISTER": rules.REGISTER,
    "EXPRESSION": rules.EXPRESSION,
    "VAL_EXPRESSION": rules.VAL_EXPRESSION,
    "UNDEFINED": rules.UNDEFINED,
}
DW_CFA_GNU_ARGS_SIZE = 0x2E
SAMPLES = 400
"""Of each file's entries, in which every row is compared."""
LIBRARIES = {
    "libc": "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "libstdc++": "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "python": "/usr/bin/python3.11",
    "gcc's": "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "aarch64": "/usr/aarch64-linux-gnu/lib/libc.so.6",
}
SOURCE = """
#include <stdlib.h>
int called(int *);
__attribute__((noinline)) int called(int *room) { return room[0] + rand(); }
int main(int argc, char **argv) {
    int room[argc * 10];
    room[0] = argc;
    if (argc > 3) return called(room) + argv[0][0];
    return called(room);
}
"""

Rules = tuple[Any, ...]


def expected(row: dict[Any, Any]) -> Rules:
    """A row of pyelftools in the form that is compared."""
    cfa = row["cfa"]
    base = (cfa.reg, cfa.offset) if cfa.expr is None else bytes(cfa.expr)
    others = {key: value for key, value in row.items() if isinstance(key, int) and value.type != "SAME_VALUE"}
    return base, tuple(
        (key, KINDS[value.type], bytes(value.arg) if isinstance(value.arg, list) else value.arg or 0)
        for key, value in sorted(others.items())
    )


def ours(row: rules.Row | None) -> Rules | None:
    if row is None:
        return None
    base = row.cfa_expression if row.cfa_expression is not None else (row.cfa_register, row.cfa_offset)
    return base, row.rules


def rows_of(entry: FDE) -> Iterator[tuple[int, Rules]]:
    """(address, row) of all rows of an entry: at the first and at the last byte for which each is valid."""
    end = entry["initial_location"] + entry["address_range"]
    # what it says of pushed arguments means nothing to a row, and pyelftools doesn't know it
    entry.instructions[:] = [one for one in entry.instructions if one.opcode != DW_CFA_GNU_ARGS_SIZE]
    table = entry.get_decoded().table
    for place, row in enumerate(table):
        last = (table[place + 1]["pc"] if place + 1 < len(table) else end) - 1
        if row["pc"] <= last:
            yield row["pc"], expected(row)
            yield last, expected(row)


def entries(path: Path, debug: bool = False) -> list[FDE]:
    info = ELFFile(io.BytesIO(path.read_bytes())).get_dwarf_info()
    found = [entry for entry in (info.CFI_entries() if debug else info.EH_CFI_entries()) if isinstance(entry, FDE)]
    return [entry for entry in found if entry["initial_location"] and entry["address_range"]]


def read(content: bytes) -> elf.Image:
    image = elf.read(content)
    assert image is not None
    return image


def compare(tables: cfi.Tables, found: list[FDE], seed: int = 0) -> int:
    """How many rows were compared."""
    compared = 0
    for entry in random.Random(seed).sample(found, min(SAMPLES, len(found))):
        for address, row in rows_of(entry):
            got = tables.row(address)
            assert ours(got) == row, hex(address)
            assert got is not None and got.start == entry["initial_location"]
            compared += 1
    return compared


@pytest.mark.parametrize("name", LIBRARIES)
def test_rows_are_those_of_pyelftools(name: str) -> None:
    path = Path(LIBRARIES[name])
    found = entries(path)
    tables = cfi.Tables(read(path.read_bytes()))
    assert compare(tables, found) > 100
    for entry in found:  # of each at least that it is found
        row = tables.row(entry["initial_location"])
        assert row is not None and row.start == entry["initial_location"]


def test_signal_frames_are_told() -> None:
    path = Path(LIBRARIES["libc"])
    tables = cfi.Tables(read(path.read_bytes()))
    signal = [entry for entry in entries(path) if entry.cie and b"S" in entry.cie["augmentation"]]
    assert signal
    for entry in signal:
        row = tables.row(entry["initial_location"])
        assert row is not None and row.signal


def test_nothing_covers_what_no_entry_covers() -> None:
    path = Path(LIBRARIES["libc"])
    tables = cfi.Tables(read(path.read_bytes()))
    for address in (0, 1, 1 << 40, (1 << 64) - 1):
        assert tables.row(address) is None
    covered = sorted((entry["initial_location"], entry["address_range"]) for entry in entries(path))
    gaps = [
        start + size for (start, size), (following, _size) in zip(covered, covered[1:], strict=False)
        if start + size < following
    ]  # fmt: skip
    assert len(gaps) > 100
    assert all(tables.row(gap) is None for gap in gaps)


def without_index(content: bytes) -> bytes:
    """The same file whose program headers don't tell of `.eh_frame_hdr`."""
    changed = bytearray(content)
    table, size, count = struct.unpack_from("<Q", content, 32)[0], *struct.unpack_from("<HH", content, 54)
    for at in range(table, table + size * count, size):
        if struct.unpack_from("<I", content, at)[0] == elf.PT_GNU_EH_FRAME:
            struct.pack_into("<I", changed, at, 0)
    assert changed != content
    return bytes(changed)


def without_sections(content: bytes) -> bytes:
    return content[:40] + bytes(8) + content[48:60] + bytes(4) + content[64:]


def with_useless_index(content: bytes) -> bytes:
    """`.eh_frame_hdr` says where `.eh_frame` is, but has no table that can be searched."""
    segment = next(one for one in read(content).segments if one.type == elf.PT_GNU_EH_FRAME)
    return content[: segment.offset + 2] + b"\xff\xff" + content[segment.offset + 4 :]


@pytest.mark.parametrize(
    "change", [without_index, without_sections, lambda content: without_sections(with_useless_index(content))]
)
@pytest.mark.parametrize("name", ["gcc's", "python"])
def test_tables_are_found_by_what_is_left(name: str, change: Callable[[bytes], bytes]) -> None:
    path = Path(LIBRARIES[name])
    assert compare(cfi.Tables(read(change(path.read_bytes()))), entries(path), seed=1) > 100


@pytest.mark.parametrize("version", ["2", "4", "5"])
def test_tables_for_debuggers(tmp_path: Path, version: str) -> None:
    flags = ("-O2", "-fno-asynchronous-unwind-tables", f"-gdwarf-{version}")
    path = compile_c(SOURCE, tmp_path / "program", *flags)
    found = entries(path, debug=True)
    assert len(found) >= 2  # main, called
    assert compare(cfi.Tables(read(path.read_bytes())), found) >= 4


def test_a_separate_file_with_tables(tmp_path: Path) -> None:
    path = compile_c(SOURCE, tmp_path / "program", "-O2", "-fno-asynchronous-unwind-tables", "-g")
    found = entries(path, debug=True)
    content = path.read_bytes()
    bare = read(without_sections(content))
    assert all(cfi.Tables(bare).row(entry["initial_location"]) is None for entry in found)
    assert compare(cfi.Tables(bare, read(content)), found) >= 4


def leb(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def section(program: bytes, *, wide: bool = False, debug: bool = True) -> cfi.Section:
    """A common part (CFA = r7+8, return address at CFA-8) and an entry of 0x1000 to 0x2000 with `program`."""

    def packed(ident: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 8)
        if wide:
            return struct.pack("<IQQ", 0xFFFFFFFF, len(body) + 8, ident) + body
        return struct.pack("<II", len(body) + 4, ident) + body

    common = bytes([4, 0, 8, 0, 1, 0x78, 16, 0x0C, 7, 8, 0x90, 1])
    first = packed((1 << 64) - 1 if wide else 0xFFFFFFFF, common)
    return cfi.Section(memoryview(first + packed(0, struct.pack("<QQ", 0x1000, 0x1000) + program)), 0, debug=debug)


def row_at(address: int, program: bytes, *, wide: bool = False) -> rules.Row | None:
    made = section(program, wide=wide)
    found = list(made.entries())
    assert [(start, end) for start, end, _offset in found] == [(0x1000, 0x2000)]
    return made.row(found[0][2], address)


@pytest.mark.parametrize("wide", [False, True])
def test_entries_of_both_widths(wide: bool) -> None:
    program = b"\x44\x0e\x10\x86\x02"  # 4 on, CFA = r7+16, r6 at CFA-16
    before, after = row_at(0x1003, program, wide=wide), row_at(0x1004, program, wide=wide)
    assert before is not None and after is not None
    assert (before.cfa_offset, before.rules) == (8, ((16, rules.OFFSET, -8),))
    assert (after.cfa_offset, after.rules) == (16, ((6, rules.OFFSET, -16), (16, rules.OFFSET, -8)))


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (b"\x0a\x0e\x20\x41\x0b\x41", ((7, 8), {16: (rules.OFFSET, -8)})),  # remembered, changed, restored
        (b"\x0d\x06", ((6, 8), {16: (rules.OFFSET, -8)})),
        (b"\x12\x06\x7e", ((6, 16), {16: (rules.OFFSET, -8)})),  # -2 times -8
        (b"\x13\x7d", ((7, 24), {16: (rules.OFFSET, -8)})),
        (b"\x05\x0c\x03", ((7, 8), {12: (rules.OFFSET, -24), 16: (rules.OFFSET, -8)})),
        (b"\x11\x0c\x7d", ((7, 8), {12: (rules.OFFSET, 24), 16: (rules.OFFSET, -8)})),
        (b"\x2f\x0c\x03", ((7, 8), {12: (rules.OFFSET, 24), 16: (rules.OFFSET, -8)})),
        (b"\x14\x0c\x03", ((7, 8), {12: (rules.VAL_OFFSET, -24), 16: (rules.OFFSET, -8)})),
        (b"\x15\x0c\x7d", ((7, 8), {12: (rules.VAL_OFFSET, 24), 16: (rules.OFFSET, -8)})),
        (b"\x09\x10\x0e", ((7, 8), {16: (rules.REGISTER, 14)})),
        (b"\x07\x10", ((7, 8), {16: (rules.UNDEFINED, 0)})),
        (b"\x86\x02\x08\x06", ((7, 8), {16: (rules.OFFSET, -8)})),  # the same value is no rule
        (b"\x90\x02\xd0", ((7, 8), {16: (rules.OFFSET, -8)})),  # restored from the common part
        (b"\x90\x02\x06\x10", ((7, 8), {16: (rules.OFFSET, -8)})),
        (b"\x2d\x2e\x10\x00", ((7, 8), {16: (rules.OFFSET, -8)})),
        (b"\x10\x0c\x02\x77\x08", ((7, 8), {12: (rules.EXPRESSION, b"\x77\x08"), 16: (rules.OFFSET, -8)})),
        (b"\x16\x0c\x02\x77\x08", ((7, 8), {12: (rules.VAL_EXPRESSION, b"\x77\x08"), 16: (rules.OFFSET, -8)})),
        (b"\x02\x20\x0e\x20\x03\x00\x01\x0e\x28", ((7, 32), {16: (rules.OFFSET, -8)})),
        (b"\x01" + struct.pack("<Q", 0x1FF0) + b"\x0e\x20", ((7, 8), {16: (rules.OFFSET, -8)})),
    ],
)  # fmt: skip
def test_what_instructions_mean(program: bytes, told: tuple[tuple[int, int], dict[int, Any]]) -> None:
    row = row_at(0x1040, program)
    assert row is not None
    assert ((row.cfa_register, row.cfa_offset), {key: (kind, value) for key, kind, value in row.rules}) == told


@pytest.mark.parametrize(
    "program",
    [
        b"\x0b",  # restored without having been remembered
        b"\x0a" * 65,
        b"\x3f",  # no such instruction
        b"\x0f\x7f",  # an expression that ends behind the section
        b"\x86" + b"\x80" * 20,  # a number without an end
        b"\x00" * 20_001,
        b"\x0f\x00\x0e\x08",  # an offset to an expression
    ],
)
def test_programs_without_sense_give_no_row(program: bytes) -> None:
    made = section(program)
    assert made.row(next(made.entries())[2], 0x1FFF) is None


def test_changed_tables_neither_raise_nor_take_long(tmp_path: Path) -> None:
    path = compile_c(SOURCE, tmp_path / "program", "-O2", "-static", "-Wl,--eh-frame-hdr")
    content = path.read_bytes()
    image = read(content)
    places = [(one.offset, one.size) for name in (".eh_frame_hdr", ".eh_frame") if (one := image.header(name))]
    text = image.header(".text")
    assert len(places) == 2 and text is not None
    chance = random.Random(5)
    addresses = [chance.randrange(text.address, text.address + text.size) for _count in range(40)]
    begun = time.monotonic()
    found = 0
    for _round in range(150):
        changed = bytearray(content)
        for _count in range(chance.choice((1, 20, 2000))):
            start, size = chance.choice(places)
            at = start + chance.randrange(min(size, chance.choice((16, size))))
            changed[at] = chance.choice((0, 0xFF, 0x7F, 0x80, chance.randrange(256)))
        damaged = bytes(changed)
        for variant in (damaged, without_index(damaged)) if _round % 5 == 0 else (damaged,):
            tables = cfi.Tables(read(variant))
            found += sum(tables.row(address) is not None for address in addresses)
    assert found > 0
    assert time.monotonic() - begun < 60


# Expressions

REGISTERS: list[int | None] = [number * 0x1000 for number in range(16)] + [None]


def memory() -> Windows:
    made = Windows()
    made.add(0x7000, struct.pack("<QQ", 0x1122334455667788, 42))
    return made


def evaluate(code: bytes, start: int | None = None) -> int | None:
    return expressions.evaluate(code, REGISTERS, memory(), start)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("77 08", 0x7008), ("77 08 06", 42), ("77 78", 0x6FF8), ("92 07 08", 0x7008),
        ("77 00 94 02", 0x7788), ("77 00 94 01", 0x88), ("35 36 1c", (1 << 64) - 1), ("35 12 1e", 25),
        ("08 ff", 255), ("09 ff", (1 << 64) - 1), ("0a 00 01", 256), ("0b 00 80", (1 << 64) - 0x8000),
        ("0c 01 00 00 00", 1), ("0e 01 00 00 00 00 00 00 80", 1 << 63 | 1), ("10 80 02", 256), ("11 7f", (1 << 64) - 1),
        ("09 f9 32 1b", (1 << 64) - 3), ("37 32 1d", 1), ("35 33 16 1c", (1 << 64) - 2), ("31 32 33 17", 2),
        ("31 32 14", 1), ("31 32 33 15 02", 1), ("31 32 13", 1), ("09 fb 19", 5), ("31 1f", (1 << 64) - 1),
        ("30 20", (1 << 64) - 1), ("33 35 1a", 1), ("33 35 21", 7), ("33 35 27", 6), ("33 23 80 01", 131),
        ("31 08 3f 24", 1 << 63), ("31 08 40 24", 0), ("09 f0 32 26", (1 << 64) - 4), ("09 f0 08 3c 25", 15),
        ("31 32 2d", 1), ("09 ff 31 2d", 1), ("31 31 29", 1), ("31 32 2a", 0), ("32 31 2b", 1), ("31 31 2c", 1),
        ("31 31 2e", 0), ("31 28 01 00 35 96", None), ("30 28 01 00 35", 5), ("2f 01 00 13 38", 8),
    ],
)  # fmt: skip
def test_operations(code: str, value: int | None) -> None:
    if code == "31 28 01 00 35 96":  # the branch passes over the only value
        assert evaluate(bytes.fromhex(code)) is None
        return
    assert evaluate(bytes.fromhex(code)) == value


def test_the_plt_of_x86_64() -> None:
    """What ld writes for `.plt`: 8 more once the first instruction of an entry has pushed."""
    code = bytes.fromhex("77 08 80 00 3f 1a 3b 2a 33 24 22")
    for pc, pushed in ((0x1020, 8), (0x102A, 8), (0x102B, 16), (0x102F, 16)):
        registers: list[int | None] = [None] * 7 + [0x5000] + [None] * 8 + [pc]
        assert expressions.evaluate(code, registers, memory(), None) == 0x5000 + pushed


@pytest.mark.parametrize(
    "code",
    ["", "2f fd ff", "31 28 fd ff 2f fa ff", "06", "31 06", "77", "12", "80 00", "94 09", "08", "e0", "31 30 1b",
     "31 30 1d", "2f ff 7f", "15 05", "92 7f 00", "77 00 94 00", "10 " + "80 " * 12, "31 " + "12 " * 100],
)  # fmt: skip
def test_expressions_that_have_no_value(code: str) -> None:
    assert evaluate(bytes.fromhex(code)) is None


def test_any_bytes_are_survived() -> None:
    chance = random.Random(3)
    begun = time.monotonic()
    for _round in range(20_000):
        value = evaluate(chance.randbytes(chance.randrange(1, 40)), chance.choice((None, 0x7000)))
        assert value is None or 0 <= value < 1 << 64
    assert time.monotonic() - begun < 60


def test_numbers_of_leb128() -> None:
    for value in (0, 1, 127, 128, 300, 1 << 32, (1 << 64) - 1):
        assert uleb(leb(value), 0) == (value, len(leb(value)))
    assert sleb(b"\x7f", 0) == (-1, 1)
    assert sleb(b"\x80\x7f", 0) == (-128, 2)
    assert sleb(b"\x3f", 0) == (63, 1)
