# SPDX-License-Identifier: Apache-2.0
"""The bytes of a segment file: header, footer, name (docs/protocol.md, section 4.1).

Pure: bytes in, values out, and back. No file, no clock; frames themselves are written and read by the C engine.
"""

from __future__ import annotations

import struct

from telemd._engine import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_LEN = 4096
FOOTER_LEN = 64
SIZE_MIN = 128 * 1024
SIZE_FAST = 256 * 1024
SIZE_MAX = 4 * 1024 * 1024
LANES = ("vital", "event", "metric")
FACTS = ("arch", "host_type", "build", "kernel_version", "system_name", "board_name", "cpu_model", "bios_version")

_MAGIC = b"TLMSEG05"
_END_MAGIC = b"TLMEND05"
_VERSION = 1
_HEADER = struct.Struct("<8sHBBIQQq16sII")
_FOOTER = struct.Struct("<8sQQQqqQII")


def crc32c(data: bytes | memoryview, crc: int = 0) -> int:
    """CRC-32C of data, going on from crc."""
    return int(lib.crc32c(crc, ffi.from_buffer(data), len(data)))


class Host:
    """What holds for every record of a segment: who and what the machine is."""

    __slots__ = ("facts", "machine_id")

    def __init__(self, machine_id: bytes, facts: Mapping[str, str]) -> None:
        self.machine_id = machine_id
        self.facts = {name: facts.get(name, "") for name in FACTS}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Host) and (self.machine_id, self.facts) == (other.machine_id, other.facts)

    __hash__ = None  # type: ignore[assignment]  # compared, never a key


class Header:
    """First 4,096 bytes of a segment."""

    __slots__ = ("created_us", "first_seq", "generation", "host", "lane")

    def __init__(self, lane: int, generation: int, first_seq: int, created_us: int, host: Host) -> None:
        self.lane = lane
        self.generation = generation
        self.first_seq = first_seq
        self.created_us = created_us
        self.host = host


class Footer:
    """Last 64 bytes of a sealed segment."""

    __slots__ = ("admitted_us_max", "admitted_us_min", "count", "frames_end", "generation", "last_seq")

    def __init__(
        self, generation: int, count: int, last_seq: int, admitted_us_min: int, admitted_us_max: int, frames_end: int
    ) -> None:
        self.generation = generation
        self.count = count
        self.last_seq = last_seq
        self.admitted_us_min = admitted_us_min
        self.admitted_us_max = admitted_us_max
        self.frames_end = frames_end


def size_for(cap_bytes: int, disk_bytes: int) -> int:
    """Bytes of a segment file in a spool of that cap (below 0: no cap) on a file system of that size: the smaller one
    counts. A fortieth of it: three lanes and the spare have one each. Up to a twentieth where that makes SIZE_FAST:
    below it syncs are most of a segment's work."""
    limit = disk_bytes if cap_bytes < 0 else min(cap_bytes, disk_bytes)
    return max(SIZE_MIN, min(SIZE_FAST, limit // 20), min(SIZE_MAX, limit // 40)) // 4096 * 4096


def name_of(lane: int, generation: int) -> str:
    """File name."""
    return f"{LANES[lane]}-{generation:016x}.seg"


def parse_name(name: str) -> tuple[int, int] | None:
    """Lane and generation, or None where the name isn't a segment's."""
    lane, _, rest = name.partition("-")
    if lane not in LANES or len(rest) != 20 or not rest.endswith(".seg") or rest.strip("0123456789abcdef.sg") != "":
        return None
    digits = rest[:16]
    if digits.strip("0123456789abcdef"):
        return None
    return LANES.index(lane), int(digits, 16)


def _facts_pack(facts: Mapping[str, str]) -> bytes:
    out = ffi.new("uint8_t[]", HEADER_LEN)
    used = 0
    for key, name in enumerate(FACTS, 1):
        value = facts[name].encode("utf-8", "replace")[:256]
        used = int(lib.wire_attribute_put(out, used, HEADER_LEN - _HEADER.size - 4, key, value, len(value)))
    return bytes(ffi.buffer(out, used))


def _facts_unpack(data: bytes) -> dict[str, str]:
    held = ffi.from_buffer(data)
    attributes = ffi.new("struct wire_slice *", {"data": held, "len": len(data)})
    offset, key, value = ffi.new("size_t *"), ffi.new("uint16_t *"), ffi.new("struct wire_slice *")
    facts = {}
    while lib.wire_attribute_next(attributes[0], offset, key, value) == 1:
        if 1 <= key[0] <= len(FACTS):
            facts[FACTS[key[0] - 1]] = bytes(ffi.buffer(value.data, value.len)).decode("utf-8", "replace")
    return facts


def pack_header(header: Header) -> bytes:
    """4,096 bytes."""
    facts = _facts_pack(header.host.facts)
    fixed = _HEADER.pack(
        _MAGIC,
        _VERSION,
        header.lane,
        0,
        HEADER_LEN,
        header.generation,
        header.first_seq,
        header.created_us,
        header.host.machine_id,
        len(facts),
        0,
    )
    body = (fixed + facts).ljust(HEADER_LEN - 4, b"\0")
    return body + crc32c(body).to_bytes(4, "little")


def parse_header(data: bytes) -> Header | None:
    """None where this isn't a header of ours, or a damaged one."""
    if len(data) < HEADER_LEN or crc32c(data[: HEADER_LEN - 4]) != int.from_bytes(
        data[HEADER_LEN - 4 : HEADER_LEN], "little"
    ):
        return None
    magic, version, lane, _, header_len, generation, first_seq, created_us, machine_id, facts_len, _ = (
        _HEADER.unpack_from(data)
    )
    if magic != _MAGIC or version != _VERSION or header_len != HEADER_LEN or lane >= len(LANES):
        return None
    if facts_len > HEADER_LEN - _HEADER.size - 4:
        return None
    facts = _facts_unpack(data[_HEADER.size : _HEADER.size + facts_len])
    return Header(lane, generation, first_seq, created_us, Host(machine_id, facts))


def pack_footer(footer: Footer) -> bytes:
    """64 bytes."""
    body = _FOOTER.pack(
        _END_MAGIC,
        footer.generation,
        footer.count,
        footer.last_seq,
        footer.admitted_us_min,
        footer.admitted_us_max,
        footer.frames_end,
        0,
        0,
    )[: FOOTER_LEN - 4]
    return body + crc32c(body).to_bytes(4, "little")


def parse_footer(data: bytes, generation: int, file_len: int) -> Footer | None:
    """From the last 64 bytes of a file; None where it isn't the footer of a segment of that generation and length."""
    if len(data) != FOOTER_LEN or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    magic, stated, count, last_seq, low_us, high_us, frames_end, _, _ = _FOOTER.unpack(data)
    if magic != _END_MAGIC or stated != generation or frames_end != file_len - FOOTER_LEN:
        return None
    return Footer(generation, count, last_seq, low_us, high_us, frames_end)
