# SPDX-License-Identifier: Apache-2.0
"""telemhub.decompress: what unfolds, what is cut off while it unfolds, and what isn't what it says."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard

from telemhub.decompress import RATIO_FREE, Corrupt, TooLarge, decompress

if TYPE_CHECKING:
    from telemhub.decompress import Encoding

MIB = 1024 * 1024
LIMIT = 16 * MIB
COMPRESSED: tuple[Encoding, ...] = ("zstd", "gzip")
TEXT = b'{"host": {}}\n' * 1000


def streamed(data: bytes) -> bytes:
    """A zstd frame that doesn't say how much is in it."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(data) + compressor.flush()


def whole(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("data", [b"", b"x", TEXT, os.urandom(3 * MIB), b"a" * RATIO_FREE])
def test_what_was_compressed_comes_back(data: bytes) -> None:
    assert decompress(whole(data), "zstd", LIMIT) == data
    assert decompress(streamed(data), "zstd", LIMIT) == data
    assert decompress(gzip.compress(data), "gzip", LIMIT) == data
    assert decompress(data, "identity", LIMIT) == data


def test_gzip_members_follow_one_another() -> None:
    assert decompress(gzip.compress(TEXT) + gzip.compress(b"end"), "gzip", LIMIT) == TEXT + b"end"


@pytest.mark.parametrize("size", [2 * MIB, 200 * MIB])
def test_a_bomb_is_too_large_and_takes_little_memory(size: int) -> None:
    data = bytes(size)
    bombs: list[tuple[Encoding, bytes]] = [
        ("zstd", whole(data)),
        ("zstd", streamed(data)),
        ("gzip", gzip.compress(data, 9)),
    ]
    del data
    for encoding, bomb in bombs:
        assert len(bomb) < size // 900
        tracemalloc.start()
        with pytest.raises(TooLarge):
            decompress(bomb, encoding, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2.5 * LIMIT


def test_a_frame_that_lies_about_its_size_is_found_out() -> None:
    honest = whole(b"a" * 1000)
    at = honest.index((1000 - 256).to_bytes(2, "little"))
    with pytest.raises(Corrupt):
        decompress(honest[:at] + (900 - 256).to_bytes(2, "little") + honest[at + 2 :], "zstd", LIMIT)


def test_random_bytes_over_the_limit_are_too_large_in_any_form() -> None:
    data = os.urandom(LIMIT + 1)
    bodies: list[tuple[Encoding, bytes]] = [
        ("zstd", whole(data)),
        ("zstd", streamed(data)),
        ("gzip", gzip.compress(data)),
    ]
    for encoding, body in bodies:
        with pytest.raises(TooLarge):
            decompress(body, encoding, LIMIT)
    with pytest.raises(TooLarge):
        decompress(data, "identity", LIMIT)


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_what_ends_too_early_is_corrupt(cut: int) -> None:
    data = os.urandom(5000)
    bodies: list[tuple[Encoding, bytes]] = [
        ("zstd", whole(data)),
        ("zstd", streamed(data)),
        ("gzip", gzip.compress(data)),
    ]
    for encoding, body in bodies:
        with pytest.raises(Corrupt):
            decompress(body[:-cut], encoding, LIMIT)


@pytest.mark.parametrize("garbage", [b"", b"x", b"garbage that is neither", whole(b"a")[:3] + b"zzzzzzzzz"])
def test_what_is_something_else_is_corrupt(garbage: bytes) -> None:
    for encoding in COMPRESSED:
        with pytest.raises(Corrupt):
            decompress(garbage, encoding, LIMIT)


def test_nothing_may_come_after_the_end() -> None:
    bodies: list[tuple[Encoding, bytes]] = [("zstd", whole(TEXT) + b"x"), ("gzip", gzip.compress(TEXT) + b"x")]
    for encoding, body in bodies:
        with pytest.raises(Corrupt):
            decompress(body, encoding, LIMIT)


def test_gzip_members_without_end_are_corrupt() -> None:
    with pytest.raises(Corrupt):
        decompress(gzip.compress(b"") * 1000, "gzip", LIMIT)
