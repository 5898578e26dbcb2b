# SPDX-License-Identifier: Apache-2.0
"""The stack traces in a message of systemd-coredump, line by line (systemd, src/shared/elf-util.c, from 215 on).

Names of functions and modules in it come from files that may be hostile. Pure: text in, values out.
"""

from __future__ import annotations

import re

THREADS_MAX = 256
FRAMES_MAX = 256
"""Of a thread; what is further out is counted."""
MODULES_MAX = 1024
MODULE_CHARS_MAX = 512

_THREAD = re.compile(r"^Stack trace of thread (\d{1,9}):$")
_FRAME = re.compile(r"^#\d{1,6}\s+0x([0-9a-f]{1,16})\s+(\S.*?) \((\S+?)(?: \+ 0x([0-9a-f]{1,16}))?\)$")
_MODULE = re.compile(r"^(?:Found module|Module) (\S{1,512}) (?:from .* )?with build-id:? ([0-9a-f]{2,64})$")
_MACHINE = re.compile(r"^ELF object binary architecture: (.{1,64})$")
_MACHINES = {"AMD x86-64": "x86_64", "AARCH64": "aarch64", "ARM AARCH64": "aarch64"}
_UNKNOWN = "n/a"


class Line:
    """A frame: address, function (empty for unknown), the module's name without its folder (empty for unknown), and
    where in that; None for unknown."""

    __slots__ = ("function", "module", "offset", "pc")

    def __init__(self, pc: int, function: str, module: str, offset: int | None) -> None:
        self.pc = pc
        self.function = function
        self.module = module
        self.offset = offset


class Trace:
    """One thread."""

    __slots__ = ("left_out", "lines", "tid")

    def __init__(self, tid: int) -> None:
        self.tid = tid
        self.lines: list[Line] = []
        self.left_out = 0


class Traces:
    """All of a message. `build_ids`: of modules by the name that stands there; `machine`: x86_64, aarch64 or empty."""

    __slots__ = ("build_ids", "machine", "threads", "threads_left_out")

    def __init__(self) -> None:
        self.threads: list[Trace] = []
        self.threads_left_out = 0
        self.build_ids: dict[str, str] = {}
        self.machine = ""


def read(message: str) -> Traces:
    """What is there; a line that is none of these is passed over, and the last one may be cut."""
    found = Traces()
    trace: Trace | None = None
    for line in message.split("\n"):
        frame = _FRAME.match(line) if trace is not None else None
        if frame is not None and trace is not None:
            if len(trace.lines) < FRAMES_MAX:
                trace.lines.append(_line(frame))
            else:
                trace.left_out += 1
            continue
        thread = _THREAD.match(line)
        if thread is not None:
            trace = Trace(int(thread[1]))
            if len(found.threads) < THREADS_MAX:
                found.threads.append(trace)
            else:
                found.threads_left_out += 1
            continue
        _other(line, found)
    return found


def _line(frame: re.Match[str]) -> Line:
    function, module = frame[2], frame[3][:MODULE_CHARS_MAX]
    return Line(
        int(frame[1], 16),
        "" if function == _UNKNOWN else function,
        "" if module == _UNKNOWN else module,
        None if frame[4] is None else int(frame[4], 16),
    )


def _other(line: str, found: Traces) -> None:
    module = _MODULE.match(line)
    if module is not None and len(found.build_ids) < MODULES_MAX:
        found.build_ids[module[1]] = module[2]
    machine = _MACHINE.match(line)
    if machine is not None:
        found.machine = _MACHINES.get(machine[1], "")
