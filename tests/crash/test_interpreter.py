# SPDX-License-Identifier: Apache-2.0
"""Python's frames in cores of every CPython that this machine has, against what the source says; and the layouts."""

from __future__ import annotations

import glob
import os
import pwd
import random
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import readcore
from handmade import gdb_core

from telemetry_probes.crash import pythonlayout
from telemetry_probes.crash.interpreter import Interpreter, version_of
from telemetry_probes.crash.model import Place, Thread
from telemetry_probes.crash.naming import Names
from telemetry_probes.crash.pythonlines import line_at
from telemetry_probes.crash.windows import Windows

SOURCE = """\
import functools, os, sys, threading


class Größe:
    def method(self, n):
        if n:
            return self.method(n - 1)
        return list(map(inner, [1]))


def inner(x):
    gen = (abortive(y)
           for y in [x])
    return sum(gen)


def abortive(y):
    z = (y +
         1)
    os.abort()


def key(x):
    return functools.reduce(lambda a, b: Größe().method(2), [1, 2])


def main():
    sorted([3, 1], key=key)


if len(sys.argv) > 1:
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
else:
    main()
"""
FRAMES = [
    ("abortive", 20), ("inner.<locals>.<genexpr>", 12), ("inner", 14), ("Größe.method", 8), ("Größe.method", 7),
    ("Größe.method", 7), ("key.<locals>.<lambda>", 24), ("key", 24), ("main", 28),
]  # fmt: skip
DEEP = """\
import os, sys
sys.setrecursionlimit(5000)
def down(n):
    if n == 0:
        os.abort()
    down(n - 1)
down(900)
"""

SYSTEM = os.path.realpath("/usr/bin/python3")
PYENV = Path(pwd.getpwuid(os.getuid()).pw_dir, ".pyenv/versions")
PYTHONS = [SYSTEM, *sorted(glob.glob(f"{PYENV}/3.[0-9]*/bin/python3.[0-9]*[0-9]"))]
SUPPORTED = [path for path in PYTHONS if (3, 9) <= (version_of(path) or (0, 0)) <= (3, 14)]


class Dead:
    """A Python that died of abort()."""

    def __init__(self, python: str, source: str, folder: Path, *arguments: str) -> None:
        self.script = folder / "script.py"
        self.script.write_text(source)
        gdb_core(Path(python), folder / "core", str(self.script), *arguments)
        self.read = readcore.read(folder / "core")

    def places(self) -> list[tuple[Place, ...]]:
        core, modules, memory, _machine = self.read
        names = Names(modules, memory, core.loads, time.monotonic, time.monotonic() + 60)
        return names.places(self.read.stack(), self.read.thread)


def plain(name: str, version: tuple[int, int] | None) -> str:
    """Up to 3.10 code doesn't know in what it was defined."""
    return name if version is None or version >= (3, 11) else name.rpartition(".")[2]


