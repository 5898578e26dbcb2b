# SPDX-License-Identifier: Apache-2.0
"""The reader of ELF files: against pyelftools for real ones, and what comes of ones that were changed."""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from handmade import compile_c

from telemetry_probes.crash import compression, elf
from telemetry_probes.crash.windows import Windows

SOURCE = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(SOURCE, tmp_path_factory.mktemp("elf") / "program", "-Wl,--build-id=sha1")


def image_of(path: Path) -> elf.Image:
    image = elf.read(path.read_bytes(), str(path))
    assert image is not None
    return image


def same_as_pyelftools(path: Path) -> int:
    """How many sections were compared."""
    image = image_of(path)
    oracle = ELFFile(io.BytesIO(path.read_bytes()))
    compared = 0
    assert [segment.vaddr for segment in image.segments] == [one["p_vaddr"] for one in oracle.iter_segments()]
    for section in oracle.iter_sections():
        if section.name and section["sh_type"] not in ("SHT_NOBITS", "SHT_NULL") and section.data_size:
            ours = image.section(section.name)
            assert ours is not None and bytes(ours) == section.data(), section.name
            compared += 1
    return compared


def test_a_program_has_the_sections_that_pyelftools_finds(program: Path) -> None:
    assert same_as_pyelftools(program) > 25


@pytest.mark.parametrize("library", ["libc.so.6", "libm.so.6"])
def test_libraries_of_this_system_too(library: str) -> None:
    path = next(Path("/usr/lib").glob(f"*-linux-gnu/{library}"))
    assert same_as_pyelftools(path) > 20
    read = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"Build ID: {image_of(path).build_id}\n" in read


@pytest.mark.parametrize("kind", ["zlib", "zlib-gnu", "zstd"])
def test_compressed_sections_are_the_same(program: Path, tmp_path: Path, kind: str) -> None:
    packed = tmp_path / "packed"
    subprocess.run(["objcopy", f"--compress-debug-sections={kind}", program, packed], check=True, timeout=60)
    plain, image = image_of(program), image_of(packed)
    for name in (".debug_info", ".debug_line", ".debug_str", ".debug_abbrev"):
        want, have = plain.section(name), image.section(name)
        assert want is not None and have is not None and bytes(have) == bytes(want)
    if kind == "zlib-gnu":
        assert ".zdebug_info" in image.sections
    else:
        assert image.sections[".debug_info"].flags & elf.SHF_COMPRESSED
    assert image_of(packed).section(".debug_info", limit=16) is None


def test_separate_debug_information_has_the_build_id(program: Path, tmp_path: Path) -> None:
    debug = tmp_path / "program.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True, timeout=60)
    image = image_of(debug)
    assert len(image.build_id) == 40 and image.build_id == image_of(program).build_id
    assert image.section(".text") is None  # NOBITS
    assert image.section(".debug_info") is not None


def test_without_section_headers_the_segments_remain(program: Path) -> None:
    raw = bytearray(program.read_bytes())
    struct.pack_into("<Q", raw, 40, 0)  # e_shoff
    struct.pack_into("<HHH", raw, 58, 0, 0, 0)
    image = elf.read(bytes(raw))
    assert image is not None and image.sections == {} and image.section(".text") is None
    assert image.build_id == image_of(program).build_id
    assert image.segment(elf.PT_GNU_EH_FRAME) is not None


def test_addresses_are_found_in_the_file(program: Path) -> None:
    image = image_of(program)
    text = image.header(".text")
    assert text is not None and image.offset_of(text.address) == text.offset
    whole = image.at(text.address, text.size)
    assert whole is not None and whole == image.section(".text")
    assert image.constant(text.address, 16) == whole[:16]
    data = image.header(".data")
    assert data is not None and image.at(data.address, 8) is not None
    assert image.constant(data.address, 8) is None
    assert image.at((1 << 64) - 4, 8) is None and image.at(text.address, 1 << 62) is None
    assert image.at(text.address, -1) is None
    short = image.up_to(text.address, 1 << 40)
    assert short is not None and len(short) >= text.size


def test_an_image_in_memory_is_the_one_on_disk(program: Path) -> None:
    image = image_of(program)
    memory, bias = Windows(), 0x5555_0000_0000
    for segment in image.segments:
        if segment.type == elf.PT_LOAD:
            content = bytes(image.data[segment.offset : segment.offset + segment.file_size])
            memory.add(segment.vaddr + bias, content.ljust(segment.memory_size, b"\0"))
    found = elf.in_memory(memory, bias, "program")
    assert found is not None
    mapped, mapped_bias = found
    assert (mapped_bias, mapped.build_id, mapped.sections) == (bias, image.build_id, {})
    text = image.header(".text")
    assert text is not None and mapped.at(text.address, text.size) == image.at(text.address, text.size)
    assert elf.in_memory(memory, bias + 4096) is None
    assert elf.in_memory(Windows(), bias) is None


@pytest.mark.parametrize(
    "raw", [b"", b"\x7fELF", bytes(64), b"\x7fELF\x01\x01\x01".ljust(64, b"\0"), b"#!/bin/sh\n" * 9]
)
def test_what_is_no_elf_file_of_this_kind(raw: bytes) -> None:
    assert elf.read(raw) is None


def test_a_section_that_says_it_is_enormous_is_absent() -> None:
    assert (
        compression.decompressed(memoryview(b"x" * 64), compression.ELFCOMPRESS_ZLIB, 1 << 62, elf.SECTION_BYTES_MAX)
        is None
    )
    assert (
        compression.decompressed(memoryview(b"x" * 64), compression.ELFCOMPRESS_ZSTD, 4096, elf.SECTION_BYTES_MAX)
        is None
    )
    assert compression.decompressed(memoryview(b"x" * 64), 3, 4096, elf.SECTION_BYTES_MAX) is None


def look_at_everything(raw: bytes) -> int:
    image = elf.read(raw)
    if image is None:
        return 0
    assert len(image.build_id) <= 2 * elf.BUILD_ID_MAX
    for name in list(image.sections)[:100]:
        image.section(name, limit=1 << 20)
    for address in (0, 0x1000, 0x4000, image.entry, (1 << 64) - 1):
        image.at(address, 64)
        image.constant(address, 64)
        image.up_to(address, 1 << 50)
        image.offset_of(address)
    memory = Windows()
    memory.add(0x10000, raw)
    found = elf.in_memory(memory, 0x10000)
    if found is not None:
        found[0].up_to(image.entry, 1 << 62)
        assert len(found[0].build_id) <= 2 * elf.BUILD_ID_MAX
    return 1


def test_no_change_of_a_file_raises(program: Path) -> None:
    packed = program.with_name("packed")
    shutil.copy(program, packed)
    subprocess.run(["objcopy", "--compress-debug-sections=zlib", packed], check=True, timeout=60)
    good = packed.read_bytes()
    sections = struct.unpack_from("<Q", good, 40)[0]
    chance = random.Random(1)
    images = 0
    for _turn in range(1500):
        raw = bytearray(good)
        for _change in range(chance.randint(1, 4)):
            # where the numbers are: the header, the program headers, the section headers
            at = chance.choice(
                (chance.randrange(16, 64), chance.randrange(64, 1024), chance.randrange(sections, len(good)))
            )
            value = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
            width = chance.choice((1, 2, 4, 8))
            raw[at : at + width] = bytes([value]) * width
        images += look_at_everything(bytes(raw[: chance.randrange(len(raw))] if chance.random() < 0.2 else raw))
    assert images > 1000
