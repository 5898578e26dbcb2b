# SPDX-License-Identifier: Apache-2.0
"""Is a file on disk the one that was mapped? Only then may a name or an unwind rule come out of it.

The build-id decides. Without one the first page has to be the same byte for byte. A core that has no first pages
(qemu's, or coredump_filter without bit 4) may still have what the dynamic linker read or the file's own constants:
sizes and addresses there change with the program. A file that was deleted is only ever known by its build-id.
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash import elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Memory

NOT_IN_CORE = "the core doesn't hold what would tell whether the file is still the same"
ANOTHER = "the file isn't the one that was mapped"
PT_GNU_RELRO = 0x6474E552
DT_DEBUG = 21
ENTRIES_MIN = 8
"""Of a dynamic section that is worth comparing; a plain program's has about 25."""
WORDS_MIN = 64
"""Of a constant segment that is worth comparing, and not zero."""
BYTES_MAX = 1 << 16

_pairs = Struct("<QQ").iter_unpack


def difference(
    image: elf.Image | None, mapped: elf.MemoryImage | None, bias: int, memory: Memory, deleted: bool
) -> str:
    """Why `image` isn't what was mapped at `bias`; empty where it is. `mapped` is None without a first page."""
    if image is None:
        return "not an ELF file of this kind"
    if mapped is not None and mapped.build_id:
        if image.build_id == mapped.build_id:
            return ""
        return "the file has another build-id" if image.build_id else "the file has no build-id, what was mapped had"
    if deleted:
        return "the file was deleted, and without a build-id nobody can say whether this is the same"
    if mapped is not None:
        same = len(mapped.data) == elf.PAGE and image.data[: elf.PAGE] == mapped.data
        return "" if same else ANOTHER
    return _layout(image, bias, memory)


def bias_of(image: elf.Image, start: int, offset: int) -> int | None:
    """The bias of an image of which the part at `offset` was mapped to `start`; None if it has no such part."""
    for segment in image.segments:
        if segment.type == elf.PT_LOAD and segment.offset & -elf.PAGE == offset:
            return start - (segment.vaddr & -elf.PAGE)
    return None


def _layout(image: elf.Image, bias: int, memory: Memory) -> str:
    """As `difference`, from the dynamic section, or in a static program from the constants that were relocated."""
    dynamic = image.segment(elf.PT_DYNAMIC)
    segment = dynamic or image.segment(PT_GNU_RELRO)
    ours = image.up_to(segment.vaddr, min(segment.file_size, BYTES_MAX) & -16) if segment is not None else None
    theirs = memory.read(segment.vaddr + bias, len(ours)) if segment is not None and ours is not None else None
    if ours is None or theirs is None:
        return NOT_IN_CORE
    return _dynamic(ours, theirs, bias) if dynamic is not None else _constants(ours, theirs)


def _dynamic(ours: memoryview, theirs: bytes, bias: int) -> str:
    """The dynamic linker adds the bias to some of the values (glibc) or to none (musl), and fills in DT_DEBUG."""
    pairs = zip(_pairs(ours[: len(ours) & -16]), _pairs(theirs[: len(theirs) & -16]), strict=False)
    for count, ((tag, value), (their_tag, their_value)) in enumerate(pairs):
        if tag != their_tag:
            return ANOTHER
        if tag == 0:
            return "" if count >= ENTRIES_MIN else NOT_IN_CORE
        if tag != DT_DEBUG and their_value != value and their_value != value + bias:
            return ANOTHER
    return NOT_IN_CORE


def _constants(ours: memoryview, theirs: bytes) -> str:
    """Few of them are written to as a static program starts: addresses of functions chosen by the processor's kind."""
    count = different = 0
    for mine, other in zip(_pairs(ours[: len(ours) & -16]), _pairs(theirs[: len(theirs) & -16]), strict=False):
        if any(mine):
            count += 1
            different += mine != other
    if 2 * count < WORDS_MIN:
        return NOT_IN_CORE
    return "" if different * 10 <= count else ANOTHER
