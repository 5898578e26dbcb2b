# SPDX-License-Identifier: Apache-2.0
"""What is sent of the journal: one line of JSON with everything, then the lines that telemetrics-client sent.

Pure: values in, bytes out.
"""

from __future__ import annotations

from telemetry_probes.crash import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.crash.jsontext import Value

VERSION = 2
"""Of the payload: 1 is the text alone, as telemetrics-client sent it."""
PAYLOAD_MAX = 65_536
TEXT_MAX = 8191


def payload(fields: dict[str, Value], text: Sequence[str], more: int = 0, *, earlier_boot: bool = False) -> bytes:
    """At most PAYLOAD_MAX bytes; what is in `fields` has limits of its own, far below. `more`: of the same kind that
    were counted and not sent since the last."""
    found: dict[str, Value] = {"version": VERSION, **fields}
    if more:
        found["more"] = more
    if earlier_boot:
        found["earlier_boot"] = True
    described = _cut("\n".join(text).encode("utf-8", "replace"))
    line = jsontext.write(found).encode()
    for name in ("lines_before", "lines_after", "message"):
        if len(line) + 1 + len(described) <= PAYLOAD_MAX:
            break
        found.pop(name, None)
        found["left_out"] = name
        line = jsontext.write(found).encode()
    return line + b"\n" + described


def _cut(text: bytes) -> bytes:
    """Behind a whole line."""
    text += b"\n"
    return text if len(text) <= TEXT_MAX else text[: text.rfind(b"\n", 0, TEXT_MAX) + 1]
