# SPDX-License-Identifier: Apache-2.0
"""Which function an address is in: against nm at every address, and where no name is better than a wrong one."""

from __future__ import annotations

import lzma
import random
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from handmade import compile_c

from telemetry_probes.crash import elf
from telemetry_probes.crash.symbols import Symbols

LINE = re.compile(r"([0-9a-f]+) ([0-9a-f]+) ([tTwWi]) (\S+)")
SOURCE = """\
#include <stdio.h>
static __attribute__((noinline)) int local(int x) { return printf("%d", x); }
__attribute__((noinline)) int exported(int x) { return local(x) + 1; }
int __exported(int) __attribute__((alias("exported")));
int weak_name(int) __attribute__((weak, alias("exported")));
int main(void) { return exported(1); }
"""
ASSEMBLER = """\
    .text
    .globl sized
    .type sized, @function
sized:
    nop
    nop
    .size sized, .-sized
    nop
    nop
    .globl endless
    .type endless, @function
endless:
    nop
    nop
    nop
    .type hidden, @function
hidden:
    .cfi_startproc
    nop
    nop
    .cfi_endproc
    .globl with_rules
    .type with_rules, @function
with_rules:
    .cfi_startproc
    nop
    nop
    .cfi_endproc
"""


def image_of(path: Path) -> elf.Image:
    image = elf.read(path.read_bytes(), str(path))
    assert image is not None
    return image


def find(path: Path, wanted: Iterable[int], debug: Path | None = None) -> dict[int, str]:
    debug_image = (lambda: image_of(debug)) if debug is not None else None
    found = Symbols(image_of(path), 0).find(list(wanted), debug_image)
    return {address: symbol.name.partition("@")[0] for address, symbol in found.items()}


def functions(path: Path, *flags: str) -> dict[int, set[str]]:
    """Of every address that nm says a function covers, the names."""
    said = subprocess.run(
        ["nm", "-S", "--defined-only", *flags, path], capture_output=True, text=True, timeout=60
    ).stdout
    found: dict[int, set[str]] = {}
    for start, size, _kind, name in LINE.findall(said):
        for address in range(int(start, 16), int(start, 16) + int(size, 16)):
            found.setdefault(address, set()).add(name.partition("@")[0])
    return found


def place_of(path: Path, name: str) -> int:
    said = subprocess.run(["nm", path], capture_output=True, text=True, check=True, timeout=60).stdout
    return next(int(line.split()[0], 16) for line in said.splitlines() if line.endswith(" " + name))


def made(tmp_path: Path, *flags: str) -> Path:
    return compile_c(SOURCE, tmp_path / "program", "-Wl,--build-id=sha1", *flags)


@pytest.mark.parametrize("library", ["libc.so.6", "libm.so.6", "libstdc++.so.6"])
def test_exported_functions_of_libraries_are_those_of_nm(library: str) -> None:
    path = next(Path("/usr/lib").glob(f"*/{library}"))
    expected = functions(path, "-D")
    text = image_of(path).header(".text")
    assert text is not None
    wanted = range(text.address, text.address + text.size, 997)
    found = find(path, wanted)
    named = [address for address in wanted if address in expected]
    assert len(named) > 200 and all(found[address] in expected[address] for address in named)
    # What nm's sizes leave uncovered is a static function here, whose name isn't in the file.
    assert [address for address in found if address not in expected] == []


def test_every_address_of_a_program(tmp_path: Path) -> None:
    path = made(tmp_path)
    expected = functions(path)
    found = find(path, expected)
    assert all(found[address] in names for address, names in expected.items())
    assert found[place_of(path, "local")] == "local"
    assert set(found) == set(expected)


def test_the_name_does_not_depend_on_the_order_of_the_table(tmp_path: Path) -> None:
    path = made(tmp_path, "-rdynamic")
    here = place_of(path, "exported")
    assert functions(path)[here] == {"exported", "__exported", "weak_name"}
    assert find(path, [here, here + 1]) == {here: "exported", here + 1: "exported"}
    subprocess.run(["strip", path], check=True, timeout=60)
    assert find(path, [here]) == {here: "exported"}


def test_a_debug_file_adds_names_and_changes_none(tmp_path: Path) -> None:
    path = made(tmp_path, "-rdynamic")
    debug = tmp_path / "program.debug"
    every = functions(path)
    local, exported = place_of(path, "local"), place_of(path, "exported")
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True, timeout=60)
    subprocess.run(["strip", path], check=True, timeout=60)
    without, together = find(path, every), find(path, every, debug)
    assert {address: together[address] for address in without} == without
    assert local not in without and together[local] == "local" and without[exported] == "exported"
    symbols = Symbols(image_of(path), 0).find([local, exported], lambda: image_of(debug))
    assert not symbols[local].own and symbols[exported].own and symbols[local].start == local


