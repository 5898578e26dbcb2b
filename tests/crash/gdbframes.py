# SPDX-License-Identifier: Apache-2.0
"""Runs inside gdb's own Python: prints the frames of every thread as JSON. Imports nothing of this project."""

from __future__ import annotations

import json

import gdb  # type: ignore[import-untyped]  # there only inside gdb

MOST_FRAMES = 6000


def place(frame: gdb.Frame) -> tuple[str, str, int]:
    line = frame.find_sal()
    return frame.name() or "", line.symtab.filename if line.symtab else "", line.line if line.symtab else 0


def frames() -> list[tuple[int, list[tuple[str, str, int]]]]:
    found: list[tuple[int, list[tuple[str, str, int]]]] = []
    inlined = []
    try:
        frame = gdb.newest_frame()
        while frame is not None and len(found) < MOST_FRAMES:
            if frame.type() == gdb.INLINE_FRAME:
                inlined.append(place(frame))
            elif frame.type() != gdb.TAILCALL_FRAME:  # of these no trace is left in memory: gdb derives them
                found.append((frame.pc(), [*inlined, place(frame)]))
                inlined = []
            frame = frame.older()
        if frame is not None:
            found.append((-1, []))
    except gdb.error:
        pass  # what it could read until then
    return found


first = gdb.selected_thread()
every = sorted(gdb.selected_inferior().threads(), key=lambda thread: (thread.num != first.num, thread.num))
result = []
for thread in every:
    thread.switch()
    result.append((thread.ptid[1] or thread.ptid[0], frames()))
print("\nJSON " + json.dumps(result))
