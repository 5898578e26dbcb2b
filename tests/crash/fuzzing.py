# SPDX-License-Identifier: Apache-2.0
"""A process that examines mutants, one after the other, within limits of memory and processor time.

`python tests/crash/fuzzing.py FIRST COUNT PER_CASE` says a line of JSON for each: before it, which it is, and after it,
what came of it. A process that ends too early shows by that which mutant did it. COUNT 1 repeats one of them.
"""

from __future__ import annotations

import gc
import json
import math
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import corpus  # noqa: E402
from corpus import Case  # noqa: E402
from mutations import Maker, Mutant, Original  # noqa: E402

from telemetry_probes.crash import examine, report  # noqa: E402

CASES = """null_deref null_deref_clang null_deref_debug_frame null_deref_no_hdr null_deref_mini null_deref_zlib
    null_deref_zstd null_deref_dwz null_deref_dwz_shared null_deref_link null_deref_musl_static null_deref_types
    null_deref_frame_pointers null_deref_one_segment inline_gcc inline_clang inline_clang_4 inline_lto signal_alternate
    signal_nested context_ucontext library_plt callback_qsort cpp_terminate cpp_template threads_8 recursion_200
    rust_fault go_goroutine go_stripped python_ctypes python_thread arm_null_deref arm_null_deref_pac arm_signal
    arm_callback arm_threads arm_null_deref_static""".split()
BESIDE = ("part.so", "program.debug", "shared.dwz")
"""Files of a case that are mutated like the program itself."""
SECONDS_MAX = 0.5
"""What an examination is given, of a clock."""
CPU_S_MAX = 5.0
"""What it may take of a processor, if it keeps to that on a machine as slow as ten of ours."""
WALL_S_MAX = 60
MEMORY_BYTES_MAX = 1 << 30
"""Of addresses: mapped files count too."""


def peak_kb() -> int:
    """The most memory that this program had at a time. getrusage() counts what the process was before exec, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM in /proc/self/status")


class Scene:
    """A case with a root of its own, in which its files can be changed."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        for entry in Path(case.sysroot).iterdir():
            if entry.name != case.core_path.parts[1]:
                (self.root / entry.name).symlink_to(entry)
        place = self.root / case.core_path.parent.relative_to("/")
        place.mkdir(parents=True)
        self.core = folder / "core"
        copy(case.core_path, self.core)
        self.files = []
        for name in ("program", *BESIDE):
            original = case.core_path.with_name(name)
            if original.exists():
                copy(original, place / name)
                self.files.append((Original(original), place / name))
        self.original = Original(case.core_path)

    def mutate(self, seed: int) -> tuple[Path, Original, Mutant]:
        """Which file is another, and how; the core in most cases."""
        chance = random.Random(seed)
        if self.files and chance.random() < 0.5:
            original, path = chance.choice(self.files)
            return path, original, Maker(original, chance).file()
        return self.core, self.original, Maker(self.original, chance).core()


def copy(source: Path, target: Path) -> None:
    """What is a hole stays one."""
    size = source.stat().st_size
    with source.open("rb") as old, target.open("wb") as new:
        os.truncate(new.fileno(), size)
        at = 0
        while at < size:
            try:
                begin = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # holes alone
            at = os.lseek(old.fileno(), begin, os.SEEK_HOLE)
            old.seek(begin)
            new.seek(begin)
            new.write(old.read(at - begin))


def apply(path: Path, mutant: Mutant) -> None:
    with path.open("r+b") as file:
        for patch in mutant.patches:
            file.seek(patch.offset)
            file.write(patch.content)
        if mutant.size >= 0:
            file.truncate(mutant.size)


def restore(path: Path, original: Original, mutant: Mutant) -> None:
    with path.open("r+b") as file:
        for patch in mutant.patches:
            file.seek(patch.offset)
            file.write(original.data[patch.offset : patch.offset + len(patch.content)])
        if mutant.size >= 0:
            file.seek(mutant.size)
            file.write(original.data[mutant.size :])


def look(scene: Scene, through_pipe: bool) -> bytes:
    """The payload, checked."""
    asked = examine.Asked("program", "/usr/bin/program")
    core = os.open(scene.core, os.O_RDONLY)
    try:
        if through_pipe:
            out, into = os.pipe()
            writer = threading.Thread(target=pump, args=(core, into))
            writer.start()
            try:
                examined = examine.examine(out, asked, True, time.monotonic, str(scene.root), SECONDS_MAX)
            finally:
                os.close(out)
                writer.join()
        else:
            examined = examine.examine(core, asked, True, time.monotonic, str(scene.root), SECONDS_MAX)
    finally:
        os.close(core)
    if examined.report is None:
        assert examined.failure
        return b""
    payload = examined.report.payload()
    assert len(payload) <= report.PAYLOAD_MAX, len(payload)
    line, _, text = payload.partition(b"\n")
    told = json.loads(line)
    assert line.isascii()
    assert text.isascii()
    assert told["version"] == report.VERSION
    assert len(text) <= report.TEXT_MAX
    assert 1 <= examined.severity <= 4
    assert len(examined.report.text(report.TEXT_MAX, len(examined.report.groups))) <= report.TEXT_MAX
    return payload


def pump(core: int, into: int) -> None:
    try:
        while content := os.read(core, 1 << 16):
            os.write(into, content)
    except BrokenPipeError:
        pass  # it had enough
    finally:
        os.close(into)


def cases() -> list[Case]:
    """Those of CASES, made if they aren't there."""
    known = {program.name: program for program in corpus.programs()}
    return corpus.make([known[name] for name in CASES])


def limit() -> None:
    """For the whole process: too much memory becomes an error that is told."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_next() -> None:
    """For one mutant: too much time ends the process, whatever it does then."""
    until = math.ceil(time.process_time() + CPU_S_MAX) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
    signal.alarm(WALL_S_MAX)


def main(first: int, count: int, per_case: int) -> int:
    """Mutants `first` and on; a case after the other has `per_case` of them."""
    known = cases()
    limit()
    scene: Scene | None = None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/var/tmp") as folder:
        for seed in range(first, first + count):
            at = seed // per_case
            if scene is None or seed % per_case == 0:
                scene = Scene(known[at % len(known)], Path(folder) / str(at))
            say = {"seed": seed, "case": CASES[at % len(CASES)]}
            print(json.dumps(say), flush=True)
            path, original, mutant = scene.mutate(seed)
            apply(path, mutant)
            gc.collect()
            limit_next()
            used, error = time.process_time(), ""
            try:
                size = len(look(scene, seed % 8 == 0))
            except BaseException:
                error, size = traceback.format_exc(), -1
            used = time.process_time() - used
            restore(path, original, mutant)
            peak = peak_kb()
            what = f"{path.name}: {mutant.what}"
            print(json.dumps({**say, "what": what, "s": used, "size": size, "kb": peak, "error": error}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
