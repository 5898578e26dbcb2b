# SPDX-License-Identifier: Apache-2.0
"""Rust's mangled names made readable: the older form (`_ZN…17h<hash>E`) here, v0 (`_R…`) in `rustv0`.

Pure: text in, text out. A name that isn't such a name at all, or over a limit, comes back as None. Hashes aren't shown,
as in c++filt.
"""

from __future__ import annotations

from telemetry_probes.crash import rustv0

HASH_CHARS = 16
ESCAPES = {
    "SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ",",
}  # fmt: skip
HEX = frozenset("0123456789abcdef")
DIGITS = frozenset("0123456789")


def readable(name: str) -> str | None:
    """The name as Rust's source has it, or None where it isn't a mangled name of Rust."""
    if name.startswith("_ZN"):
        return _legacy(name)
    return rustv0.readable(name) if name.startswith("_R") else None


def is_legacy(name: str) -> bool:
    """Is this `_ZN` name one of Rust's, not of C++?"""
    start = len(name) - HASH_CHARS - 1
    return name.endswith("E") and name[start - 3 : start] == "17h" and HEX.issuperset(name[start:-1])


def _legacy(name: str) -> str | None:
    if not is_legacy(name):
        return None
    parts, at, end = [], 3, len(name) - 1
    while at < end:
        start = at
        while name[at] in DIGITS:
            at += 1
        if not 0 < at - start < 6:
            return None
        size = int(name[start:at])
        parts.append(name[at : at + size])
        at += size
    if at != end or len(parts) < 2:
        return None
    return "::".join([_unescaped(part) for part in parts[:-1]])


def _unescaped(part: str) -> str:
    """`$LT$` and the like, and `..`, which stands for `::`."""
    if part.startswith("_$"):
        part = part[1:]
    out = []
    pieces = part.split("$")
    # Even pieces are text, odd ones stand between two `$`; one that isn't known is left as it was.
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            out.append(piece.replace("..", "::"))
        elif piece in ESCAPES:
            out.append(ESCAPES[piece])
        elif piece[:1] == "u" and 1 < len(piece) < 7 and HEX.issuperset(piece[1:]):
            number = int(piece[1:], 16)
            out.append(chr(number) if 0x20 <= number < 0x7F or 0xA0 <= number < 0xD800 else f"${piece}$")
        else:
            out.append(f"${piece}$" if place < len(pieces) - 1 else f"${piece}")
    return "".join(out)