def test_libc_has_the_same_names_with_and_without_its_debug_file() -> None:
    path = next(Path("/usr/lib").glob("*/libc.so.6"))
    build_id = image_of(path).build_id
    debug = Path(f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    assert debug.exists(), "libc6-dbg has to be installed"
    text = image_of(path).header(".text")
    assert text is not None
    wanted = list(range(text.address, text.address + text.size, 997))
    without, together = find(path, wanted), find(path, wanted, debug)
    assert {address: together[address] for address in without} == without
    assert len(together) > len(without) + 100
    names = set(without.values())
    assert not {"__poll", "__write", "__read"} & names


def assembled(tmp_path: Path, *flags: str) -> Path:
    (tmp_path / "part.s").write_text(ASSEMBLER + '.section .note.GNU-stack,"",@progbits\n')
    path = tmp_path / "part.so"
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", path, "part.s", *flags], check=True, timeout=60, cwd=tmp_path)
    return path


def test_functions_without_a_size(tmp_path: Path) -> None:
    path = assembled(tmp_path)
    sized, endless = place_of(path, "sized"), place_of(path, "endless")
    found = find(path, range(sized - 1, sized + 20))
    assert sized - 1 not in found
    assert [found.get(sized + at) for at in range(4)] == ["sized", "sized", None, None]
    assert [found.get(endless + at) for at in range(7)] == ["endless"] * 3 + ["hidden"] * 2 + ["with_rules"] * 2
    # Without local names nobody knows where `endless` ends. Where rules begin a function begins.
    subprocess.run(["strip", path], check=True, timeout=60)
    found = find(path, range(sized, sized + 20))
    assert [found.get(endless + at) for at in range(7)] == [None] * 5 + ["with_rules"] * 2


def test_names_end_with_their_section(tmp_path: Path) -> None:
    path = assembled(tmp_path)
    text = image_of(path).header(".text")
    assert text is not None
    assert find(path, [text.address + text.size, text.address + text.size + 0x800, 0, 1 << 63, 64]) == {}


def test_mini_debug_info(tmp_path: Path) -> None:
    path = made(tmp_path, "-rdynamic")
    every = functions(path)
    local = place_of(path, "local")
    mini, packed = tmp_path / "mini", tmp_path / "mini.xz"
    subprocess.run(["objcopy", "-S", "--keep-symbol=local", "--only-keep-debug", path, mini], check=True, timeout=60)
    packed.write_bytes(lzma.compress(mini.read_bytes()))
    subprocess.run(["strip", path], check=True, timeout=60)
    assert local not in find(path, every)
    subprocess.run(["objcopy", f"--add-section=.gnu_debugdata={packed}", path], check=True, timeout=60)
    found = Symbols(image_of(path), 0).find([local, local + 3])
    assert {symbol.name for symbol in found.values()} == {"local"} and all(symbol.own for symbol in found.values())
    packed.write_bytes(packed.read_bytes()[:90])
    subprocess.run(["objcopy", f"--update-section=.gnu_debugdata={packed}", path], check=True, timeout=60)
    assert local not in find(path, every)


@pytest.mark.parametrize("style", ["gnu", "sysv"])
def test_without_section_headers_the_loader_s_table_is_used(style: str, tmp_path: Path) -> None:
    path = made(tmp_path, "-rdynamic", f"-Wl,--hash-style={style}")
    exported, local = place_of(path, "exported"), place_of(path, "local")
    raw = bytearray(path.read_bytes())
    raw[40:48] = bytes(8)  # e_shoff
    raw[60:64] = bytes(4)  # e_shnum, e_shstrndx
    path.write_bytes(raw)
    assert find(path, [exported, exported + 2, local]) == {exported: "exported", exported + 2: "exported"}


def test_values_are_found_by_name(tmp_path: Path) -> None:
    path = made(tmp_path)
    symbols = Symbols(image_of(path), 0)
    for name in ("exported", "weak_name", "main"):
        assert symbols.value_of(name) == place_of(path, name)
    assert symbols.value_of("printf") is None and symbols.value_of("xported") is None


def test_big_tables_are_searched_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from telemetry_probes.crash import symboltables

    path = made(tmp_path)
    every = functions(path)
    whole = find(path, every)
    monkeypatch.setattr(symboltables, "CHUNK", 5)
    assert find(path, every) == whole
    monkeypatch.setattr(symboltables, "KEPT_MAX", 0)
    assert find(path, every) == whole


def test_changed_files_never_raise(tmp_path: Path) -> None:
    choose = random.Random(3)
    path = made(tmp_path, "-rdynamic")
    raw = path.read_bytes()
    every = sorted(functions(path))[::7]
    image = image_of(path)
    places = [(0, 64), (64, 700)]
    for name in (".symtab", ".strtab", ".dynsym", ".dynamic", ".gnu.hash", ".eh_frame_hdr"):
        section = image.header(name)
        assert section is not None
        places.append((section.offset, section.size))
    named = 0
    for turn in range(1500):
        changed = bytearray(raw)
        if turn % 2:
            changed[40:48] = bytes(8)
        for _ in range(choose.randrange(1, 10)):
            offset, size = choose.choice(places)
            changed[offset + choose.randrange(size)] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
        changed_image = elf.read(bytes(changed))
        if changed_image is not None:
            found = Symbols(changed_image, 0x1000).find(every)
            assert all(symbol.name for symbol in found.values())
            named += bool(found)
    assert named > 100
