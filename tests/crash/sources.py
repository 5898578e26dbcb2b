# SPDX-License-Identifier: Apache-2.0
"""Reads what a program of the corpus says of itself: how it is built, how it dies, and what its stacks then are.

The head of each file in programs/ (its comment, or its docstring) holds lines of these forms; names of cases between
the word and the colon make a line hold for those cases alone, and a later line beats an earlier one:

    case: NAME = COMPILER FLAGS ; STEP ; STEP     one case; the steps are those of building.py and cores.py
    signal: SIGSEGV                               what kills it
    arguments: WORDS   environment: NAME=VALUE    what it is run with
    stack: boom <- middle <- main <- outermost    the thread that dies, innermost first
    thread 8x: ... <- waiter <- outermost         so many other threads; all others are listed
    others: any                                   ... or there may be more

A line that begins with `<-` goes on with the one before.

Parts of a stack:

    boom             a function of its own, with a frame of its own; a|b where tools may call it either way
    down*200         so many frames of it; down*many for one or more
    (inner)          inlined into the frame that follows
    [reading]        a Python function, shown within whatever frames the interpreter has there
    ...              any number of frames (also none) of functions that this file doesn't mark
    nowhere          a frame outside of every function
    plt              a stub that leads to another module
    trampoline       what the kernel returned to after a signal
    outermost        the start of the thread: the frames below main down to its very first
    lost             what comes now was not saved: nothing, or anything

`// @boom` behind a line says that frames of boom are at that line. Never builds or runs anything.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
SUFFIXES = {".c", ".cpp", ".rs", ".go", ".py"}

LINE = re.compile(r"(?:// )?(case|signal|arguments|environment|stack|thread|others)((?: \w+)*): (.*)")
MARK = re.compile(r"(?://|#) @(.+)$")
PART = re.compile(r"(?P<name>.+?)(?:\*(?P<count>\d+|many))?")


@dataclass(frozen=True)
class Part:
    """One step of a stack. `kind`: function, inlined, python, wild, nowhere, plt, trampoline, outermost, lost."""

    kind: str
    names: tuple[str, ...] = ()
    count: int | None = 1  # None: one or more

    def __str__(self) -> str:
        text = "|".join(self.names) or self.kind
        times = "many" if self.count is None else str(self.count)
        return text if self.count == 1 else f"{text}*{times}"


@dataclass(frozen=True)
class Expect:
    """What the source says about one case."""

    signal: str
    stack: tuple[Part, ...]
    threads: tuple[tuple[int, tuple[Part, ...]], ...]  # how many have this stack
    judge_others: bool
    lines: dict[str, frozenset[tuple[str, int]]]  # function -> (file's name, line)

    @property
    def own(self) -> frozenset[str]:
        """Functions that are this program's own."""
        return frozenset(self.lines)


@dataclass(frozen=True)
class Program:
    """A case: a source, how it is built and run, and what is expected then."""

    name: str
    source: Path
    compiler: str
    flags: tuple[str, ...]
    steps: tuple[tuple[str, ...], ...]
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    expect: Expect

    @property
    def machine(self) -> str:
        return "aarch64" if self.compiler.startswith("aarch64") else "x86_64"

    def step(self, word: str) -> tuple[str, ...] | None:
        """The step of this name, with its arguments."""
        return next((step for step in self.steps if step[0] == word), None)


def parse_stack(text: str) -> tuple[Part, ...]:
    parts = []
    for word in text.split(" <- "):
        if word == "...":
            parts.append(Part("wild"))
        elif word in ("nowhere", "plt", "trampoline", "outermost", "lost"):
            parts.append(Part(word))
        elif word[0] + word[-1] in ("()", "[]"):
            parts.append(Part("inlined" if word[0] == "(" else "python", (word[1:-1],)))
        else:
            match = PART.fullmatch(word)
            assert match, f"not a part of a stack: {word!r}"
            count = match["count"] or "1"
            parts.append(Part("function", tuple(match["name"].split("|")), None if count == "many" else int(count)))
    return tuple(parts)


def head(source: Path) -> list[str]:
    """The lines of the comment that a file begins with."""
    text = source.read_text()
    if source.suffix == ".py":
        return text.split('"""')[1].splitlines()
    return list(itertools.takewhile(lambda line: line.startswith("//"), text.splitlines()))


def directives(source: Path) -> list[tuple[str, str, str]]:
    """(word, the cases it holds for, its value); a line that begins with an arrow goes on with the one before."""
    found: list[tuple[str, str, str]] = []
    for line in head(source):
        if match := LINE.fullmatch(line.strip()):
            found.append((match[1], match[2], match[3]))
        elif (more := line.removeprefix("//").strip()).startswith("<- "):
            word, who, value = found[-1]
            found[-1] = (word, who, f"{value} {more}")
    return found


def parts(source: Path) -> list[Path]:
    """A source and that of its library, if it has one."""
    return [source, *sorted(source.parent.glob(f"{source.stem}_part.*"))]


def marks(source: Path) -> dict[str, frozenset[tuple[str, int]]]:
    """Where the frames of each function are, of the source and of its library, if it has one."""
    found: dict[str, set[tuple[str, int]]] = {}
    for file in parts(source):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if match := MARK.search(line):
                found.setdefault(match[1], set()).add((file.name, number))
    return {name: frozenset(places) for name, places in found.items()}


def read(source: Path) -> list[Program]:
    """The cases of one file."""
    said = directives(source)
    builds = [value.partition(" = ") for word, _, value in said if word == "case"]
    names = [name.strip() for name, _, _ in builds]
    places = marks(source)

    def value(word: str, case: str) -> str:
        hits = [text for at, who, text in said if at == word and (not who or case in who.split())]
        return hits[-1] if hits else ""

    for _, who, _ in said:
        strangers = [name for name in who.split() if name not in names and not re.fullmatch(r"\d+x", name)]
        assert not strangers, f"{source.name}: no such case: {strangers}"
    found = []
    for name, (_, _, build) in zip(names, builds, strict=True):
        command, *steps = (shlex.split(step) for step in build.split(";"))
        threads = []
        for word, who, text in said:
            words = who.split()
            if word == "thread" and (len(words) == 1 or name in words):
                threads.append((int(words[-1].rstrip("x")), parse_stack(text)))
        expect = Expect(
            value("signal", name), parse_stack(value("stack", name)), tuple(threads),
            value("others", name) != "any", places,
        )  # fmt: skip
        found.append(
            Program(
                name,
                source,
                command[0],
                tuple(command[1:]),
                tuple(tuple(step) for step in steps),
                tuple(value("arguments", name).split()),
                tuple(value("environment", name).split()),
                expect,
            )  # fmt: skip
        )
    return found


def programs() -> list[Program]:
    """All cases, in the order of their files."""
    files = sorted(file for file in PROGRAMS.iterdir() if file.suffix in SUFFIXES and not file.stem.endswith("_part"))
    found = [program for file in files for program in read(file)]
    names = [program.name for program in found]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    return found
