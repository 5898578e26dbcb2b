# SPDX-License-Identifier: Apache-2.0
"""Memory that was kept or is read when asked for: at its edges, and against a plain model of itself."""

from __future__ import annotations

import os
import random
from pathlib import Path

import handmade
import pytest
from handmade import Part

from telemetry_probes.crash import stream
from telemetry_probes.crash.windows import READ_MAX, Layers, Windows


def test_windows_that_touch_are_read_across() -> None:
    memory = Windows()
    memory.add(0x2000, b"b" * 16)
    memory.add(0x1FF0, b"a" * 16)
    memory.add(0x2010, b"c" * 4)
    assert memory.read(0x1FFC, 24) == b"aaaa" + b"b" * 16 + b"cccc"
    assert memory.word(0x1FFC) == int.from_bytes(b"aaaabbbb", "little")
    assert memory.word(0x200C) == int.from_bytes(b"bbbbcccc", "little")
    assert memory.read(0x1FFC, 25) is None and memory.word(0x2010) is None
    assert memory.read(0x1FEF, 1) is None and memory.read(0x2014, 1) is None
    assert memory.size == 36


@pytest.mark.parametrize(("address", "size"), [(-1, 8), (0, -1), (0, READ_MAX + 1), (1 << 64, 8), (1 << 80, 1)])
def test_what_no_memory_can_have(address: int, size: int) -> None:
    memory = Windows()
    memory.add(0, b"x" * 64)
    assert memory.read(address, size) is None


def test_the_layer_above_hides_the_one_below() -> None:
    above, below = Windows(), Windows()
    above.add(0x1000, b"\1" * 16)
    below.add(0x1008, b"\2" * 16)
    both = Layers(above, below)
    assert both.read(0x1008, 8) == b"\1" * 8 and both.read(0x1010, 8) == b"\2" * 8
    assert both.word(0x1008) == 0x0101010101010101 and both.word(0x1010) == 0x0202020202020202
    assert both.word(0x100C) == 0x0202020202020202  # whole below, half above
    assert both.read(0x0FFF, 8) is None and both.word(0x1014) is None


@pytest.mark.parametrize("seed", range(10))
def test_a_file_and_a_pipe_say_what_the_core_says(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    parts: list[Part] = []
    bytes_at: dict[int, int] = {}
    address = 0x10_0000
    for _ in range(12):
        address += chance.choice((0, 0, 8, 100, 4096, 70_000))
        content = chance.randbytes(chance.choice((1, 7, 8, 100, 4096, 5000, 40_000)))
        parts.append(Part(address, content, size=len(content)))
        bytes_at.update(enumerate(content, address))
        address += len(content)
    raw = handmade.core(parts, handmade.prstatus(1, parts[0].address, 2))
    file = tmp_path / "core"
    file.write_bytes(raw)
    fd = os.open(file, os.O_RDONLY)
    lazy = stream.read(fd)
    os.close(fd)
    with handmade.piped(raw) as pipe:
        kept = stream.read(pipe)
    for _turn in range(3000):
        part = chance.choice(parts)
        start = part.address + chance.randrange(-10, len(part.content) + 10)
        size = chance.choice((1, 4, 8, 8, 8, 64, 5000))
        want = bytes(bytes_at.get(at, 0) for at in range(start, start + size))
        have = want if all(at in bytes_at for at in range(start, start + size)) else None
        assert lazy.memory.read(start, size) == have and kept.memory.read(start, size) == have
        if size == 8:
            word = None if have is None else int.from_bytes(have, "little")
            assert lazy.memory.word(start) == word and kept.memory.word(start) == word
    lazy.close()
    assert lazy.memory.read(parts[0].address + 90_000_000, 8) is None
