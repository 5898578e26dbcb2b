# SPDX-License-Identifier: Apache-2.0
"""Builds one program of the corpus into a folder: `program`, `full` (the same before anything was taken from it), and
what its steps ask for. Debian's own compilers by their absolute paths, so that every machine has the same.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sources import Program

WAIT_S = 300
MOST_SAID = 3000
COMPILERS = {
    name: Path("/usr/bin") / name
    for name in ("gcc", "g++", "clang", "clang++", "rustc", "go", "musl-gcc", "aarch64-linux-gnu-gcc")
}
PYTHON = Path("/usr/bin/python3")
ARM_LIBRARIES = Path("/usr/aarch64-linux-gnu")


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """What the command printed. Raises AssertionError with all of it when it failed."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{(done.stdout + done.stderr)[:MOST_SAID]}"
    return done.stdout


def tool(program: Program, name: str) -> str:
    """A program of binutils for the machine that this one is for."""
    return f"/usr/bin/aarch64-linux-gnu-{name}" if program.machine == "aarch64" else f"/usr/bin/{name}"


def compile_go(source: Path, out: Path, caches: Path, flags: Sequence[str], arm: bool = False) -> None:
    """By Go's own linker, and by that of gcc where there is C in it."""
    in_c = 'import "C"' in source.read_text()
    own_linker = ["-ldflags=-linkmode=internal"] if "-buildmode=pie" in flags and not in_c else []
    run(COMPILERS["go"], "build", *flags, *own_linker, "-o", out, source, environment={
        "GOCACHE": str(caches / "go"), "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOROOT": "",
        "CGO_ENABLED": "1" if in_c else "0", "GOARCH": "arm64" if arm else "amd64",
    })  # fmt: skip


def compile_library(program: Program, source: Path, flags: Sequence[str], part: Path, caches: Path) -> None:
    """`part.so`, and `part.so.full` where the linker itself takes something from it."""
    if source.suffix == ".go":
        for out in (part, part.with_name("part.so.full")):
            compile_go(source, out, caches, ["-buildmode=c-shared", *(flags if out == part else ())])
    else:
        run(COMPILERS[program.compiler], *flags, "-shared", "-fPIC", source, "-o", part)


def compile_source(program: Program, folder: Path, caches: Path) -> None:
    """`full`, and `part.so` where the program has a library."""
    out = folder / "full"
    compiler = COMPILERS.get(program.compiler, PYTHON)
    links: list[str | Path] = []
    if library := program.step("library"):
        part, source = folder / "part.so", program.source.with_name(library[1])
        compile_library(program, source, library[2:], part, caches)
        if "-DHOW=linked" in program.flags or source.suffix == ".go":
            links = ["-Wl,--no-as-needed", part, "-Wl,-rpath,$ORIGIN"]
    if program.compiler == "python":
        shutil.copy2(program.source, folder / program.source.name)
        out.symlink_to(PYTHON.resolve())
    elif program.compiler in ("go", "aarch64-go"):
        arm, flags = program.machine == "aarch64", list(program.flags)
        if any(flag.startswith("-ldflags=-s") for flag in flags):  # stripped by its own linker, from the beginning
            compile_go(program.source, folder / "program", caches, flags, arm)
            flags = []
        compile_go(program.source, out, caches, flags, arm)
    elif program.compiler == "rustc":
        run(compiler, "--edition", "2021", *program.flags, program.source, "-o", out)
    else:
        run(compiler, "-pthread", *program.flags, program.source, "-o", out, *links)


def build_id(program: Program, file: Path) -> str:
    for line in run(tool(program, "readelf"), "-n", file).splitlines():
        if "Build ID:" in line:
            return line.split()[-1]
    raise AssertionError(f"{file}: no build-id")


