# SPDX-License-Identifier: Apache-2.0
"""Functions, files and lines of Go's programs, stripped or not, against Go's own addr2line."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import building
import corpus
import pytest

from telemetry_probes.crash import elf
from telemetry_probes.crash.gotable import GoTable

PROGRAMS = {program.name: program for program in corpus.programs()}
STRIPPED_AND_PIE = {"go": ("go_stripped", "go_pie"), "cgo": ("cgo_stripped", "cgo_pie")}


@pytest.fixture(scope="module", params=STRIPPED_AND_PIE)
def programs(request: pytest.FixtureRequest) -> dict[str, Path]:
    """Of the corpus: one stripped by its own linker, the same whole, and one at any address."""
    stripped, pie = corpus.make([PROGRAMS[name] for name in STRIPPED_AND_PIE[request.param]])
    return {"whole": stripped.full, "stripped": stripped.executable, "pie": pie.full}


def image_of(path: Path) -> elf.Image:
    image = elf.read(path.read_bytes(), str(path))
    assert image is not None
    return image


def symbols(program: Path) -> dict[str, int]:
    said = subprocess.run(["nm", program], capture_output=True, text=True, check=True, timeout=60).stdout
    lines = (line.split(None, 2) for line in said.splitlines() if line[0] != " ")
    return {name: int(place, 16) for place, kind, name in lines if kind in "tT"}


def go_addresses(program: Path) -> list[int]:
    """Addresses in functions of Go."""
    places = symbols(program)
    choose = random.Random(4)
    start, end = places["runtime.text"], places["runtime.etext"]
    return [places["main.main"], places["main.middle"], *(choose.randrange(start, end) for _ in range(400))]


def test_every_address_is_as_go_s_own_tool_has_it(programs: dict[str, Path]) -> None:
    wanted = go_addresses(programs["whole"])
    said = subprocess.run(
        [building.COMPILERS["go"], "tool", "addr2line", programs["whole"]], input="\n".join(map(hex, wanted)),
        capture_output=True, text=True, check=True, timeout=120, env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout.splitlines()  # fmt: skip
    table = GoTable(image_of(programs["whole"]))
    for place, address in enumerate(wanted):
        file, _, line = said[2 * place + 1].rpartition(":")
        assert table.at(address) == (said[2 * place], file, max(int(line), 0)), hex(address)


def in_table(symbol: str) -> str:
    """Since 1.18 the table has no type arguments; ABI0 is a matter between linkers."""
    return re.sub(r"\[.*\]", "[...]", symbol.removesuffix(".abi0"))


@pytest.mark.parametrize("form", ["whole", "pie"])
def test_every_function_is_called_what_its_symbol_is(programs: dict[str, Path], form: str) -> None:
    table = GoTable(image_of(programs[form]))
    places = symbols(programs[form])
    functions = {name: at for name, at in places.items() if places["runtime.text"] < at < places["runtime.etext"]}
    wrong = []
    for name, address in functions.items():
        found = table.function(address)
        if found is None or found.start != address or found.name != in_table(name):
            wrong.append((name, hex(address), found and found.name))
    assert len(functions) > 500
    assert not wrong, wrong[:20]


def test_how_deep_a_frame_is_is_what_the_instructions_say(programs: dict[str, Path]) -> None:
    """`sub $n,%rsp` is how Go's compiler makes every frame: by objdump, in the functions of main."""
    said = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", programs["whole"]], capture_output=True, text=True, check=True,
        timeout=120,
    ).stdout  # fmt: skip
    table = GoTable(image_of(programs["whole"]))
    checked = 0
    for body in said.split("\n\n"):
        if not (found := re.match(r"[0-9a-f]+ <(main\.[^>]*)>:\n", body)):
            continue
        lines = re.findall(r"^ +([0-9a-f]+):\t(.*?) *$", body, re.MULTILINE)
        for (_, text), (after, _) in zip(lines, lines[1:], strict=False):
            if made := re.fullmatch(r"sub +\$0x([0-9a-f]+),%rsp", text):
                function = table.function(int(after, 16))
                assert function is not None and function.name == found[1].removesuffix(".abi0")
                assert table.depth(function, int(after, 16)) == int(made[1], 16)
                assert table.depth(function, function.start) == 0
                checked += 1
    assert checked >= 3


def test_a_stripped_program_says_the_same(programs: dict[str, Path]) -> None:
    assert image_of(programs["stripped"]).header(".symtab") is None
    whole, stripped = GoTable(image_of(programs["whole"])), GoTable(image_of(programs["stripped"]))
    for address in go_addresses(programs["whole"]):
        assert stripped.at(address) == whole.at(address) != None  # noqa: E711


def test_outside_of_go_s_code_nothing_is_known(programs: dict[str, Path]) -> None:
    image = image_of(programs["whole"])
    table = GoTable(image)
    text = image.header(".text")
    assert text is not None
    for address in (0, 1, image.entry, text.address + text.size, 1 << 40, 1 << 63):
        found = table.at(address)
        assert found is None or found[0].startswith("_rt0_")


def test_changed_tables_never_raise(programs: dict[str, Path]) -> None:
    choose = random.Random(6)
    raw = programs["stripped"].read_bytes()
    wanted = go_addresses(programs["whole"])[:12]
    section = image_of(programs["stripped"]).header(".gopclntab")
    assert section is not None
    for turn in range(300):
        changed = bytearray(raw)
        for _ in range(20):
            size = 72 if turn % 3 else section.size
            changed[section.offset + choose.randrange(size)] = choose.choice((0, 1, 0x7F, 0x80, 0xFF))
        image = elf.read(changed)  # type: ignore[arg-type]
        assert image is not None
        table = GoTable(image)
        for address in wanted:
            found = table.at(address)
            assert found is None or (found[0] and found[2] >= 0)
            function = table.function(address)
            assert function is None or table.is_inlined(function, address) in (False, True)
            assert function is None or isinstance(table.depth(function, address) or 0, int)
