# SPDX-License-Identifier: Apache-2.0
"""Segment header, footer and name: there and back, and every damaged bit is seen."""

from __future__ import annotations

import pytest

from telemd import segment

HOST = segment.Host(bytes(range(16)), {"arch": "x86_64", "cpu_model": "Ünïcode CPU", "build": ""})
HEADER = segment.Header(1, 0x1122334455667788, 42, 1_700_000_000_000_000, HOST)


def test_header_there_and_back() -> None:
    read = segment.parse_header(segment.pack_header(HEADER))
    assert read is not None
    assert (read.lane, read.generation, read.first_seq, read.created_us) == (
        1,
        0x1122334455667788,
        42,
        1_700_000_000_000_000,
    )
    assert read.host == HOST


def test_longest_facts_fit() -> None:
    host = segment.Host(bytes(16), dict.fromkeys(segment.FACTS, "f" * 256))
    read = segment.parse_header(segment.pack_header(segment.Header(0, 1, 1, 0, host)))
    assert read is not None and read.host == host


@pytest.mark.parametrize("at", [0, 8, 10, 17, 30, 60, 100, 4000, 4095])
def test_a_damaged_header_is_none(at: int) -> None:
    data = bytearray(segment.pack_header(HEADER))
    data[at] ^= 0x10
    assert segment.parse_header(bytes(data)) is None


def test_a_short_header_is_none() -> None:
    assert segment.parse_header(segment.pack_header(HEADER)[:-1]) is None


def test_footer_there_and_back() -> None:
    data = segment.pack_footer(segment.Footer(7, 100, 141, 5, 9, 8192))
    assert len(data) == segment.FOOTER_LEN
    read = segment.parse_footer(data, 7, 8192 + segment.FOOTER_LEN)
    assert read is not None
    assert (read.count, read.last_seq, read.admitted_us_min, read.admitted_us_max, read.frames_end) == (
        100,
        141,
        5,
        9,
        8192,
    )


def test_a_footer_of_another_generation_or_place_is_none() -> None:
    data = segment.pack_footer(segment.Footer(7, 100, 141, 5, 9, 8192))
    assert segment.parse_footer(data, 8, 8192 + segment.FOOTER_LEN) is None
    assert segment.parse_footer(data, 7, 9000) is None


@pytest.mark.parametrize("bit", range(0, 8 * segment.FOOTER_LEN, 7))
def test_every_bit_of_a_footer_counts(bit: int) -> None:
    data = bytearray(segment.pack_footer(segment.Footer(7, 100, 141, 5, 9, 8192)))
    data[bit // 8] ^= 1 << bit % 8
    assert segment.parse_footer(bytes(data), 7, 8192 + segment.FOOTER_LEN) is None


@pytest.mark.parametrize("lane", range(3))
def test_names(lane: int) -> None:
    name = segment.name_of(lane, 0xABC)
    assert segment.parse_name(name) == (lane, 0xABC)


@pytest.mark.parametrize(
    "name",
    ["", "ledger", "event", "event-", "event-1.seg", "other-0000000000000001.seg", "event-000000000000000G.seg",
     "event-0000000000000001.seg.1", "event-00000000.0000001.seg", "../event-0000000000000001.seg"],
)  # fmt: skip
def test_other_names_are_not_ours(name: str) -> None:
    assert segment.parse_name(name) is None


def test_size_follows_the_cap() -> None:
    def for_cap(cap_bytes: int) -> int:
        size = segment.size_for(cap_bytes, 1 << 50)
        assert size == segment.size_for(-1, cap_bytes) == segment.size_for(1 << 50, cap_bytes)
        return size

    assert for_cap(512 * 1024) == for_cap(1) == segment.SIZE_MIN
    assert for_cap(4 * 1024 * 1024) == 4 * 1024 * 1024 // 20 // 4096 * 4096
    assert for_cap(5120 * 1024) == for_cap(8 * 1024 * 1024) == segment.SIZE_FAST
    assert for_cap(40 * 1024 * 1024) == 1024 * 1024
    assert for_cap(1 << 40) == segment.SIZE_MAX


def test_crc_is_castagnoli() -> None:
    assert segment.crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