def debug_only(program: Program, file: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    run(tool(program, "objcopy"), "--only-keep-debug", file, out)


def mini(program: Program, file: Path) -> None:
    """MiniDebugInfo: the symbols of functions alone, compressed, in a section of the stripped program."""
    table, keep = file.with_name("table"), file.with_name("keep")
    listed = (line.split() for line in run(tool(program, "nm"), "--format=posix", "--defined-only", file).splitlines())
    keep.write_text("".join(f"{words[0]}\n" for words in listed if words[1] in "Tt"))
    debug_only(program, file, table)
    run(tool(program, "objcopy"), "-S", "--remove-section", ".comment", f"--keep-symbols={keep}", table)
    table.write_bytes(lzma.compress(table.read_bytes(), format=lzma.FORMAT_XZ))
    run(tool(program, "strip"), file)
    run(tool(program, "objcopy"), "--add-section", f".gnu_debugdata={table}", file)
    table.unlink()
    keep.unlink()


def dwz_shared(program: Program, file: Path, folder: Path) -> None:
    """What this and a second program have in common moves into a file beside them."""
    other = folder / "other"
    shutil.copy2(file, other)
    run("/usr/bin/dwz", "-m", folder / "shared.dwz", "-M", "shared.dwz", file, other)
    assert (folder / "shared.dwz").exists()


def apply(program: Program, step: Sequence[str], folder: Path) -> None:
    """One step upon `program` in the folder."""
    file = folder / "program"
    objcopy, strip = tool(program, "objcopy"), tool(program, "strip")
    match step:
        case ["strip"]:
            run(strip, file)
        case ["strip", "library"]:
            run(strip, folder / "part.so")
        case ["no-sections"]:
            run("/usr/bin/llvm-strip", "--strip-sections", file)
        case ["remove", section]:
            run(objcopy, "--remove-section", section, file)
        case ["compress", kind]:
            run(objcopy, f"--compress-debug-sections={kind}", file)
        case ["separate", *below]:
            debug = folder.joinpath(*below) / "program.debug"
            debug_only(program, file, debug)
            run(strip, file)
            run(objcopy, f"--add-gnu-debuglink={debug}", file)
        case ["separate-wrong"]:
            # the link's checksum is right no more
            debug = folder / "program.debug"
            debug_only(program, file, debug)
            run(strip, file)
            run(objcopy, f"--add-gnu-debuglink={debug}", file)
            run(objcopy, "--remove-section", ".note.gnu.build-id", "--remove-section", ".debug_line", debug)
        case ["separate-build-id"]:
            number = build_id(program, file)
            by_number = folder / "root/usr/lib/debug/.build-id" / number[:2]
            debug_only(program, file, by_number / f"{number[2:]}.debug")
            run(strip, file)
        case ["mini"]:
            mini(program, file)
        case ["dwz"]:
            run("/usr/bin/dwz", file)
        case ["dwz-shared"]:
            dwz_shared(program, file, folder)
        case ["library", *_] | ["delete" | "replace" | "filter" | "zero-stack" | "truncate" | "sort-by-size", *_]:
            pass  # done by compile_source, and by cores
        case _:
            raise AssertionError(f"{program.name}: no such step: {' '.join(step)}")


def make_root(program: Program, folder: Path) -> None:
    """A root of the file system as the dead program saw it, where that isn't `/`: links to what is the same there."""
    root = folder / "root"
    if program.machine == "aarch64":
        root.mkdir(exist_ok=True)
        (root / "lib").symlink_to(ARM_LIBRARIES / "lib")
    elif root.exists():
        for name in ("lib", "lib64"):
            (root / name).symlink_to(f"/{name}")
        for entry in Path("/usr/lib").iterdir():
            if entry.name != "debug":
                (root / "usr/lib" / entry.name).symlink_to(entry)
    else:
        return
    top = folder.parts[1]  # where the program itself lies
    (root / top).symlink_to(f"/{top}")


def build(program: Program, folder: Path, caches: Path) -> None:
    """Everything that can be made before the program is run. `folder` is empty."""
    compile_source(program, folder, caches)
    if program.compiler == "python":
        (folder / "program").symlink_to(PYTHON.resolve())
    elif not (folder / "program").exists():
        shutil.copy2(folder / "full", folder / "program")
    if (folder / "part.so").exists() and not (folder / "part.so.full").exists():
        shutil.copy2(folder / "part.so", folder / "part.so.full")
    for step in program.steps:
        apply(program, step, folder)
    make_root(program, folder)
