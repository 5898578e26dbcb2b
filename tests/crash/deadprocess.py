# SPDX-License-Identifier: Apache-2.0
"""Which function an address of a dead process is in. Knows more than an unwinder can: the programs as they were before
they were stripped, deleted or replaced. Shares no code with what it judges.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import binutils
from cores import PT_LOAD, Segments
from corpus import Case

NT_FILE, NT_AUXV = 0x46494C45, 6
AT_PHDR, AT_BASE, AT_SYSINFO_EHDR = 3, 7, 33
DT_DEBUG = 21
VDSO = "vdso.so"
TRAMPOLINES = (
    bytes.fromhex("48c7c00f0000000f05"),  # mov $15,%rax; syscall: glibc, Go
    bytes.fromhex("b80f0000000f05"),  # mov $15,%eax; syscall
    bytes.fromhex("681180d2010000d4"),  # mov x8,#139; svc #0
)


@dataclass(frozen=True)
class Label:
    """All that is known of an address: names are normalised, and none where no symbol covers it."""

    names: frozenset[str] = frozenset()
    path: str = ""  # of the file; empty where none was mapped
    own: bool = False  # the program itself, or a library that it brought
    section: str = ""


class DeadProcess:
    """One core and the files that were mapped."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.machine = case.program.machine
        with case.core_path.open("rb") as file:
            self.core = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # mostly holes
        self.segments = Segments(case.core_path)
        self.notes = list(self._notes())
        self._labels: dict[int, Label] = {}
        # (start, end, what to add to an address to have that of the file, path)
        self.mapped = [*(self._mapped_files() or self._linked_files()), *self._vdso()]

    def _notes(self) -> list[tuple[int, bytes]]:
        found, at, notes = [], 0, self.segments.notes
        while at + 12 <= len(notes):
            name, size, kind = struct.unpack_from("<III", notes, at)
            at += 12 + (name + 3) // 4 * 4
            found.append((kind, notes[at : at + size]))
            at += (size + 3) // 4 * 4
        return found

    @property
    def auxv(self) -> dict[int, int]:
        words = next((note for kind, note in self.notes if kind == NT_AUXV), b"")
        return dict(struct.iter_unpack("<QQ", words[: len(words) // 16 * 16]))

    def read(self, address: int, size: int) -> bytes:
        for kind, _, offset, start, _, filled, _, _ in self.segments.all:
            if kind == PT_LOAD and start <= address and address + size <= start + filled:
                return self.core[offset + address - start : offset + address - start + size]
        return b""

    def word(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8), "little")

    def original(self, path: str) -> Path:
        """The file that was mapped under this name."""
        folder = self.case.core_path.parent
        path = path.removesuffix(" (deleted)")
        if path in (str(folder / "program"), str(self.case.executable)):
            return folder / "full"
        if path == VDSO:
            return folder / VDSO
        if Path(path).name == "part.so":
            return folder / "part.so.full"
        return self.case.sysroot / path.lstrip("/")

    def file(self, path: str) -> binutils.File | None:
        original = self.original(path)
        if not original.exists() or not original.is_file():
            return None
        return binutils.file(original.resolve(), self.machine, original.stat().st_mtime_ns)

    def _mapped_files(self) -> list[tuple[int, int, int, str]]:
        note = next((note for kind, note in self.notes if kind == NT_FILE), None)
        if note is None:
            return []
        count, page = struct.unpack_from("<QQ", note)
        names = note[16 + 24 * count :].split(b"\0")
        found, bias = [], dict[str, int]()
        for i in range(count):
            start, end, _ = struct.unpack_from("<QQQ", note, 16 + 24 * i)
            path = names[i].decode()
            if path not in bias:  # the first mapping of a file is that of its first segment
                file = self.file(path)
                bias[path] = start - (file.loads[0][1] & -page if file and file.loads else 0)
            found.append((start, end, -bias[path], path))
        return found

    def _linked_files(self) -> list[tuple[int, int, int, str]]:
        """Where the kernel's list of files is missing (qemu): what the dynamic linker has."""
        executable = str(self.case.core_path.with_name("program"))
        header = self.auxv[AT_PHDR] - 64
        full = self.file(executable)
        assert full
        bias = header - full.loads[0][1]
        starts = {header: (bias, executable)}
        if self.auxv.get(AT_BASE):
            starts[self.auxv[AT_BASE]] = (self.auxv[AT_BASE], "/lib/ld-linux-aarch64.so.1")
        dynamic = next((start for start, _, name in full.sections if name == ".dynamic"), None)
        for at in range(64) if dynamic is not None else ():
            if self.word(bias + (dynamic or 0) + 16 * at) == DT_DEBUG:
                link = self.word(self.word(bias + (dynamic or 0) + 16 * at + 8) + 8)
                while link:
                    base, name = self.word(link), self._string(self.word(link + 8))
                    if name.startswith("/") and base not in starts:
                        starts[base] = (base, name)
                    link = self.word(link + 24)
                break
        found = []
        for start, (base, path) in starts.items():
            file = self.file(path)
            ends = [end for _, end, name in file.sections if name] if file else []
            found.append((start, base + max(ends, default=0), -base, path))
        return found

    def _vdso(self) -> list[tuple[int, int, int, str]]:
        """The kernel's own library has no file: what the core holds of it becomes one."""
        start = self.auxv.get(AT_SYSINFO_EHDR, 0)
        for kind, _, _, at, _, size, _, _ in self.segments.all:
            if kind == PT_LOAD and at == start and size:
                self.case.core_path.with_name(VDSO).write_bytes(self.read(at, size))
                return [(at, at + size, -at, VDSO)]
        return []

    def _string(self, address: int) -> str:
        data = b""
        while (one := self.read(address + len(data), 1)) not in (b"", b"\0"):
            data += one
        return data.decode(errors="replace")

    def label(self, address: int) -> Label:
        if address not in self._labels:
            self._labels[address] = self._label(address)
        return self._labels[address]

    def _label(self, address: int) -> Label:
        for start, end, add, path in self.mapped:
            if start <= address < end:
                file = self.file(path)
                if file is None:
                    return Label(path=path)
                own = file.path.name in ("full", "part.so.full") and file.path.parent == self.case.core_path.parent
                return Label(file.functions(address + add), path, own, file.section(address + add))
        return Label()

    def is_trampoline(self, address: int) -> bool:
        """Whether a signal handler returns to here."""
        longest = max(map(len, TRAMPOLINES))
        data = self.read(address, longest) or self._from_file(address, longest)
        return data.startswith(TRAMPOLINES)

    def _from_file(self, address: int, size: int) -> bytes:
        for start, end, add, path in self.mapped:
            file = self.file(path) if start <= address < end else None
            if file:
                for offset, vaddr in reversed(file.loads):
                    if vaddr <= address + add:
                        with file.path.open("rb") as opened:
                            opened.seek(offset + address + add - vaddr)
                            return opened.read(size)
        return b""