@pytest.mark.parametrize("arguments", [(), ("thread",)], ids=["main", "thread"])
@pytest.mark.parametrize("python", SUPPORTED)
def test_frames_are_those_of_the_source(python: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    dead = Dead(python, SOURCE, tmp_path, *arguments)
    places = dead.places()
    found = [place for frame in places for place in frame if place.kind == "python"]
    version = version_of(python)
    assert [(place.function, place.line) for place in found[:9]] == [(plain(n, version), line) for n, line in FRAMES]
    assert {place.file for place in found[:9]} == {str(dead.script)}
    rest = [place.function.rpartition(".")[2] for place in found[9:]]
    assert rest == (["run", "_bootstrap_inner", "_bootstrap"] if arguments else ["<module>"])
    # Each run of them stands before the evaluation loop that it runs in, and none stands elsewhere.
    for frame in places:
        if any(place.kind == "python" for place in frame):
            assert frame[-1].function == "_PyEval_EvalFrameDefault"


def test_of_deep_recursion_the_ends_are_there(tmp_path: Path) -> None:
    found = [place for frame in Dead(SYSTEM, DEEP, tmp_path).places() for place in frame if place.kind == "python"]
    assert (found[0].function, found[0].line) == ("down", 5)
    assert (found[-1].function, found[-1].line) == ("<module>", 7)
    told = [place.function for place in found if place.function.startswith("<") and "left out" in place.function]
    assert told == [f"<{902 - 256} frames left out>"] and len(found) == 257


def test_damaged_memory_never_raises_nor_hangs(tmp_path: Path) -> None:
    dead = Dead(SYSTEM, SOURCE, tmp_path).read
    module = next(one for one in dead.modules.all if "python3" in one.path)
    assert module.image is not None
    said = subprocess.run(["nm", "-D", module.path], capture_output=True, text=True, check=True, timeout=60).stdout
    runtime = next(int(line.split()[0], 16) for line in said.splitlines() if line.endswith(" _PyRuntime"))
    thread = dead.thread
    version = version_of(SYSTEM)
    whole = Interpreter(runtime + module.bias, version, dead.memory, lambda: False).runs(thread)
    assert [place.function for run in whole for place in run][0] == "abortive"
    choose = random.Random(9)
    until = [0.0]

    def expired() -> bool:
        return time.monotonic() > until[0]

    class Damaged:
        """Some words are others."""

        def __init__(self) -> None:
            self.share = choose.choice((0.001, 0.01, 0.1))
            self.asked: list[int] = []

        def word(self, address: int) -> int | None:
            self.asked.append(address)
            if choose.random() < self.share:
                return choose.choice((None, 0, 1, choose.choice(self.asked), 1 << 63, address))
            return dead.memory.word(address)

        def read(self, address: int, size: int) -> bytes | None:
            if choose.random() < self.share:
                return choose.choice((None, bytes(size), b"\xff" * size))
            return dead.memory.read(address, size)

    for _ in range(300):
        begun = time.monotonic()
        damaged = Interpreter(runtime + module.bias, version, Damaged(), expired)
        until[0] = begun + 2
        runs = damaged.runs(thread)
        assert all(place.kind == "python" and place.line >= 0 for run in runs for place in run)
        assert time.monotonic() - begun < 30


def test_nothing_where_there_is_no_interpreter() -> None:
    nowhere = Interpreter(0x1000, (3, 11), Windows(), lambda: False)
    assert nowhere.runs(Thread(1, [], 0)) == []
    assert Interpreter(0x1000, None, Windows(), lambda: False).runs(Thread(1, [], 0)) == []


@pytest.mark.parametrize("version", [(3, 13), (3, 14)])
def test_the_interpreter_s_own_word_on_its_layout(version: tuple[int, int]) -> None:
    # As Include/internal/pycore_debug_offsets.h of that version has them.
    more = version == (3, 14)
    fields = [
        ["size", "finalizing", "interpreters"],
        ["size", "id", "next_interpreter", "threads", *["threads_main"] * more, "gc", "imports", "sysdict", "builtins",
         "gil", "gil_state", "enabled", "locked", "holder", *["generation", "tlbc"] * more],
        ["size", "prev", "next_thread", "interp", "frame", "thread_id", "native_id", "datastack", "status"],
        ["size", "previous", "code", "instruction", "localsplus", "owner", *["stackpointer", "tlbc_index"] * more],
        ["size", "filename", "co_name", "name", "line_table", "first_line", "argcount", "names", "kinds",
         "instructions", *["co_tlbc"] * more],
        ["size", "ob_type"], ["size", "tp_name", "tp_repr", "tp_flags"], ["size", "ob_item", "ob_size"],
        ["size", "ob_item", "ob_size"], *[["size", "used", "table", "mask"]] * more, ["size", "ma_keys", "ma_values"],
        ["size", "ob_fval"], ["size", "lv_tag", "ob_digit"], ["size", "bytes_size", "bytes_start"],
        ["size", "text_state", "text_length", "ascii_size"],
    ]  # fmt: skip
    flat = [name for group in fields for name in group]
    content = b"xdebugpy" + bytes([0xF0, 0, version[1], 3]) + bytes(12)
    content += b"".join((1000 + at).to_bytes(8, "little") for at in range(len(flat)))
    memory = Windows()
    memory.add(0x1000, content + bytes(400))
    layout = pythonlayout.read(memory, 0x1000)
    assert layout is not None and layout.version == version
    for name in ("interpreters", "next_interpreter", "threads", "next_thread", "thread_id", "native_id", "frame",
                 "previous", "code", "instruction", "owner", "filename", "name", "first_line", "line_table",
                 "instructions", "text_length", "text_state", "ascii_size", "bytes_size", "bytes_start"):  # fmt: skip
        assert getattr(layout, name) == 1000 + flat.index(name), name


def test_lines_of_every_instruction_are_as_this_interpreter_has_them() -> None:
    compared = 0
    for name in ("argparse", "inspect", "threading", "tarfile"):
        path = Path(sysconfig.get_paths()["stdlib"]) / f"{name}.py"
        todo = [compile(path.read_text(), str(path), "exec")]
        while todo:
            code = todo.pop()
            todo += [constant for constant in code.co_consts if isinstance(constant, type(code))]
            table = code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab
            for start, end, line in code.co_lines():
                for offset in range(start, end, 2):
                    assert line_at(table, code.co_firstlineno, offset, sys.version_info[:2]) == (line or 0)
                    compared += 1
    assert compared > 10_000


def test_line_tables_that_lie() -> None:
    choose = random.Random(2)
    for _ in range(5000):
        table = choose.randbytes(choose.randrange(40))
        for version in ((3, 9), (3, 10), (3, 11)):
            assert isinstance(line_at(table, 10, choose.randrange(100), version), int)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/bin/python3.11", (3, 11)),
        ("/usr/lib/x86_64-linux-gnu/libpython3.9.so.1.0", (3, 9)),
        ("/usr/lib/libpython3.so", None),
        ("/opt/program", None),
        ("/usr/bin/python3.99999", None),
    ],
)
def test_versions_in_names(path: str, version: tuple[int, int] | None) -> None:
    assert version_of(path) == version
