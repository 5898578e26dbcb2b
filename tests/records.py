# SPDX-License-Identifier: Apache-2.0
"""Records of format 5, written a second time in Python: tests don't lean on the codec they test."""

from __future__ import annotations

import struct

HEADER = struct.Struct("<4sHBBII16s16sqIBBBBHHI")


def record_id(number: int) -> bytes:
    """The id of the record of that number: UUIDv7 layout, the number in its last bytes."""
    return bytes(6) + b"\x70\x00\x80" + number.to_bytes(7, "big")


def record(
    number: int,
    payload: bytes = b"x" * 100,
    classification: bytes = b"org.test/unit/record",
    *,
    flags: int = 0,
    severity: int = 1,
    kind: int = 0,
) -> bytes:
    """One whole record."""
    total = HEADER.size + len(classification) + len(payload)
    head = HEADER.pack(
        b"TLM5",
        HEADER.size,
        5,
        flags,
        total,
        len(payload),
        record_id(number),
        bytes(range(16)),
        1_700_000_000_000_000 + number,
        1,
        severity,
        kind,
        len(classification),
        0,
        0,
        0,
        0,
    )
    return head + classification + payload


def number_of(one: bytes) -> int:
    """The opposite: which record that is."""
    return int.from_bytes(one[16 + 9 : 32], "big")


def split(many: bytes) -> list[bytes]:
    """Records that stand back to back."""
    found = []
    while many:
        total = int.from_bytes(many[8:12], "little")
        found.append(many[:total])
        many = many[total:]
    return found
