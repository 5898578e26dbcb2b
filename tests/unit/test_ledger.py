# SPDX-License-Identifier: Apache-2.0
"""The ledger's slots: there and back, the newer good one holds."""

from __future__ import annotations

from telemd import ledger


def filled(generation: int) -> ledger.Ledger:
    made = ledger.Ledger()
    made.generation = generation
    made.segment_generation = 99
    made.received = 1000 + generation
    made.refused[17] = 5
    made.duplicate = 3
    for index, lane in enumerate(made.lanes):
        for place, name in enumerate(sorted(lane.__slots__)):
            setattr(lane, name, 100 * index + place)
    return made


def test_there_and_back() -> None:
    read = ledger.parse_slot(filled(7).pack(123))
    assert read is not None
    assert (read.generation, read.segment_generation, read.received, read.duplicate) == (7, 99, 1007, 3)
    assert read.refused[17] == 5 and sum(read.refused) == 5
    for index, lane in enumerate(read.lanes):
        assert [getattr(lane, name) for name in sorted(lane.__slots__)] == [
            100 * index + i for i in range(len(lane.__slots__))
        ]


def file_of(*generations: int) -> bytearray:
    data = bytearray(2 * ledger.SLOT_LEN)
    for generation in generations:
        at = ledger.slot_offset(generation)
        data[at : at + ledger.SLOT_LEN] = filled(generation).pack(0)
    return data


def test_the_newer_slot_holds() -> None:
    for generations in ((1, 2), (2, 3), (5, 4)):
        read = ledger.parse(bytes(file_of(*generations)))
        assert read is not None and read.generation == max(generations)


def test_a_torn_slot_leaves_the_older_one() -> None:
    data = file_of(4, 5)
    data[ledger.slot_offset(5) + 700] ^= 1
    read = ledger.parse(bytes(data))
    assert read is not None and read.generation == 4


def test_nothing_readable_is_none() -> None:
    assert ledger.parse(bytes(2 * ledger.SLOT_LEN)) is None
    assert ledger.parse(b"") is None


def test_two_writes_never_share_a_slot() -> None:
    assert ledger.slot_offset(8) != ledger.slot_offset(9)
