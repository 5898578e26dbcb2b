# SPDX-License-Identifier: Apache-2.0
"""What crashprobe's own steps make of a case: everything up to the report, with the privacy filters lifted."""

from __future__ import annotations

import os
import time

from corpus import Case
from seen import Place, Seen, Threads

from telemetry_probes.crash import examine, unwind
from telemetry_probes.crash.model import Place as Named
from telemetry_probes.crash.model import Stack


def frames(stack: Stack, places: list[tuple[Named, ...]]) -> tuple[Seen, ...]:
    found = [
        Seen(frame.pc, tuple(Place(one.function, one.file, one.line, kind(one.kind)) for one in some))
        for frame, some in zip(stack.frames, places, strict=True)
    ]
    if stack.left_out:
        found.insert(unwind.Limits().top, Seen(0, gap=stack.left_out))
    return tuple(found)


def kind(name: str) -> str:
    return "python" if name == "python" else "native"


SECONDS = 600.0
"""What is seen doesn't depend on how busy this machine is; that the time is kept to is looked at elsewhere."""


def ours(case: Case) -> Threads:
    core = os.open(case.core_path, os.O_RDONLY)
    try:
        examined = examine.examine(core, examine.Asked(), True, time.monotonic, str(case.sysroot), SECONDS)
    finally:
        os.close(core)
    if examined.report is None:
        return []
    return [
        (tid, frames(group.named.stack, list(group.named.places)))
        for group in examined.report.groups
        for tid in group.tids
    ]
