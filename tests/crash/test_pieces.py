# SPDX-License-Identifier: Apache-2.0
"""Pieces of compressed sections, read in any order: the bytes are those of the whole, and little of it is in memory."""

from __future__ import annotations

import random
import shutil
import subprocess
import tracemalloc
import zlib
from pathlib import Path

import pytest
from handmade import compile_c

from telemetry_probes.crash import elf, pieces

SIZE = 12 << 20


@pytest.fixture(name="content", scope="module")
def _content() -> bytes:
    """Compressible, and alike nowhere."""
    return b"".join(b"%012d" % (number * 7919) for number in range(SIZE // 12))


@pytest.fixture(name="packed", scope="module")
def _packed(content: bytes) -> bytes:
    return zlib.compress(content, 1)


def test_pieces_in_any_order_are_the_same(content: bytes, packed: bytes) -> None:
    section = pieces.Inflated(memoryview(packed), len(content))
    chance = random.Random(7)
    at = 0
    for turn in range(120):
        size = chance.choice((1, 12, 4096, 70_000, 1 << 20))
        if turn % 3 == 0:
            at = chance.randrange(len(content))
        found = section.read(at, size)
        assert found == content[at : at + size], (at, size)
        at += len(found)


def test_little_of_it_is_in_memory(content: bytes, packed: bytes) -> None:
    tracemalloc.start()
    try:
        section = pieces.Inflated(memoryview(packed), len(content))
        for at in [*range(0, len(content), 100_000), *range(0, len(content), 3_000_000)]:
            assert len(section.read(at, 64)) == 64
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(content) // 5


def test_the_end_and_what_lies_beyond(content: bytes, packed: bytes) -> None:
    section = pieces.Inflated(memoryview(packed), len(content))
    assert section.read(len(content) - 5, 12) == content[-5:]
    for at, size in ((len(content), 1), (len(content) + 9, 1), (-1, 4), (1 << 70, 1), (5, 0), (5, -3)):
        assert section.read(at, size) == b""
    assert section.read(0, 4) == content[:4]


@pytest.mark.parametrize("keep", [0, 1, 3000, -4])
def test_bytes_that_are_cut_end_early(content: bytes, packed: bytes, keep: int) -> None:
    section = pieces.Inflated(memoryview(packed)[:keep], len(content))
    for at in (0, 50, 2_000_000, len(content) - 5):
        found = section.read(at, 100)
        assert found == content[at : at + len(found)]
    assert keep < 0 or len(section.read(0, len(content))) < len(content)


def test_bytes_that_are_no_zlib_end_early_and_do_not_raise(content: bytes, packed: bytes) -> None:
    chance = random.Random(3)
    for _ in range(20):
        broken = bytearray(packed[:200_000])
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        section = pieces.Inflated(memoryview(broken), 1 << 20)
        for at in (900_000, 0, 500_000):
            assert len(section.read(at, 5000)) <= 5000


def test_more_than_was_said_is_not_read(content: bytes, packed: bytes) -> None:
    assert pieces.Inflated(memoryview(packed), 1000).read(0, 5000) == content[:1000]


@pytest.mark.parametrize("kind", ["none", "zlib", "zstd", "zlib-gnu"])
def test_a_program_s_sections_are_the_same_however_compressed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "WHOLE_BYTES", 64)
    source = '#include <stdio.h>\nint main(void) { return puts("a") < 0; }\n'
    plain = compile_c(source, tmp_path / "plain", "-g3", "-O2")
    program = tmp_path / "program"
    objcopy = shutil.which("objcopy")
    assert objcopy
    done = subprocess.run(
        [objcopy, f"--compress-debug-sections={kind}", plain, program], capture_output=True, timeout=60
    )
    if done.returncode:
        pytest.skip(f"this objcopy doesn't know {kind}")
    whole, image = elf.read(plain.read_bytes()), elf.read(program.read_bytes())
    assert whole is not None and image is not None
    for name in (".debug_info", ".debug_abbrev", ".debug_line", ".debug_macro"):
        expected, found = whole.section(name), pieces.of(image, name)
        assert expected is not None and found is not None
        assert found.size == len(expected)
        assert found.read(0, found.size) == bytes(expected)
    assert pieces.of(image, ".debug_nothing") is None
