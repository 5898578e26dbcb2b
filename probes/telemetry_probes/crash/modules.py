# SPDX-License-Identifier: Apache-2.0
"""Which programs and libraries lay where, and the file on disk of each that is still the one that was mapped.

A file is used only where `identity` finds that it is the one that was mapped. A module is looked at when somebody asks
for it. Never in here: symbols, unwinding.

Files are mapped, not copied; a file that is cut while it is looked at ends the program by SIGBUS.
"""

from __future__ import annotations

import posix
from bisect import bisect_right
from mmap import MAP_PRIVATE, PROT_READ, mmap

from telemetry_probes.crash import elf, identity, linkmap, sysroot
from telemetry_probes.crash.model import Mapping, Module
from telemetry_probes.crash.windows import Layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry_probes.crash.model import Memory
    from telemetry_probes.crash.stream import Core

MODULES_MAX = 4096
VDSO_BYTES_MAX = 64 << 10
AT_SYSINFO_EHDR = 33
VDSO = "[vdso]"
DELETED = " (deleted)"


class Modules:
    """The modules of a process in the order of their addresses, each made when it is first asked for."""

    __slots__ = ("_core", "_ends", "_groups", "_made", "_open_file", "_owners", "_starts")

    def __init__(self, groups: list[list[Mapping]], core: Core, open_file: sysroot.OpenFile) -> None:
        """`groups` are the mappings of a module each, of which none overlap."""
        self._groups = groups
        self._core = core
        self._open_file = open_file
        self._made: list[Module | None | bool] = [False] * len(groups)  # False: nobody asked yet; None: no module
        ranges = sorted((mapping.start, mapping.end, at) for at, group in enumerate(groups) for mapping in group)
        self._starts = [start for start, _end, _at in ranges]
        self._ends = [end for _start, end, _at in ranges]
        self._owners = [at for _start, _end, at in ranges]

    def at(self, address: int) -> Module | None:
        """The module that has `address` in one of its mappings, or between them: text can be moved to huge pages."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        owner = self._owners[index]
        if address >= self._ends[index] and address >= self._groups[owner][-1].end:
            return None
        return self._module(owner)

    @property
    def all(self) -> tuple[Module, ...]:
        """Every module. Each file is looked at for this, where `at` and `named` look at few."""
        return self.named(lambda _path: True)

    def named(self, test: Callable[[str], bool]) -> tuple[Module, ...]:
        """The modules whose path (as in `Module.path`) `test` says yes to, by address."""
        chosen = [at for at, group in enumerate(self._groups) if test(_plain(group[0].path))]
        return tuple(module for at in chosen if (module := self._module(at)) is not None)

    def _module(self, at: int) -> Module | None:
        made = self._made[at]
        if isinstance(made, bool):
            made = self._made[at] = _make(self._groups[at], self._core, self._open_file)
        return made


class _FileBacked:
    """What the files of modules say about memory that can't have been written to; `model.Memory`."""

    __slots__ = ("_modules",)

    def __init__(self, modules: Modules) -> None:
        self._modules = modules

    def word(self, address: int) -> int | None:
        content = self.read(address, 8)
        return None if content is None else int.from_bytes(content, "little")

    def read(self, address: int, size: int) -> bytes | None:
        module = self._modules.at(address)
        if module is None or module.image is None or module.why_unread:
            return None
        content = module.image.constant(address - module.bias, size)
        return None if content is None else bytes(content)


def find(core: Core, root: str = "/", open_file: sysroot.OpenFile | None = None) -> Modules:
    """The modules of `core`. Files are looked for below `root`, or are what `open_file` gives for a path.

    `open_file` is asked for absolute paths without ` (deleted)` and answers with a file descriptor, which is closed
    here, or with why there is none (`Module.why_unread`): a rule of privacy, for one.
    """
    open_file = open_file or sysroot.opener(root)
    mappings: Sequence[Mapping] = core.notes.mappings
    if not mappings:
        mappings = linkmap.mappings(core.memory, core.loads, core.notes.auxv, lambda path: _opened(open_file, path)[0])
    groups = _grouped(mappings)
    vdso = core.notes.auxv.get(AT_SYSINFO_EHDR, 0)
    load = core.loads.at(vdso)
    if vdso and load is not None and not any(part.start <= vdso < part.end for group in groups for part in group):
        groups.append([Mapping(vdso, min(load.end, vdso + VDSO_BYTES_MAX), 0, VDSO)])
    groups.sort(key=lambda group: group[0].start)
    return Modules(groups[:MODULES_MAX], core, open_file)


