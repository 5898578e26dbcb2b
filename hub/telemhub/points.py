# SPDX-License-Identifier: Apache-2.0
"""The payload of a metric record to points (docs/protocol.md, section 10), and points to bytes and back, as they are
kept.

Pure: bytes in, values out, within limits of memory, whatever the payload claims. What is asked of points, and what is
shown of them, is not known here.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from telemhub.records import CREATED_US_END

PLAIN_MAX: Final = 1 << 20
"""Bytes of a payload, decompressed."""
SPAN_US_MAX: Final = 3_600_000_000
"""From a table's first sample to its last."""
COLUMNS_MAX: Final = 65_536
"""Of one payload."""
ATTRIBUTES_BYTES_MAX: Final = 8 << 20
"""Of one payload, written out for each column: their names stand in it but once."""
WHOLE_MAX: Final = 1 << 53
VALUE_MAX: Final = 1e308
SCALE_MAX: Final = 9
PAYLOAD_VERSION: Final = 1
POINT_BYTES: Final = 12
"""Of one point, as it is kept."""
COUNTER: Final = "counter"
GAUGE: Final = "gauge"


class Unreadable(Exception):
    """Not a payload as this version knows it."""


class Points(NamedTuple):
    """Some points of one series, in the order of their time, with the same baseline."""

    name: str
    unit: str
    kind: str
    """COUNTER or GAUGE."""

    attributes: str
    """JSON object of strings, in the order of their names."""

    start_us: int
    """A counter's baseline; 0 for a gauge."""

    first_us: int
    last_us: int
    data: bytes
    """Read it with unpacked()."""


_Word = Annotated[str, Meta(min_length=1, max_length=128)]
_Unit = Annotated[str, Meta(max_length=64)]
_Attribute = Annotated[str, Meta(min_length=1, max_length=64)]
_Label = Annotated[str, Meta(max_length=256)]
_Time = Annotated[int, Meta(ge=0, lt=CREATED_US_END)]


class _Group(Struct):
    name: _Word
    unit: _Unit
    kind: Literal["counter", "gauge"]
    attributes: Annotated[list[_Attribute], Meta(max_length=16)]
    labels: list[list[_Label]]
    columns: list[list[int | float | None]]
    start_us: _Time = 0
    scale: Annotated[int, Meta(ge=0, le=SCALE_MAX)] | UnsetType = UNSET


class _Table(Struct):
    times_us: Annotated[list[_Time], Meta(min_length=1, max_length=4096)]
    groups: list[_Group]


class _Payload(Struct):
    tables: Annotated[list[_Table], Meta(max_length=256)]


_decode = msgspec.json.Decoder(_Payload).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def read_points(payload: bytes) -> list[Points]:
    """What it holds. Raises Unreadable; nothing of it counts then."""
    return points_of(plain_of(payload))


def plain_of(payload: bytes) -> bytes:
    """Decompressed. Raises Unreadable."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(payload, PLAIN_MAX)
    except zlib.error as error:
        raise Unreadable from error
    if not inflater.eof or inflater.unused_data:
        raise Unreadable
    return plain


def points_of(plain: bytes) -> list[Points]:
    """What a decompressed payload holds. Raises Unreadable; nothing of it counts then."""
    try:
        read = _decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable from error
    columns = sum(len(group.columns) for table in read.tables for group in table.groups)
    if columns > COLUMNS_MAX:
        raise Unreadable
    found: list[Points] = []
    room = ATTRIBUTES_BYTES_MAX
    for table in read.tables:
        times_us = list(accumulate(table.times_us))
        if min(table.times_us[1:], default=1) < 1 or times_us[-1] - times_us[0] > SPAN_US_MAX:
            raise Unreadable
        if times_us[-1] >= CREATED_US_END:
            raise Unreadable
        for group in table.groups:
            more, room = _points(group, times_us, room)
            found += more
    return found


def _points(group: _Group, times_us: list[int], room: int) -> tuple[list[Points], int]:
    """room: bytes that attributes may have, and how much of it is left."""
    names = group.attributes
    if len(group.labels) != len(group.columns) or len(set(names)) != len(names):
        raise Unreadable
    found = []
    for labels, column in zip(group.labels, group.columns, strict=True):
        if len(labels) != len(names) or len(column) != len(times_us):
            raise Unreadable
        whole = None not in column
        times = times_us if whole else [at for at, each in zip(times_us, column, strict=True) if each is not None]
        values = _values([each for each in column if each is not None], group.scale)
        if not values:
            continue
        attributes = _encode(dict(zip(names, labels, strict=True)))
        room -= len(attributes)
        if room < 0:
            raise Unreadable
        start_us = group.start_us if group.kind == COUNTER else 0
        found.append(
            Points(
                group.name,
                group.unit,
                group.kind,
                attributes.decode(),
                start_us,
                times[0],
                times[-1],
                _pack(times, values),
            )
        )
    return found, room


def _values(numbers: list[int | float], scale: int | UnsetType) -> list[int | float]:
    """What they stand for."""
    if isinstance(scale, UnsetType):
        if not all(-VALUE_MAX < each < VALUE_MAX for each in numbers):
            raise Unreadable
        return numbers
    if not all(isinstance(each, int) for each in numbers):
        raise Unreadable
    sums = list(accumulate(numbers))
    if sums and (max(sums) > WHOLE_MAX or min(sums) < -WHOLE_MAX):
        raise Unreadable
    return [each / 10**scale for each in sums] if scale else sums


# ---- as they are kept -----------------------------------------------------------------------------------------------


@lru_cache(256)
def _layout(count: int) -> struct.Struct:
    """Microseconds after the first of each, then the values."""
    return struct.Struct(f"<{count}I{count}d")


def _pack(times_us: list[int], values: list[int | float]) -> bytes:
    first_us = times_us[0]
    return _layout(len(values)).pack(*[at - first_us for at in times_us], *values)


def count_of(data: bytes) -> int:
    """How many they are."""
    return len(data) // POINT_BYTES


def unpacked(first_us: int, data: bytes) -> list[tuple[int, float]]:
    """Times in microseconds since 1970, and values."""
    count = count_of(data)
    numbers = _layout(count).unpack(data)
    return [(first_us + at, value) for at, value in zip(numbers[:count], numbers[count:], strict=True)]
