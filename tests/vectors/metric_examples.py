# SPDX-License-Identifier: Apache-2.0
"""Examples of docs/protocol.md, section 10: payloads of metric records, good ones with their points, and bad ones.

Packed without compression, so that every zlib writes the same. Nothing of the project may be imported.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from record_layout import Vector

T0_US = 1_760_000_000_000_000
TIMES_US = [T0_US, 5_000_000, 5_000_001]
AT_US = [T0_US, T0_US + 5_000_000, T0_US + 10_000_001]


def packed(text: str) -> bytes:
    return zlib.compress(text.encode("ascii"), 0)


def document(*groups: dict[str, Any], times_us: list[int] | None = None) -> str:
    tables = [{"collector": "cpu", "times_us": times_us or TIMES_US, "groups": list(groups)}]
    return json.dumps({"tables": tables}, separators=(",", ":"))


def counter(**changes: Any) -> dict[str, Any]:
    """A change to None leaves a field out."""
    fields = {
        "name": "system.cpu.time",
        "unit": "s",
        "kind": "counter",
        "start_us": T0_US - 60_000_000,
        "scale": 2,
        "attributes": ["cpu.mode"],
        "labels": [["user"]],
        "columns": [[1050, 7, 0]],
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def gauge(*columns: list[Any], **changes: Any) -> dict[str, Any]:
    labels = [[str(at)] for at in range(len(columns))]
    fields = {"name": "x.load.1m", "unit": "1", "kind": "gauge", "start_us": None, "scale": None, "attributes": ["n"]}
    return counter(**{**fields, "labels": labels, "columns": list(columns), **changes})


def series(group: dict[str, Any], label: list[str], points: list[tuple[int, float]]) -> dict[str, Any]:
    return {
        "name": group["name"],
        "unit": group["unit"],
        "kind": group["kind"],
        "attributes": dict(zip(group["attributes"], label, strict=True)),
        "start_us": group.get("start_us", 0),
        "points": [list(point) for point in points],
    }


def good(name: str, text: str, *expected: dict[str, Any]) -> Vector:
    return {"name": name, "hex": packed(text).hex(), "verdict": "none", "series": list(expected)}


def unreadable(name: str, text: str | bytes) -> Vector:
    return {"name": name, "hex": (text if isinstance(text, bytes) else packed(text)).hex(), "verdict": "unreadable"}


def metric_examples() -> list[Vector]:
    one, gap, load = counter(), counter(columns=[[None, 1050, 7]]), gauge([0.5, None, 1e-7], [2**64 - 1, 0, -3])
    none = gauge([1, 2, 3], attributes=[], labels=[[]])
    reset = counter(start_us=AT_US[2], columns=[[None, None, 3]])
    first = counter(columns=[[1050, 7, None]])
    name = gauge([1, 1, 1], labels=[['a"\\\n\u0000ü\U0001f600']])
    return [
        good("nothing", '{"tables":[]}'),
        good("counter", document(one), series(one, ["user"], list(zip(AT_US, (10.5, 10.57, 10.57), strict=True)))),
        good("gap", document(gap), series(gap, ["user"], [(AT_US[1], 10.5), (AT_US[2], 10.57)])),
        good(
            "plain-numbers",
            document(load),
            series(load, ["0"], [(AT_US[0], 0.5), (AT_US[2], 1e-7)]),
            series(load, ["1"], [(AT_US[0], float(2**64 - 1)), (AT_US[1], 0.0), (AT_US[2], -3.0)]),
        ),
        good("no-attributes", document(none), series(none, [], list(zip(AT_US, (1, 2, 3), strict=True)))),
        good(
            "reset",
            document(first, reset),
            series(first, ["user"], [(AT_US[0], 10.5), (AT_US[1], 10.57)]),
            series(reset, ["user"], [(AT_US[2], 0.03)]),
        ),
        good(
            "hostile-name",
            document(name),
            series(name, name["labels"][0], [(at, 1) for at in AT_US]),
        ),
        good("unknown-field", document({**one, "future": [1]}), series(one, ["user"], list(
            zip(AT_US, (10.5, 10.57, 10.57), strict=True)
        ))),
        unreadable("empty", b""),
        unreadable("not-zlib", b"{}"),
        unreadable("cut", packed(document(one))[:-1]),
        unreadable("more-behind-it", packed(document(one)) + b"\0"),
        unreadable("not-json", "{"),
        unreadable("no-tables", "{}"),
        unreadable("times-stand-still", document(one, times_us=[T0_US, 1, 0])),
        unreadable("times-of-more-than-an-hour", document(one, times_us=[T0_US, 3_600_000_000, 1])),
        unreadable("column-too-short", document(counter(columns=[[1, 2]]))),
        unreadable("column-without-label", document(counter(labels=[]))),
        unreadable("label-without-attribute", document(counter(labels=[["user", "0"]]))),
        unreadable("attribute-twice", document(counter(attributes=["a", "a"], labels=[["user", "0"]]))),
        unreadable("label-too-long", document(counter(labels=[["x" * 257]]))),
        unreadable("name-too-long", document(counter(name="x" * 129))),
        unreadable("kind-unknown", document(counter(kind="histogram"))),
        unreadable("scale-10", document(counter(scale=10))),
        unreadable("scaled-fraction", document(counter(columns=[[1, 0.5, 1]]))),
        unreadable("sum-beyond-2-to-53", document(counter(columns=[[1 << 53, 1, 0]]))),
        unreadable("value-without-end", document(gauge([7, 1, 1])).replace("7,1,1", "1e999,1,1")),
    ]  # fmt: skip
