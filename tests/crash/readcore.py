# SPDX-License-Identifier: Apache-2.0
"""A core as crashprobe's own first steps see it: read, its modules found, each thread ready to be unwound. Time enough
for all of it; what comes of a stack is for the tests.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from telemetry_probes.crash import modules, stream, unwind
from telemetry_probes.crash.model import Machine, Stack, Thread

if TYPE_CHECKING:
    from telemetry_probes.crash.model import Memory  # a word for mypy alone

SECONDS = 60.0


class ReadCore(NamedTuple):
    """What is known of a process that died."""

    core: stream.Core
    modules: modules.Modules
    memory: Memory
    machine: Machine

    @property
    def thread(self) -> Thread:
        """The one that crashed."""
        return self.core.notes.threads[0]

    def unwinder(self, limits: unwind.Limits | None = None) -> unwind.Unwinder:
        limits = limits or unwind.Limits()
        return unwind.Unwinder(self.modules, self.memory, self.machine, limits, time.monotonic, self.core.loads)

    def stack(self, limits: unwind.Limits | None = None) -> Stack:
        """Of the thread that crashed, without the core's list of what was mapped."""
        limits, until = limits or unwind.Limits(), time.monotonic() + SECONDS
        return unwind.stack(self.thread, self.modules, self.memory, self.machine, limits, time.monotonic, until)


def read(core_file: Path) -> ReadCore:
    fd = os.open(core_file, os.O_RDONLY)
    try:
        core = stream.read(fd)
    finally:
        os.close(fd)
    assert core.machine is not None
    found = modules.find(core)
    return ReadCore(core, found, modules.memory(core, found), core.machine)
