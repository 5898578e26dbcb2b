# SPDX-License-Identifier: Apache-2.0
"""Write the examples of docs/protocol.md, sections 1 to 3, 6 and 10, that the C, Python and hub tests all read.

`python tests/vectors/generate.py` after a change of that page. Beside each .json stands a .txt of the same examples for
readers without a JSON parser, a line each: `name verdict hex`, and for format 4 the record that telemd makes of it, as
hex of format 5, first on an unknown host and then on the one of the first line; metrics, which no C reads, have none.
Nothing of the project may be imported.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

from format4_examples import format4_bad, format4_good
from format5_examples import format5_bad, format5_good
from metric_examples import metric_examples
from record_layout import HOST, RECORD_ID, Vector, attribute, bad

HERE = Path(__file__).parent


REASONS = {
    0: "none", 1: "malformed", 2: "too-large", 3: "classification", 4: "severity", 5: "attribute", 6: "payload-kind",
    7: "header", 8: "timeout", 9: "record-id", 10: "created", 16: "no-space", 17: "rate-limit",
    18: "not-opted-in", 19: "io", 20: "anonymous",
}  # fmt: skip


def answers() -> list[Vector]:
    def answer(verdict: int, reason: int, *, length: int = 24, kind: int = 1) -> bytes:
        return struct.pack("<IBBH", length, kind, verdict, reason) + RECORD_ID

    def good(name: str, verdict: int, reason: int) -> Vector:
        fields = {"verdict": verdict, "reason": reason, "record_id": RECORD_ID.hex()}
        return {"name": name, "hex": answer(verdict, reason).hex(), "verdict": "none", "fields": fields}

    return [
        good("durable", 0, 0),
        good("duplicate", 1, 0),
        *(good(f"refused-{name}", 2, number) for number, name in REASONS.items() if number),
        good("refused-reason-of-the-future", 2, 0x1234),
        bad("length-0", "malformed", answer(0, 0, length=0)),
        bad("length-25", "malformed", answer(0, 0, length=25)),
        bad("type-0", "malformed", answer(0, 0, kind=0)),
        bad("type-2", "malformed", answer(0, 0, kind=2)),
        bad("verdict-3", "malformed", answer(3, 0)),
        bad("verdict-255", "malformed", answer(255, 0)),
    ]


def text_line(vector: Vector) -> str:
    """An empty field is spelt `-`."""
    columns = (
        vector["name"],
        vector["verdict"],
        vector["hex"],
        vector.get("format5", ""),
        vector.get("format5_on_host", ""),
    )
    return " ".join(column or "-" for column in columns) + "\n"


def files() -> dict[str, str]:
    """File name -> what is in it."""
    host = b"".join(attribute(n + 1, value) for n, value in enumerate(HOST.values())).hex()
    lists = {
        "format5": ("", [*format5_good(), *format5_bad()]),
        "format4": (f"host none {host} - -\n", [*format4_good(), *format4_bad()]),
        "answer": ("", answers()),
    }
    result = {}
    for name, (first, vectors) in lists.items():
        names = [vector["name"] for vector in vectors]
        if len(set(names)) != len(names):
            raise ValueError(f"{name}: two examples of one name: {sorted(n for n in names if names.count(n) > 1)}")
        result[f"{name}.json"] = json.dumps(vectors, indent=1) + "\n"
        result[f"{name}.txt"] = first + "".join(map(text_line, vectors))
    result["metric.json"] = json.dumps(metric_examples(), indent=1) + "\n"
    return result


if __name__ == "__main__":
    for name, content in files().items():
        (HERE / name).write_text(content)
        sys.stdout.write(f"{name}: {len(content)} bytes\n")
