# SPDX-License-Identifier: Apache-2.0
"""Functions and sections of a file as nm and readelf know them, and names in the form in which they are compared."""

from __future__ import annotations

import bisect
import functools
import re
import subprocess
from pathlib import Path

WAIT_S = 120
DEBUG = Path("/usr/lib/debug/.build-id")
SYMBOL = re.compile(r"([0-9a-f]+) (?:([0-9a-f]{16}) )?[TtWwiu] (.*)")
SECTION = re.compile(r" *\[ *\d+\] (\S+) +\S+ +([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +(\w*)")
LOAD = re.compile(r" +LOAD +0x([0-9a-f]+) 0x([0-9a-f]+)")
PARTS = re.compile(r"((\.(constprop|isra|part|cold|lto_priv|llvm)(\.\d+)*)|\.abi0|::h[0-9a-f]{16})+$")


def without_arguments(name: str) -> str:
    """Without the balanced pair of parentheses that the name ends with."""
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        depth += (name[at] == ")") - (name[at] == "(")
        if depth == 0:
            return name[:at]
    return name


@functools.cache
def normalised(name: str) -> str:
    """Without what tools disagree about: arguments, return type, version, hash, and which part of a function it is."""
    name = re.sub(r" \[clone [^]]*\]", "", re.sub(r"@.*$", "", name))
    name = re.sub(r" const$", "", re.sub(r"\[[0-9a-f]{8,}\]", "", PARTS.sub("", name)))
    if name.endswith(")") and not name.endswith("operator()"):
        name = without_arguments(name)
    depth, begin = 0, 0
    if not name.startswith("<") and "operator " not in name:
        for at, letter in enumerate(name):
            depth += (letter in "<({") - (letter in ">)}")
            if letter == " " and depth == 0:
                begin = at + 1
    return name[begin:]


@functools.cache
def said(name: str, machine: str, *arguments: str) -> str:
    """What a program of binutils prints; it is asked once."""
    prefix = "aarch64-linux-gnu-" if machine == "aarch64" else ""
    command = [f"/usr/bin/{prefix}{name}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=WAIT_S).stdout


class File:
    """An ELF file: which function and section an address of it is in."""

    def __init__(self, path: Path, machine: str) -> None:
        self.path = path
        files = [str(path)]
        notes = said("readelf", machine, "-nW", str(path))
        if match := re.search(r"Build ID: (\w\w)(\w+)", notes):
            files.append(str(DEBUG / match[1] / f"{match[2]}.debug"))
        found: dict[tuple[int, int], set[str]] = {}
        self.has_table = bool(said("nm", machine, "--defined-only", str(path)))
        for file in files:
            for table in ((), ("-D",)):
                for line in said("nm", machine, "-CS", "--defined-only", *table, file).splitlines():
                    if match := SYMBOL.fullmatch(line):
                        start = int(match[1], 16)
                        place = (start, start + int(match[2] or "0", 16))
                        found.setdefault(place, set()).add(normalised(match[3]))
        self.places = sorted(found)
        self.names = [found[place] for place in self.places]
        self.sections = [
            (int(at, 16), int(at, 16) + int(size, 16), name)
            for name, at, size, flags in SECTION.findall(said("readelf", machine, "-SW", str(path)))
            if "X" in flags or name == ".dynamic"
        ]
        self.loads = [(int(a, 16), int(b, 16)) for a, b in LOAD.findall(said("readelf", machine, "-lW", str(path)))]

    def section(self, address: int) -> str:
        return next((name for start, end, name in self.sections if start and start <= address < end), "")

    def functions(self, address: int) -> frozenset[str]:
        """Names of all symbols that cover it; where none does, of those before it whose size nobody wrote down."""
        found: set[str] = set()
        if not self.section(address):
            return frozenset()
        at = bisect.bisect_right(self.places, (address, 1 << 64)) - 1
        for i in range(at, max(-1, at - 40), -1):
            start, end = self.places[i]
            if start <= address < end or (start == end == address):
                found |= self.names[i]
        if not found and at >= 0 and self.has_table:
            start, end = self.places[at]
            if start == end and self.section(start) == self.section(address):
                found |= self.names[at]
        return frozenset(found)


@functools.lru_cache(maxsize=32)
def file(path: Path, machine: str, changed_ns: int) -> File:
    """`changed_ns` is when the file was last changed: another file is read anew."""
    return File(path, machine)
