# SPDX-License-Identifier: Apache-2.0
"""Samples as the payload of a record: docs/protocol.md, section 10.

Columns of numbers, each the difference to the one before it, compress to a tenth of the same as objects. Pure: values
in, bytes out. Which samples belong together is minutes' to say.
"""

from __future__ import annotations

import zlib
from _json import encode_basestring_ascii

from telemetry_probes.metrics.model import COUNTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.metrics.model import Metric, Value

PAYLOAD_VERSION = 1
PACKED_MAX = 65_536
"""Bytes of a payload: what a record takes."""
PLAIN_MAX = 1 << 20
"""Bytes of it decompressed."""
NAME_MAX = 128
"""Characters of the name of a metric; of a collector, a unit or an attribute half of that."""
LABEL_MAX = 256
"""Characters of an attribute's value; what is longer is cut."""
ATTRIBUTES_MAX = 16
"""Of one series; the others are left out."""
SCALE_MAX = 9
"""Decimal places with which a fraction still goes as a whole number."""
WHOLE_MAX = 1 << 53
"""Every whole number up to this is a double too, so that no reader loses one."""
VALUE_MAX = 1e300
"""What is beyond is no value."""
_LEVEL = 6


class Column:
    """The values of one series. start_us: since when a counter counts unbroken (see minutes); 0 for a gauge."""

    __slots__ = ("attributes", "metric", "start_us", "values")

    def __init__(
        self, metric: Metric, attributes: tuple[tuple[str, str], ...], start_us: int, values: Sequence[Value]
    ) -> None:
        self.metric = metric
        self.attributes = attributes
        self.start_us = start_us
        self.values = values


class Table:
    """What one collector gave: times, rising, in microseconds since 1970, and columns with a value for each."""

    __slots__ = ("collector", "columns", "times_us")

    def __init__(self, collector: str, times_us: Sequence[int], columns: Sequence[Column]) -> None:
        self.collector = collector
        self.times_us = times_us
        self.columns = columns


def packed(tables: Sequence[Table]) -> list[bytes]:
    """The payloads: one, or as many as it takes for each to keep to the limits. None where there is nothing to tell."""
    tables = [table for table in tables if table.columns and table.times_us]
    if not tables:
        return []
    text = _text(tables)
    if len(text) <= PLAIN_MAX:
        payload = zlib.compress(text.encode("ascii"), _LEVEL)
        if len(payload) <= PACKED_MAX:
            return [payload]
    first, second = _halves(tables)
    return packed(first) + packed(second)


def _halves(tables: Sequence[Table]) -> tuple[list[Table], list[Table]]:
    """By columns; one that is alone, by time."""
    count = sum(len(table.columns) for table in tables)
    if count == 1:
        (table,) = tables
        return [_between(table, 0, len(table.times_us) // 2)], [_between(table, len(table.times_us) // 2, None)]
    first: list[Table] = []
    second: list[Table] = []
    room = count // 2
    for table in tables:
        if room:
            first.append(Table(table.collector, table.times_us, table.columns[:room]))
        if len(table.columns) > room:
            second.append(Table(table.collector, table.times_us, table.columns[room:]))
        room = max(0, room - len(table.columns))
    return first, second


def _between(table: Table, begin: int, end: int | None) -> Table:
    columns = [Column(each.metric, each.attributes, each.start_us, each.values[begin:end]) for each in table.columns]
    return Table(table.collector, table.times_us[begin:end], columns)


# ---- the text -------------------------------------------------------------------------------------------------------


def _text(tables: Sequence[Table]) -> str:
    return '{"tables":[' + ",".join([_table(each) for each in tables]) + "]}"


def _table(table: Table) -> str:
    times = ",".join(map(str, _differences(table.times_us)))
    groups = ",".join(_groups(table.columns))
    return f'{{"collector":{_quoted(table.collector, NAME_MAX // 2)},"times_us":[{times}],"groups":[{groups}]}}'


def _groups(columns: Sequence[Column]) -> list[str]:
    """Columns that differ in their attributes' values alone share what stands before them."""
    heads: dict[str, tuple[list[str], list[str]]] = {}
    for column in columns:
        values = _finite(column.values)
        scale = _scale(values)
        metric = column.metric
        attributes = column.attributes[:ATTRIBUTES_MAX]
        start = f'"start_us":{column.start_us},' if metric.kind == COUNTER else ""
        scaled = f'"scale":{scale},' if scale >= 0 else ""
        names = ",".join([_quoted(name, NAME_MAX // 2) for name, _ in attributes])
        head = (
            f'{{"name":{_quoted(metric.name, NAME_MAX)},"unit":{_quoted(metric.unit, NAME_MAX // 2)},'
            f'"kind":"{metric.kind}",{start}{scaled}"attributes":[{names}],'
        )
        labels, numbers = heads.setdefault(head, ([], []))
        labels.append("[" + ",".join([_quoted(value, LABEL_MAX) for _, value in attributes]) + "]")
        numbers.append("[" + ",".join(_numbers(values, scale)) + "]")
    return [
        f'{head}"labels":[{",".join(labels)}],"columns":[{",".join(numbers)}]}}'
        for head, (labels, numbers) in heads.items()
    ]


def _quoted(text: str, characters_max: int) -> str:
    """As a string of JSON; what is no Unicode becomes a question mark."""
    text = text[:characters_max]
    return encode_basestring_ascii(text if text.isascii() else text.encode("utf-8", "replace").decode())


def _finite(values: Sequence[Value]) -> Sequence[Value]:
    """NaN and the infinities are none; whole numbers of more than 64 bits are as near as a double comes."""
    if all(each is None or -WHOLE_MAX < each < WHOLE_MAX for each in values):
        return values
    return [
        each if each is None or -WHOLE_MAX < each < WHOLE_MAX
        else None if not -VALUE_MAX < each < VALUE_MAX
        else each if -(1 << 63) <= each < 1 << 64
        else float(each)
        for each in values
    ]  # fmt: skip


def _scale(values: Sequence[Value]) -> int:
    """The fewest decimal places with which all are whole numbers that a double holds; -1 where there are none."""
    scale = 0
    largest: int | float = 0
    for each in values:
        if each is None:
            continue
        largest = max(largest, abs(each))
        if each.__class__ is not int:
            while round(each * 10**scale) / 10**scale != each:
                scale += 1
                if scale > SCALE_MAX:
                    return -1
    return scale if largest * 10**scale <= WHOLE_MAX else -1


def _numbers(values: Sequence[Value], scale: int) -> list[str]:
    if scale < 0:
        return ["null" if each is None else repr(each) for each in values]
    found = []
    before = 0
    for each in values:
        if each is None:
            found.append("null")
            continue
        number = round(each * 10**scale)
        found.append(str(number - before))
        before = number
    return found


def _differences(numbers: Sequence[int]) -> list[int]:
    """The first, and what each of the others is more than the one before it."""
    return [numbers[0], *[each - before for before, each in zip(numbers, numbers[1:], strict=False)]]
