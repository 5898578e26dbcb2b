# SPDX-License-Identifier: Apache-2.0
"""Machine code read without tables: instructions against objdump, what they do to the stack against unwind tables."""

from __future__ import annotations

import io
import random
import re
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile

from telemetry_probes.crash import calls, cfi, elf, prologue
from telemetry_probes.crash.model import AARCH64, X86_64
from telemetry_probes.crash.windows import Windows

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
LINE = re.compile(r"^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t?(.*)$", re.M)
MOST_BYTES = 1 << 19


def image_of(path: Path) -> elf.Image:
    image = elf.read(path.read_bytes())
    assert image is not None
    return image


def disassembled(path: Path, start: int, end: int) -> list[tuple[int, bytes, str]]:
    command = ["objdump", "-d", "-w", "--insn-width=16", f"--start-address={start}", f"--stop-address={end}", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return [(int(at, 16), bytes.fromhex(code), text) for at, code, text in LINE.findall(said)]


@pytest.mark.parametrize("name", ["libc.so.6", "libm.so.6", "libcrypto.so.3", "libstdc++.so.6"])
def test_instructions_are_as_long_as_objdump_says(name: str) -> None:
    path = LIBRARIES / name
    if not path.exists():
        path = LIBRARIES / "libgcc_s.so.1"
    text = image_of(path).header(".text")
    assert text is not None
    compared = wrong = 0
    for _address, code, told in disassembled(path, text.address, text.address + min(text.size, MOST_BYTES)):
        if "(bad)" in told or told.startswith((".byte", "rex", "data16")) or code[0] == 0x9B:
            continue  # data between functions; fwait, which objdump takes for a part of the next one
        found = prologue.instruction(code + bytes(16), 0)
        compared += 1
        wrong += found is None or found.size != len(code)
    assert compared > 5000
    assert wrong == 0


@pytest.mark.parametrize("name", ["libc.so.6", "libstdc++.so.6"])
def test_what_functions_do_to_the_stack_is_what_their_tables_say(name: str) -> None:
    path = LIBRARIES / name
    image = image_of(path)
    tables = cfi.Tables(image)
    info = ELFFile(io.BytesIO(path.read_bytes())).get_dwarf_info()
    found = [entry for entry in info.EH_CFI_entries() if isinstance(entry, FDE)]
    text = image.header(".text")
    assert text is not None
    chance = random.Random(1)
    agreed = compared = claims = 0
    for entry in chance.sample(found, 1200):
        start, size = entry["initial_location"], entry["address_range"]
        if not text.address <= start < text.address + text.size or size > 1000:
            continue
        whole = image.at(start, size)
        assert whole is not None
        lines, at = [], 0
        while at < size and (one := prologue.instruction(bytes(whole), at)) is not None:
            at += one.size
            lines.append(at)
        first = tables.row(start)
        if first is None or first.cfa_offset != 8:  # the part of a function that was moved away
            continue
        for end in chance.sample(lines[:-1], min(4, len(lines) - 1)):
            told, claimed = tables.row(start + end), prologue.row(bytes(whole[:end]))
            if told is None or told.cfa_expression is not None:
                continue
            compared += 1
            if claimed is None or claimed.cfa_register != told.cfa_register:
                continue
            claims += 1
            agreed += claimed.cfa_offset == told.cfa_offset
    assert compared > 1500
    assert claims > compared * 0.9
    assert agreed > claims * 0.97


@pytest.mark.parametrize(
    ("code", "base", "distance"),
    [
        ("", 7, 8),
        ("55", 7, 16),
        ("55 48 89 e5", 7, 16),
        ("55 48 89 e5 48 83 ec 20", 7, 48),
        ("55 48 89 e5 48 83 e4 f0", 6, 16),  # and $-16,%rsp: only rbp still knows
        ("55 48 89 e5 48 29 c4", 6, 16),
        ("41 57 41 56 53 48 81 ec 00 01 00 00", 7, 288),
        ("53 31 c0 5b", 7, 8),
        ("55 48 89 e5 53 50 c9", 7, 8),
        ("48 83 ec 18 74 05 48 83 c4 18 c3", 7, 32),  # behind the return, as where was jumped from
        ("48 8d 64 24 e0", 7, 40),
        ("f3 0f 1e fa 55", 7, 16),
        ("68 00 00 00 00 6a 01", 7, 24),
    ],
)
def test_where_the_return_address_is(code: str, base: int, distance: int) -> None:
    row = prologue.row(bytes.fromhex(code))
    assert row is not None
    assert (row.cfa_register, row.cfa_offset) == (base, distance)


@pytest.mark.parametrize("code", ["48 83", "e8 00 00", "06", "48 83 e4 f0", "48 89 c4", "41 5c 41 5d"])
def test_what_cannot_be_followed_is_no_claim(code: str) -> None:
    assert prologue.row(bytes.fromhex(code)) is None


def test_saved_registers_are_found_again() -> None:
    row = prologue.row(bytes.fromhex("55 41 54 53 48 83 ec 10"))
    assert row is not None
    assert {register: place for register, _kind, place in row.rules} == {6: -16, 12: -24, 3: -32, 16: -8}


def test_any_bytes_are_code_or_not() -> None:
    chance = random.Random(2)
    for _round in range(3000):
        row = prologue.row(chance.randbytes(chance.randrange(64)))
        assert row is None or row.cfa_register in (6, 7)
        prologue.tail_jump(chance.randbytes(64))


# Calls


def memory_of(code: bytes, address: int) -> Windows:
    made = Windows()
    made.add(address, code)
    return made


@pytest.mark.parametrize("name", ["libc.so.6", "libstdc++.so.6"])
def test_every_call_is_told_and_nothing_else(name: str) -> None:
    path = LIBRARIES / name
    image = image_of(path)
    text = image.header(".text")
    assert text is not None
    end = text.address + min(text.size, MOST_BYTES)
    content = image.at(text.address, end - text.address)
    assert content is not None
    memory = memory_of(bytes(content), text.address)
    told = other = mistaken = 0
    for address, code, words in disassembled(path, text.address, end)[8:]:
        called = calls.called(X86_64, memory, address + len(code))
        if re.search(r"\bcall\b", words):
            assert called != calls.NO_CALL, words
            if match := re.search(r"call +([0-9a-f]+) <", words):
                assert called == int(match[1], 16) or not text.address <= int(match[1], 16) < end or called > end
            told += 1
        else:
            other += 1
            # bytes in the middle of an instruction can look like a call, seldom of something in this file
            mistaken += called == calls.INDIRECT or text.address <= called < end
    assert told > 1000
    assert mistaken < other // 250


@pytest.mark.parametrize(
    ("word", "called"),
    [
        (0x94000004, 0x1010), (0x97FFFFFF, 0xFFC), (0xD63F0100, calls.INDIRECT), (0xD63F081F, calls.INDIRECT),
        (0xD73F0A30, calls.INDIRECT), (0xD65F03C0, calls.NO_CALL), (0x14000004, calls.NO_CALL),
        (0xD61F0100, calls.NO_CALL),
    ],
)  # fmt: skip
def test_calls_of_aarch64(word: int, called: int) -> None:
    assert calls.called(AARCH64, memory_of(struct.pack("<I", word), 0x1000), 0x1004) == called
    assert calls.called(AARCH64, memory_of(struct.pack("<I", word), 0x1000), 0x1002) == calls.NO_CALL
    assert calls.called(AARCH64, Windows(), 0x1004) == calls.UNREADABLE


def test_calls_are_followed_through_the_plt() -> None:
    memory = memory_of(b"\xe8" + struct.pack("<i", 0x1000 - 5), 0x1000)  # to 0x2000
    memory.add(0x2000, b"\xf3\x0f\x1e\xfa\xf2\xff\x25" + struct.pack("<i", 0x3000 - 0x200B) + bytes(8))
    assert calls.called(X86_64, memory, 0x1005) in (calls.UNREADABLE, calls.INDIRECT)
    whole = memory_of(bytes(16) + b"\xe8" + struct.pack("<i", 0x1000 - 0x15), 0x1000)
    whole.add(0x2000, b"\xf3\x0f\x1e\xfa\xf2\xff\x25" + struct.pack("<i", 0x3000 - 0x200B) + bytes(8))
    assert calls.called(X86_64, whole, 0x1015) == calls.INDIRECT
    whole.add(0x3000, struct.pack("<Q", 0x123456))
    assert calls.called(X86_64, whole, 0x1015) == 0x123456


def test_trampolines() -> None:
    for code in ("48c7c00f0000000f05", "b80f0000000f05"):
        memory = memory_of(bytes.fromhex(code) + bytes(8), 0x1000)
        assert calls.is_trampoline(X86_64, memory, 0x1000)
        assert not calls.is_trampoline(X86_64, memory, 0x1001)
        assert not calls.is_trampoline(AARCH64, memory, 0x1000)
    assert calls.is_trampoline(AARCH64, memory_of(bytes.fromhex("681180d2010000d4"), 0x1000), 0x1000)
