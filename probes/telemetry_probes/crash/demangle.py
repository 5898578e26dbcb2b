# SPDX-License-Identifier: Apache-2.0
"""A symbol's name as the source has it: without versions, without marks of the compiler, C++ and Rust made readable.

What a name looks like never depends on which debug files are installed. Nothing here looks up a symbol.
"""

from __future__ import annotations

SECONDS_MAX = 4.0
"""Of the clock, also where others have the processor; a hostile name is ended sooner, by what it may take of one."""
NUMBERED_PARTS = frozenset(("part", "isra", "constprop", "lto_priv", "llvm", "clone", "cold"))
BARE_PARTS = frozenset(("cold", "localalias", "part", "isra", "constprop", "lto_priv"))
DIGITS = frozenset("0123456789")


def undecorated(name: str) -> str:
    """Without `@@VERSION` and without what GCC and LLVM append to copies and parts of a function.

    `f.cold`, `f.part.0`, `f.isra.0`, `f.constprop.0.isra.0`, `f.llvm.123` and `f.0` are all `f`. Go's names, whose
    dots are their own (`main.main.func1.2`), stay.
    """
    if not name.startswith("_R"):
        name = name.partition("@")[0] or name
    while True:
        head, dot, tail = name.rpartition(".")
        if not dot or not head:
            return name
        if tail in BARE_PARTS:
            name = head
            continue
        if not tail or not DIGITS.issuperset(tail):
            return name
        rest, dot, word = head.rpartition(".")
        if dot and rest and word in NUMBERED_PARTS:
            name = rest
        elif "." not in head and "/" not in head:
            name = head
        else:
            return name


class Demangler:
    """Readable names, each worked out once."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def readable(self, names: list[str], seconds: float = SECONDS_MAX) -> list[str]:
        """The names as the source has them, in order; one that can't be read stays as it is. Never raises."""
        known = self.known
        foreign: dict[str, list[str]] = {}
        for name in names:
            if name in known:
                continue
            plain = undecorated(name)
            known[name] = plain
            if not plain.startswith(("_R", "_Z", "_GLOBAL__")):
                continue
            from telemetry_probes.crash import rustnames

            if plain.startswith("_R") or (plain.startswith("_ZN") and rustnames.is_legacy(plain)):
                known[name] = rustnames.readable(plain) or plain
            else:
                foreign.setdefault(plain, []).append(name)
        if foreign:
            # Loading the C++ library takes longer than all other names together: only where such a name was met.
            from telemetry_probes.crash import cxxnames

            for plain, text in cxxnames.readable(list(foreign), seconds).items():
                for name in foreign[plain]:
                    known[name] = text
        return [known[name] for name in names]
