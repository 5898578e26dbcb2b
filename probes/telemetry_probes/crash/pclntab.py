# SPDX-License-Identifier: Apache-2.0
"""Where a program has Go's table of functions (`runtime.pclntab`), and where the code begins that it tells of.

Go's linker gives it a section of its own; another linker may have joined that to others, and in position independent
code the dynamic linker writes the address of the code. Pure; everything in an image may be a lie. Never in here: what
the table says (`gotable`).
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.elf import Image

MAGIC_116, MAGIC_118, MAGIC_120 = 0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1
"""Each is of the version of Go that brought it."""
HEADER_BYTES = 72
TEXT_START_AT = 24
"""In the header, since 1.18."""
JOINED_BYTES_MAX = 256 << 20

_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")
_JOINED = ".data.rel.ro"
_OF_GO = ".go.buildinfo"
_ALIGNMENT = 32
_MODULE_DATA = ".go.module"
_WORD_MIN_PC, _WORD_TEXT = 20, 22  # of runtime.moduledata
_RELOCATIONS = ".rela.dyn"
_RELOCATION = Struct("<3Q")


def is_go(image: Image) -> bool:
    """Quick, for every other program: does this one have functions of Go?"""
    sections = image.sections
    return _OF_GO in sections or any(name in sections for name in _SECTIONS)


def find(image: Image) -> tuple[memoryview, int] | None:
    """The table and its address in the file; what follows it may be there, too. None where there is none."""
    for name in _SECTIONS:
        header, content = image.header(name), image.section(name)
        if header is not None and content is not None and len(content) > HEADER_BYTES:
            return content, header.address
    header, content = image.header(_JOINED), image.section(_JOINED, JOINED_BYTES_MAX)
    if _OF_GO not in image.sections or header is None or content is None:
        return None
    raw = bytes(content)
    for magic in (MAGIC_118, MAGIC_120, MAGIC_116):
        for quantum in (1, 4):
            start = magic.to_bytes(4, "little") + bytes((0, 0, quantum, 8))
            at = raw.find(start)
            if at >= 0 and (header.address + at) % _ALIGNMENT == 0:
                return content[at:], header.address + at
    return None


def text_start(image: Image, address: int) -> int:
    """Where the code begins of the table at an address, which doesn't say so itself: as its relocation has it, or
    runtime.moduledata (since 1.26); else 0."""
    content = image.section(_MODULE_DATA)
    if content is not None and len(content) >= 8 * (_WORD_TEXT + 1):
        words: tuple[int, ...] = Struct(f"<{_WORD_TEXT + 1}Q").unpack_from(content)
        if words[0] == address and words[_WORD_TEXT] == words[_WORD_MIN_PC]:
            return words[_WORD_TEXT]
    relocations = image.section(_RELOCATIONS)
    raw = bytes(relocations) if relocations is not None else b""
    place = (address + TEXT_START_AT).to_bytes(8, "little")
    at = raw.find(place)
    while at >= 0 and at % _RELOCATION.size:
        at = raw.find(place, at + 1)
    if not 0 <= at <= len(raw) - _RELOCATION.size:
        return 0
    _offset, _info, addend = _RELOCATION.unpack_from(raw, at)
    return int(addend)
