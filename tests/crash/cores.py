# SPDX-License-Identifier: Apache-2.0
"""Runs a built program until it dies, and takes the core that the kernel (or qemu, for another processor) wrote.

Steps that change how it dies or what is left of its core: `delete [library]`, `replace` (another program has its name
by then), `filter MASK` (coredump_filter), `truncate stack|half|notes`, `zero-stack`, `sort-by-size` (segments in the
order that kernel.core_sort_vma gives them).
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from sources import Program

WAIT_S = 120
HEADER, SEGMENT = 64, 56
PT_LOAD, PT_NOTE, ET_CORE = 1, 4, 4
AT_SP = {62: 19, 183: 31}  # e_machine -> where NT_PRSTATUS has the stack pointer
MOST = 1 << 30


def command(program: Program, folder: Path) -> list[str]:
    if program.compiler == "python":
        return ["/usr/bin/python3", "-I", str(folder / program.source.name), *program.arguments]
    native = [str(folder / "program"), *program.arguments]
    if program.machine == "aarch64":
        return ["/usr/bin/qemu-aarch64", "-cpu", "max", "-L", str(folder / "root"), *native]
    return native


def take_away(program: Program, folder: Path) -> None:
    """What becomes of the files of a program that runs."""
    file = folder / ("part.so" if "library" in (program.step("delete") or ()) else "program")
    file.unlink()
    if program.step("replace"):
        shutil.copy2("/usr/bin/true", file)


def until_it_dies(program: Program, folder: Path) -> int:
    """The signal that ended it; its core lies in the folder then."""
    mask = program.step("filter")
    away = program.step("delete") or program.step("replace")

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (MOST, MOST))
        if mask or program.machine == "aarch64":
            # qemu writes a core of what it runs; the kernel's, of qemu itself, is as small as can be
            Path("/proc/self/coredump_filter").write_text(mask[1] if mask else "0")

    environment = dict(pair.split("=", 1) for pair in program.environment)
    with subprocess.Popen(
        command(program, folder), cwd=folder, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=prepare,
    ) as process:  # fmt: skip
        if away:
            assert process.stdout
            assert process.stdout.read(1) == b"."
            take_away(program, folder)
        try:
            process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        ended = process.returncode
    return -ended if ended < 0 else ended - 128


def dump(program: Program, folder: Path) -> Path:
    """Runs it once. Returns the core, after the steps that change one."""
    before = set(os.listdir(folder))
    number = until_it_dies(program, folder)
    wanted = signal.Signals[program.expect.signal]
    assert number == wanted, f"{program.name}: ended by {number}, should have been {wanted!r}"
    found = [folder / name for name in set(os.listdir(folder)) - before]
    if program.machine == "aarch64":
        found = [file for file in found if file.name.startswith("qemu_")]
    assert len(found) == 1, f"{program.name}: one core was to be in {folder}, there are: {found}"
    core = found[0].rename(folder / "core")
    for step in program.steps:
        change(core, step)
    return core


class Segments:
    """The program headers of a core: (kind, flags, offset, address, physical, file size, memory size, alignment)."""

    def __init__(self, core: Path) -> None:
        with core.open("rb") as file:
            header = file.read(HEADER)
            self.machine = struct.unpack_from("<H", header, 18)[0]
            self.at, count = struct.unpack_from("<Q", header, 32)[0], struct.unpack_from("<H", header, 56)[0]
            file.seek(self.at)
            table = file.read(count * SEGMENT)
            self.all = [struct.unpack_from("<IIQQQQQQ", table, SEGMENT * i) for i in range(count)]
            notes = next(one for one in self.all if one[0] == PT_NOTE)
            file.seek(notes[2])
            self.notes = file.read(notes[5])

    def stack(self) -> tuple[int, ...]:
        """The segment that the dying thread's sp points into."""
        words = struct.unpack_from("<27Q" if self.machine == 62 else "<33Q", self.notes, 20 + 112)
        sp = words[AT_SP[self.machine]]
        return next(one for one in self.all if one[0] == PT_LOAD and one[3] <= sp < one[3] + one[6])


def change(core: Path, step: tuple[str, ...]) -> None:
    """What a step does to a core that was written in full."""
    segments = Segments(core)
    match step:
        case ["truncate", "stack"]:
            os.truncate(core, segments.stack()[2])
        case ["truncate", "half"]:
            # in the middle of what is before the stack of who died: also a page may be cut
            os.truncate(
                core, (min(one[2] for one in segments.all if one[0] == PT_LOAD) + segments.stack()[2]) // 2 + 100
            )
        case ["truncate", "notes"]:
            os.truncate(core, min(one[2] for one in segments.all if one[0] == PT_LOAD and one[5]))
        case ["zero-stack"]:
            stack = segments.stack()
            with core.open("r+b") as file:
                file.seek(stack[2])
                file.write(bytes(stack[5]))
        case ["sort-by-size"]:
            sort_by_size(core, segments)
        case _:
            pass


def sort_by_size(core: Path, segments: Segments) -> None:
    """Smallest first, headers and bytes: what a kernel with core_sort_vma writes."""
    ordered = [one for one in segments.all if one[0] != PT_LOAD]
    loads = sorted((one for one in segments.all if one[0] == PT_LOAD), key=lambda one: one[5])
    place = min(one[2] for one in loads)
    other = core.with_name("sorted")
    with core.open("rb") as old, other.open("wb") as new:
        new.write(old.read(place))
        for one in loads:
            old.seek(one[2])
            new.write(old.read(one[5]))
            ordered.append((*one[:2], place, *one[3:]))
            place += one[5]
        new.seek(segments.at)
        new.write(b"".join(struct.pack("<IIQQQQQQ", *one) for one in ordered))
    other.rename(core)