def memory(core: Core, modules: Modules) -> Memory:
    """The core's own bytes, and where it has none, those of read-only segments of files with the right build-id."""
    return Layers(core.memory, _FileBacked(modules))


def _grouped(mappings: Sequence[Mapping]) -> list[list[Mapping]]:
    """Mappings by module: of one path, each beginning anew with the start of the file. What overlaps is left out."""
    groups: list[list[Mapping]] = []
    latest: dict[str, list[Mapping]] = {}
    end = 0
    for mapping in sorted(mappings, key=lambda mapping: mapping.start):
        if mapping.start < end:
            continue
        end = mapping.end
        group = latest.get(mapping.path)
        # An offset that doesn't rise is the same file mapped once more; the parts of a segment may share a page
        if group is None or mapping.offset == 0 or mapping.offset < group[-1].offset:
            group = latest[mapping.path] = []
            groups.append(group)
        group.append(mapping)
    return groups


def _plain(path: str) -> str:
    return path[: -len(DELETED)] if path.endswith(DELETED) else path


def _make(group: list[Mapping], core: Core, open_file: sysroot.OpenFile) -> Module | None:
    """The module of a group of mappings; None where what was mapped is no ELF file."""
    path = _plain(group[0].path)
    start = group[0].start
    memory = core.memory
    if path == VDSO:
        return _vdso(group[0], memory)
    mapped = elf.in_memory(memory, start, path)
    if mapped is None:
        magic = memory.read(start, 4)
        if not _executable(group, core) if magic is None else magic != elf.MAGIC:
            return None
    image, why = _opened(open_file, path)
    bias = mapped[1] if mapped is not None else start - group[0].offset
    if image is not None and mapped is None:
        bias = found if (found := identity.bias_of(image, start, group[0].offset)) is not None else bias
    if not why:
        deleted = group[0].path.endswith(DELETED)
        why = identity.difference(image, mapped[0] if mapped is not None else None, bias, memory, deleted)
    if why:
        image = None if mapped is None else mapped[0]
    build_id = mapped[0].build_id if mapped is not None else ""
    if image is not None and not build_id:
        build_id = image.build_id
    ranges = tuple((mapping.start, mapping.end) for mapping in group)
    return Module(path, start, group[-1].end, bias, ranges, build_id, image, why)


def _executable(group: list[Mapping], core: Core) -> bool:
    loads = (core.loads.at(mapping.start) for mapping in group)
    return any(load is None or load.flags & elf.PF_X for load in loads)


def _vdso(mapping: Mapping, memory: Memory) -> Module | None:
    size = mapping.end - mapping.start
    content = memory.read(mapping.start, size)
    while content is None and size > elf.PAGE:
        size -= elf.PAGE
        content = memory.read(mapping.start, size)
    image = elf.read(content, VDSO) if content is not None else None
    if image is None:
        return Module(VDSO, mapping.start, mapping.end, mapping.start, ((mapping.start, mapping.end),), "", None,
                      "the core doesn't hold it")  # fmt: skip
    load = image.segment(elf.PT_LOAD)
    bias = mapping.start - (load.vaddr - load.offset if load is not None else 0)
    ranges = ((mapping.start, mapping.end),)
    return Module(VDSO, mapping.start, mapping.end, bias, ranges, image.build_id, image, "")


def _opened(open_file: sysroot.OpenFile, path: str) -> tuple[elf.Image | None, str]:
    """The image of a file, and why there is none. An image may be of any file that lies there now."""
    if not path.startswith("/"):
        return None, "it has no path"
    fd = open_file(path)
    if isinstance(fd, str):
        return None, fd
    try:
        return elf.read(mmap(fd, 0, MAP_PRIVATE, PROT_READ), path), ""
    except (OSError, ValueError, OverflowError):
        return None, ""  # empty, or of a file system that can't map: no ELF file
    finally:
        posix.close(fd)
