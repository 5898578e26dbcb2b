# SPDX-License-Identifier: Apache-2.0
"""Dumps of pstore put together: parts in any order, alone, compressed, without a last newline, and what is none."""

from __future__ import annotations

import random
import tarfile
import zlib
from pathlib import Path

import pytest
import zstandard

from telemetry_probes import pstore

FIXTURES = Path(__file__).parents[1] / "golden/kernel/pstore"
with tarfile.open(FIXTURES / "panic.tar.gz") as archive:
    REAL = {
        each.name.removeprefix("./"): archive.extractfile(each).read()  # type: ignore[union-attr]
        for each in archive.getmembers()
        if each.isfile()
    }
PANIC = next(content for content in REAL.values() if content.startswith(b"Panic#"))
TEXT = PANIC.partition(b"\n")[2]


def parts(count: int, time_s: int = 1_700_000_000, dump: int = 1, reason: str = "Panic") -> dict[str, bytes]:
    """A real panic as efi would have cut it: part 1 is the end."""
    rows = TEXT.splitlines(keepends=True)
    each = -(-len(rows) // count)
    found = {}
    for part in range(1, count + 1):
        begin = len(rows) - part * each
        body = b"".join(rows[max(0, begin) : begin + each])
        found[f"dmesg-efi-{(time_s * 100 + part) * 1000 + dump}"] = f"{reason}#{dump} Part{part}\n".encode() + body
    return found


def read(files: dict[str, bytes], time_s: int = 1_700_000_000) -> list[pstore.Dump]:
    found = []
    for name, content in files.items():
        part = pstore.part(name, content, time_s)
        assert isinstance(part, pstore.Part), part
        found.append(part)
    return pstore.dumps(found)


def lz4_block(content: bytes) -> bytes:
    """A small encoder of lz4's block format, with matches: a second opinion."""

    def length(number: int) -> bytes:
        more = bytearray()
        number -= 15
        while number >= 255:
            more.append(255)
            number -= 255
        more.append(number)
        return bytes(more)

    out, at, begin, seen = bytearray(), 0, 0, dict[bytes, int]()
    while at < len(content) - 12:
        found = seen.get(content[at : at + 4])
        seen[content[at : at + 4]] = at
        if found is None or at - found > 65_535:
            at += 1
            continue
        end = at + 4
        while end < len(content) - 5 and content[end] == content[found + end - at]:
            end += 1
        literals, matched = content[begin:at], end - at - 4
        out.append(min(15, len(literals)) << 4 | min(15, matched))
        out += length(len(literals)) if len(literals) >= 15 else b""
        out += literals + (at - found).to_bytes(2, "little")
        out += length(matched) if matched >= 15 else b""
        begin = at = end
    literals = content[begin:]
    out.append(min(15, len(literals)) << 4)
    out += length(len(literals)) if len(literals) >= 15 else b""
    return bytes(out + literals)


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_parts_in_any_order(count: int) -> None:
    files = list(parts(count).items())
    for seed in range(5):
        random.Random(seed).shuffle(files)
        (dump,) = read(dict(files))
        assert dump.text.encode() == TEXT.rstrip(b"\n") + b"\n"
        assert (dump.reason, dump.complete, len(dump.names)) == ("Panic", True, count)


def test_a_missing_part_leaves_the_others() -> None:
    files = parts(4)
    del files[sorted(files)[1]]
    (dump,) = read(files)
    assert not dump.complete
    assert "Kernel panic" in dump.text


def test_dumps_of_two_boots_and_of_one_boot_stay_apart() -> None:
    files = {**parts(2), **parts(2, dump=2, reason="Oops"), **parts(2, time_s=1_700_500_000)}
    assert len(read(files)) == 3


def test_no_newline_at_the_end_and_none_at_all() -> None:
    files = {name: content.rstrip(b"\n") for name, content in parts(3).items()}
    (dump,) = read(files)
    assert dump.text.encode() == TEXT.rstrip(b"\n") + b"\n"
    (bare,) = read({"dmesg-ramoops-0": b"BUG: no newline anywhere"})
    assert bare.text == "BUG: no newline anywhere\n"
    (empty,) = read({"dmesg-ramoops-0": b""})
    assert empty.text == ""
    (head,) = read({"dmesg-ramoops-0": b"Panic#1 Part1"})
    assert head.text == ""


def test_dumps_that_a_kernel_left() -> None:
    """ramoops writes each dump whole."""
    dumps = read(REAL)
    assert sorted(dump.reason for dump in dumps) == ["Oops"] * 8 + ["Panic"]


def raw_deflate(content: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, -11)
    return packing.compress(content) + packing.flush()


@pytest.mark.parametrize("pack", [raw_deflate, zlib.compress, lz4_block, zstandard.compress])
def test_compressed_as_the_kernel_left_it(pack: object) -> None:
    assert callable(pack)
    packed = pack(PANIC)
    assert len(packed) < len(PANIC)
    (dump,) = read({"dmesg-ramoops-3.enc.z": packed})
    assert dump.text.encode() == TEXT.rstrip(b"\n") + b"\n"
    (short,) = read({"dmesg-ramoops-3.enc.z": packed[: len(packed) * 2 // 3]}) if pack is raw_deflate else [dump]
    assert TEXT.startswith(short.text.encode()[:2000])


def test_what_can_not_be_unpacked_is_said() -> None:
    chance = random.Random(3)
    for length in (0, 1, 40, 4000):
        found = pstore.part("dmesg-efi-170000000001001.enc.z", chance.randbytes(length), 0)
        assert isinstance(found, str), length
        assert "compressed" in found


def test_a_bomb_is_cut() -> None:
    for pack in (raw_deflate, zstandard.compress, lz4_block):
        part = pstore.part("dmesg-ramoops-0.enc.z", pack(b"Oops#1 Part1\n" + b"a" * (3 << 20)), 0)
        assert isinstance(part, pstore.Part)
        assert len(part.text) <= pstore.TEXT_BYTES_MAX + 1


@pytest.mark.parametrize(
    "name",
    ["..", "dmesg-efi-", "dmesg-efi-../../etc/passwd", "pmsg-ramoops-0", "dmesg-unknown-1", "dmesg-ramoops-0\n",
     "mce-erst-1", "",
     "dmesg-ramoops-x", "dmesg-ramoops--1", "dmesg-ramoops-²"],
)  # fmt: skip
def test_other_names_are_left_alone(name: str) -> None:
    assert pstore.backend_of(name) is None


@pytest.mark.parametrize(
    "name", ["dmesg-efi-143994262108001", "dmesg-efi_pstore-143994262108001", "dmesg-erst-6543210", "dmesg-nvram-2",
             "console-ramoops-0", "dmesg-ramoops-0.enc.z", "dmesg-pstore_blk-1"],
)  # fmt: skip
def test_names_of_the_kernel(name: str) -> None:
    assert pstore.backend_of(name) is not None
