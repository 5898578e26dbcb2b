# SPDX-License-Identifier: Apache-2.0
"""Functions, files, lines and inlined calls at every address of real programs, against addr2line; DWARF that lies."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from handmade import compile_c

from telemetry_probes.crash import elf
from telemetry_probes.crash.debugfiles import DebugFiles
from telemetry_probes.crash.lines import Lines
from telemetry_probes.crash.sysroot import opener

SOURCE = """\
#include <stdio.h>
#include <stdlib.h>

static inline __attribute__((always_inline)) int innermost(volatile int *at, int value)
{
    *at += value;
    return *at * 3;
}

static inline __attribute__((always_inline)) int middle(volatile int *at, int value)
{
    int sum = 0;
    for (int i = 0; i < value; i++)
        sum += innermost(at, i);
    return sum;
}

__attribute__((noinline)) int outer(volatile int *at, int value)
{
    int first = middle(at, value);

    if (value > 100) {
        fprintf(stderr, "too much\\n");
        abort();
    }
    return first + middle(at, value + 1);
}

int main(int count, char **arguments)
{
    volatile int number = count;

    printf("%d %s\\n", outer(&number, count), arguments[0]);
    return 0;
}
"""
RUST = """\
#[inline(always)]
fn inner(values: &[u32], at: usize) -> u32 { values[at] }
mod part { #[inline(never)] pub fn outer(values: &[u32]) -> u32 { super::inner(values, values.len() - 1) } }
fn main() { println!("{}", part::outer(&[1, std::env::args().count() as u32])); }
"""

Answer = list[tuple[str, str, int]]


def image_of(path: Path) -> elf.Image:
    image = elf.read(path.read_bytes(), str(path))
    assert image is not None
    return image


def never() -> bool:
    return False


def addresses(program: Path, *names: str) -> list[int]:
    """Every address of these functions, as nm has them."""
    said = subprocess.run(["nm", "-S", program], capture_output=True, text=True, check=True, timeout=60).stdout
    found: list[int] = []
    for line in said.splitlines():
        words = line.split()
        if len(words) == 4 and words[3].partition(".")[0] in names:
            found.extend(range(int(words[0], 16), int(words[0], 16) + int(words[1], 16)))
    assert found
    return found


def answers(lines: Lines, wanted: list[int]) -> list[Answer]:
    return [[(call.function, os.path.basename(call.file), call.line) for call in lines.at(at)] for at in wanted]


def addr2line(program: Path, wanted: list[int]) -> list[Answer]:
    said = subprocess.run(
        ["addr2line", "-f", "-i", "-a", "-e", program], input="\n".join(map(hex, wanted)),
        capture_output=True, text=True, check=True, timeout=120,
    ).stdout.splitlines()  # fmt: skip
    found: list[Answer] = []
    at = 0
    while at < len(said):
        if said[at].startswith("0x"):
            found.append([])
            at += 1
            continue
        file, _, line = said[at + 1].partition(" (")[0].rpartition(":")
        found[-1].append((said[at].partition(".")[0], os.path.basename(file), int(line) if line.isdigit() else 0))
        at += 2
    return found


def built(folder: Path, compiler: str, *flags: str) -> Path:
    """The program at the same place each time, so that only the flags make a difference."""
    program = folder / f"{compiler}{''.join(flags)}"
    (folder / "source.c").write_text(SOURCE)
    command = [compiler, "-g", "-gcolumn-info", "-o", str(program), "source.c", *flags]
    subprocess.run(command, check=True, timeout=60, cwd=folder)
    return program


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_every_address_of_a_program(compiler: str, level: str, tmp_path: Path) -> None:
    older = built(tmp_path, compiler, level, "-gdwarf-4")
    wanted = addresses(older, "main", "outer")
    expected = addr2line(older, wanted)
    assert any(len(answer) > 2 for answer in expected) or level == "-O0"
    assert answers(Lines(image_of(older), None, never), wanted) == expected
    # Of DWARF 5 and of old compression addr2line itself doesn't read everything, but the code is the same.
    for flags in (("-gdwarf-2",), ("-gdwarf-3",), ("-gdwarf-5",), ("-gdwarf-5", "-gz=zlib"), ("-gdwarf-4", "-gz=zlib")):
        program = built(tmp_path, compiler, level, *flags)
        assert addresses(program, "main", "outer") == wanted
        assert answers(Lines(image_of(program), None, never), wanted) == expected, flags


def test_old_compression_and_64_bit_dwarf(tmp_path: Path) -> None:
    plain = built(tmp_path, "gcc", "-O2", "-gdwarf-4")
    wanted = addresses(plain, "main", "outer")
    expected = answers(Lines(image_of(plain), None, never), wanted)
    for flags in (("-gz=zlib-gnu",), ("-gdwarf64",), ("-gdwarf64", "-gdwarf-5"), ("-gno-inline-points",)):
        program = built(tmp_path, "gcc", "-O2", "-gdwarf-4", *flags)
        assert answers(Lines(image_of(program), None, never), wanted) == expected, flags


def test_without_aranges_an_index_is_made(tmp_path: Path) -> None:
    program = built(tmp_path, "gcc", "-O2")
    wanted = addresses(program, "main", "outer")
    expected = answers(Lines(image_of(program), None, never), wanted)
    subprocess.run(["objcopy", "--remove-section=.debug_aranges", program], check=True, timeout=60)
    assert image_of(program).section(".debug_aranges") is None
    assert answers(Lines(image_of(program), None, never), wanted) == expected


def test_rust_which_has_no_siblings_and_few_aranges(tmp_path: Path) -> None:
    (tmp_path / "part.rs").write_text(RUST)
    subprocess.run(
        ["/usr/bin/rustc", "-g", "-O", "-C", "codegen-units=2", "part.rs"],
        check=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    program = tmp_path / "part"
    said = subprocess.run(["nm", "-S", program], capture_output=True, text=True, check=True, timeout=60).stdout
    place = next(line.split() for line in said.splitlines() if "part5outer" in line)
    wanted = list(range(int(place[0], 16), int(place[0], 16) + int(place[1], 16)))
    found = answers(Lines(image_of(program), None, never), wanted)
    assert found == addr2line(program, wanted)
    assert any([line for _function, _file, line in answer] == [2, 3] for answer in found)


def test_entries_that_dwz_moved_are_found(tmp_path: Path) -> None:
    plain = [built(tmp_path, "gcc", "-O2", define) for define in ("-DFIRST", "-DSECOND")]
    wanted = addresses(plain[0], "main", "outer")
    expected = answers(Lines(image_of(plain[0]), None, never), wanted)
    shared = tmp_path / "shared.debug"
    subprocess.run(["dwz", "-m", shared, "-M", shared, *plain], check=True, timeout=60)
    image = image_of(plain[0])
    assert image.section(".gnu_debugaltlink") is not None
    alternate = DebugFiles(opener()).alternate(image)
    assert alternate is not None
    assert answers(Lines(image, alternate, never), wanted) == expected
    # Without that file there are lines all the same, and no names that were made up.
    without = answers(Lines(image, None, never), wanted)
    assert [[call[1:] for call in answer] for answer in without] == [
        [call[1:] for call in answer] for answer in expected
    ]
    for answer, want in zip(without, expected, strict=True):
        assert all(call[0] in ("", had[0]) for call, had in zip(answer, want, strict=True))


def test_the_c_library_of_this_system_is_read_in_time() -> None:
    library = next(Path("/usr/lib").glob("*/libc.so.6"))
    image = elf.read(library.read_bytes(), str(library))
    assert image is not None
    debug = DebugFiles(opener()).of(image, str(library), image.build_id)
    assert debug is not None and debug is not image, "libc6-dbg has to be installed"
    lines = Lines(debug, None, never)
    said = subprocess.run(["nm", "-DS", library], capture_output=True, text=True, check=True, timeout=60).stdout
    place = next(line.split() for line in said.splitlines() if line.endswith((" qsort_r@@GLIBC_2.8", " T qsort_r")))
    assert lines.at(int(place[0], 16) + 20)[-1].file.endswith("stdlib/msort.c")
    assert lines.at(1) == [] and lines.at(1 << 63) == []


def test_after_the_deadline_nothing_is_read_and_nothing_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "part.rs").write_text(RUST)
    rustc = ["/usr/bin/rustc", "-g", "-O", "part.rs"]
    subprocess.run(rustc, check=True, timeout=120, cwd=tmp_path)
    image = image_of(tmp_path / "part")
    text = image.header(".text")
    assert text is not None
    wanted = list(range(text.address, text.address + text.size, 997))
    expected = answers(Lines(image, None, never), wanted)
    late = answers(Lines(image, None, lambda: True), wanted)
    assert all(had in ([], want) or had == [("", *want[0][1:])] for had, want in zip(late, expected, strict=True))
    assert late != expected


def test_changed_dwarf_never_raises_nor_hangs(tmp_path: Path) -> None:
    choose = random.Random(5)
    for flags in (("-gdwarf-4",), ("-gdwarf-5",)):
        program = built(tmp_path, "gcc", "-O2", *flags)
        raw = program.read_bytes()
        image = image_of(program)
        wanted = addresses(program, "main", "outer")
        places = [
            (section.offset, section.size) for name, section in image.sections.items() if name.startswith(".debug_")
        ]
        for _ in range(400):
            changed = bytearray(raw)
            for _ in range(choose.randrange(1, 12)):
                offset, size = choose.choice(places)
                at = offset + choose.randrange(size)
                changed[at : at + 1] = bytes([choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))])
            begun = time.monotonic()
            ours = elf.read(bytes(changed))
            assert ours is not None
            until = begun + 2
            lines = Lines(ours, None, lambda until=until: time.monotonic() > until)  # type: ignore[misc]
            for address in wanted[::40]:
                for call in lines.at(address):
                    assert len(call.function) < 10_000 and call.line >= 0
            assert time.monotonic() - begun < 30


def test_debug_information_of_a_stripped_program_is_found(tmp_path: Path) -> None:
    program = compile_c(SOURCE, tmp_path / "program", "-Wl,--build-id=sha1")
    wanted = addresses(program, "main", "outer")
    expected = answers(Lines(image_of(program), None, never), wanted)
    debug = tmp_path / "root" / "program.debug"
    debug.parent.mkdir()
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True, timeout=60)
    subprocess.run(["strip", "--strip-all", program], check=True, timeout=60)
    shutil.copy(program, tmp_path / "root" / "program")
    assert answers(Lines(image_of(debug), None, never), wanted) == expected
    assert Lines(image_of(program), None, never).at(wanted[0]) == []
