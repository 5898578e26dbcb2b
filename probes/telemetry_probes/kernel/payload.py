# SPDX-License-Identifier: Apache-2.0
"""What is sent of a kernel report: one line of JSON with everything, then telemetrics-client's text.

Pure: values in, bytes out.
"""

from __future__ import annotations

from telemetry_probes.crash import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.jsontext import Value
    from telemetry_probes.oops import Oops

VERSION = 2
"""Of the payload: 1 is the text alone, as telemetrics-client sent it."""
PAYLOAD_MAX = 65_536
TEXT_MAX = 8191
RAW_MAX = 32_768
"""Of the lines themselves, where the privacy filters are lifted."""


def payload(oops: Oops, more: int = 0) -> bytes:
    """At most PAYLOAD_MAX bytes. `more`: reports of the same fault that were counted and not sent since the last."""
    described = text(oops)
    line = jsontext.write(_fields(oops, more)).encode()
    room = PAYLOAD_MAX - 1 - len(described)
    for name in ("text", "stacks", "modules", "memory", "registers"):
        if len(line) <= room:
            break
        # never so far in practice: what tells least goes first
        shorter = {key: value for key, value in _fields(oops, more).items() if key != name}
        shorter["left_out"] = name
        line = jsontext.write(shorter).encode()
    return line[:room] + b"\n" + described


def text(oops: Oops) -> bytes:
    """The lines that telemetrics-client wrote, at most TEXT_MAX bytes of whole lines."""
    said = ["Crash Report:", f"Reason: {oops.reason}"]
    if oops.kernel:
        said.append(f"Kernel Version : {oops.kernel}")
        said.append(f"Tainted : {oops.tainted or 'Not tainted'}")
    if oops.modules:
        said.append(f"Modules : {' '.join(oops.modules)}"[:2048])
    if oops.trace:
        said.append("Backtrace :")
    said += [f"Register {name}: {value}" for name, value in oops.registers.items()]
    said += [
        f"#{at} {frame.function or '???'} - [{frame.module or 'kernel'}]" for at, frame in enumerate(oops.trace, 1)
    ]
    whole = "\n".join(said).encode("ascii", "replace") + b"\n"
    return whole if len(whole) <= TEXT_MAX else whole[: whole.rindex(b"\n", 0, TEXT_MAX) + 1]


def _fields(oops: Oops, more: int) -> dict[str, Value]:
    found: dict[str, Value] = {
        "version": VERSION,
        "kind": oops.kind,
        "reason": oops.reason,
        "fingerprint": oops.fingerprint,
        "since_boot_us": oops.time_us,
    }
    named: tuple[tuple[str, Value], ...] = (
        ("kernel", oops.kernel), ("hardware", oops.hardware), ("comm", oops.comm), ("at", oops.at),
        ("source", oops.source),
    )  # fmt: skip
    found.update({name: value for name, value in named if value})
    if oops.kernel:
        found["tainted"] = oops.tainted
    if oops.cpu is not None:
        found["cpu"] = oops.cpu
    if oops.number is not None:
        found["number"] = oops.number
    if oops.trace:
        found["trace"] = [frame.text() for frame in oops.trace]
    if oops.trace_left_out:
        found["trace_left_out"] = oops.trace_left_out
    if oops.stacks:
        found["stacks"] = [
            {"of": stack.title, "trace": [each.text() for each in stack.frames]} for stack in oops.stacks
        ]
    if oops.modules:
        found["modules"] = list(oops.modules)
    if oops.modules_left_out:
        found["modules_left_out"] = oops.modules_left_out
    if oops.registers:
        found["registers"] = dict(oops.registers)
    if oops.memory:
        found["memory"] = oops.memory
    if oops.cut:
        found["cut"] = True
    if oops.mixed:
        found["mixed"] = True
    if more:
        found["more"] = more
    if oops.text:
        found["text"] = "\n".join(oops.text)[:RAW_MAX]
    return found
