# SPDX-License-Identifier: Apache-2.0
"""Mapped files of a core without NT_FILE (qemu's): from the program headers in memory and the dynamic linker's list.

The list is the process's own memory and may be a cycle or nonsense; every step is counted. struct r_debug and struct
link_map are in <link.h>. Never in here: opening a file.
"""

from __future__ import annotations

from telemetry_probes.crash import elf
from telemetry_probes.crash.model import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.loads import Loads
    from telemetry_probes.crash.model import Memory

AT_PHDR, AT_BASE, AT_ENTRY, AT_EXECFN = 3, 7, 9, 31
DT_DEBUG = 21
DYNAMIC_MAX = 256
LINKS_MAX = 4096
NAME_MAX = 4096
_R_MAP = 8
_L_ADDR, _L_NAME, _L_NEXT = 0, 8, 24


def mappings(
    memory: Memory, loads: Loads, auxv: dict[int, int], open_image: Callable[[str], elf.Image | None]
) -> tuple[Mapping, ...]:
    """A mapping for each loaded segment of each module that memory tells of, by address.

    Where memory has no ELF headers, those of the file that `open_image` finds are taken; whether that is the right file
    is for others to find out.
    """
    found: dict[int, list[Mapping]] = {}
    path = _string(memory, auxv.get(AT_EXECFN, 0))
    # The program headers follow the ELF header in every program that the kernel starts by AT_PHDR
    start = auxv.get(AT_PHDR, 0) - elf.HEADER_SIZE
    mapped = elf.in_memory(memory, start)
    image: elf.Image | None = open_image(path) if mapped is None else mapped[0]
    if image is None or start <= 0:
        return ()
    bias = auxv.get(AT_ENTRY, 0) - image.entry
    found[start] = _segments(image, bias, path)
    base, interpreter = auxv.get(AT_BASE, 0), _interpreter(image)
    if base and interpreter:
        found[base] = _mapped_at(memory, loads, base, interpreter, open_image)
    link = memory.word(_debug(memory, image, bias) + _R_MAP)
    for _step in range(LINKS_MAX):
        if not link:
            break
        start = memory.word(link + _L_ADDR) or 0
        path = _string(memory, memory.word(link + _L_NAME) or 0)
        if start and start not in found and path.startswith("/"):  # the program's own entry has no name
            found[start] = _mapped_at(memory, loads, start, path, open_image)
        link = memory.word(link + _L_NEXT)
    return tuple(sorted((part for parts in found.values() for part in parts), key=lambda part: part.start))


def _mapped_at(
    memory: Memory, loads: Loads, start: int, path: str, open_image: Callable[[str], elf.Image | None]
) -> list[Mapping]:
    mapped = elf.in_memory(memory, start, path)
    if mapped is not None:
        return _segments(*mapped, path)
    image, load = open_image(path), loads.at(start)
    if image is not None:
        return _segments(image, start, path)  # what is linked begins at address 0 of the file
    return [Mapping(start, load.end, 0, path)] if load is not None else []


def _interpreter(image: elf.Image) -> str:
    segment = image.segment(elf.PT_INTERP)
    raw = image.up_to(segment.vaddr, min(segment.memory_size, NAME_MAX)) if segment is not None else None
    return "" if raw is None else bytes(raw).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _segments(image: elf.Image, bias: int, path: str) -> list[Mapping]:
    found = []
    for segment in image.segments:
        if segment.type == elf.PT_LOAD:
            start = (segment.vaddr + bias) & -elf.PAGE
            found.append(Mapping(start, segment.vaddr + bias + segment.memory_size, segment.offset & -elf.PAGE, path))
    return found


def _debug(memory: Memory, image: elf.Image, bias: int) -> int:
    """The address of struct r_debug, or 0 (nothing is mapped there)."""
    dynamic = image.segment(elf.PT_DYNAMIC)
    if dynamic is not None:
        for at in range(dynamic.vaddr + bias, dynamic.vaddr + bias + DYNAMIC_MAX * 16, 16):
            tag = memory.word(at)
            if tag == DT_DEBUG:
                return memory.word(at + 8) or 0
            if not tag:  # DT_NULL, or not in the core
                break
    return 0


def _string(memory: Memory, address: int) -> str:
    """A string in memory, empty where there is none; a page at a time, since the next one may be missing."""
    content = b""
    while address and len(content) < NAME_MAX and 0 not in content:
        # what was kept may end anywhere, so at its end a byte at a time
        part = memory.read(address, elf.PAGE - address % elf.PAGE) or memory.read(address, 1)
        if part is None:
            return ""
        content += part
        address += len(part)
    return content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
