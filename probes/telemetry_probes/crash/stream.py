# SPDX-License-Identifier: Apache-2.0
"""A core, read once from a file descriptor: headers, notes, and of memory what a backtrace needs.

From a pipe it is read front to back and what isn't wanted is dropped as it passes, so that neither its size nor a disk
matters; reading ends behind the last wanted byte. A core in a regular file is read where somebody asks, later. In both
cases the answer is a `Core`. Never in here: what the bytes mean (`notes`, `plan`, `loads` know).
"""

from __future__ import annotations

import posix
from struct import Struct

from telemetry_probes.crash import elf, notes
from telemetry_probes.crash.loads import ROW_SIZE, Loads, first_load_offset, live_rows, note_ranges
from telemetry_probes.crash.model import MACHINES
from telemetry_probes.crash.plan import Limits, add_stack, choose, interrupted_stacks
from telemetry_probes.crash.reader import CUT, FAILED, LATE, Reader
from telemetry_probes.crash.windows import Pages, Windows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Machine, Memory, Notes
    from telemetry_probes.crash.plan import Plan

__all__ = ["Core", "Limits", "read"]

NAME_MAX = 16
"""Of a note's owner: CORE and LINUX are wanted."""

NO_CORE, OTHER_ELF, EMPTY = "not a core file", "an ELF file, but not a core", "the core is empty"
PACKED = "packed, and has to come unpacked"
_PACKERS = ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ", "xz"), (b"\x04\x22\x4d\x18", "lz4"), (b"\x1f\x8b", "gzip"))
"""How such files begin: systemd-coredump keeps cores so."""

_NOTE = Struct("<III")
_HEADER = Struct("<16sHHIQQQIHHHHHH")
_ONCE = frozenset((notes.NT_AUXV, notes.NT_FILE, notes.NT_PRPSINFO, notes.NT_SIGINFO))
_NAMES = {3: "x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "s390", 40: "ARM", 243: "RISC-V", 258: "LoongArch"}


class Core:
    """What is known of a dead process.

    `machine` is None where its stacks can't be unwound, and `unread` then says why (otherwise it's empty). `truncated`:
    the core ended early, as far as it was read. `left_out` says in words what a limit kept out. `loads` is its map of
    memory. `memory` has the core's own bytes; `modules.memory` adds those of files.
    """

    __slots__ = ("left_out", "loads", "machine", "memory", "notes", "truncated", "unread")

    def __init__(
        self, machine: Machine | None, notes: Notes, loads: Loads, memory: Memory, *, truncated: bool = False,
        left_out: tuple[str, ...] = (), unread: str = "",
    ) -> None:  # fmt: skip
        self.machine = machine
        self.notes = notes
        self.loads = loads
        self.memory = memory
        self.truncated = truncated
        self.left_out = left_out
        self.unread = unread

    @property
    def is_none(self) -> bool:
        """What was given is no core at all, or not a byte of it could be had."""
        return self.unread in (NO_CORE, OTHER_ELF, EMPTY, FAILED, LATE) or self.unread.startswith(PACKED)

    def close(self) -> None:
        """Let go of the file that `memory` reads from, if there is one. What wasn't read yet is absent from now on."""
        if isinstance(self.memory, Pages):
            self.memory.close()


def read(fd: int, limits: Limits | None = None, deadline: float | None = None, live_fd: int = -1) -> Core:
    """The core that `fd` gives, from the start of a regular file, or from where a pipe or socket is.

    `fd` stays the caller's and may be closed afterwards. `deadline` is in seconds of time.monotonic(): what was read
    until then is what there is. `live_fd` is the /proc/PID/mem of the process, where it still exists: its memory is
    read from there when somebody asks, and nothing of the pipe behind the notes. Never raises for what a core says.
    """
    reader = Reader(fd, deadline)
    try:
        return _read(fd, reader, limits or Limits(), live_fd)
    finally:
        reader.close()


def _read(fd: int, reader: Reader, limits: Limits, live_fd: int) -> Core:
    header = bytes(reader.take(elf.HEADER_SIZE))
    unread = _unread(header) if header else reader.ended if reader.ended != CUT else EMPTY
    if unread:
        return Core(None, notes.parse((), None), Loads(b""), Windows(), truncated=bool(reader.ended), unread=unread)
    number = int.from_bytes(header[18:20], "little")
    machine = MACHINES.get(number)
    if machine is None:
        unread = f"stacks of this machine ({_NAMES.get(number, 'unknown')}, ELF number {number}) can't be unwound"
    rows, doubts = _program_headers(reader, header, limits)
    loads = Loads(rows)
    passage = _Passage(reader, rows, loads, machine, limits, doubts)
    memory: Memory
    if reader.regular:
        passage.read_notes(1 << 64)
        memory = Pages(posix.dup(fd), loads)
        truncated = reader.ended == CUT or reader.size < loads.end_offset
    elif live_fd >= 0 and (live := passage.live(live_fd, rows)) is not None:
        memory = live
        truncated = reader.ended == CUT
    else:
        memory = passage.run()
        truncated = reader.ended == CUT
    return Core(
        machine, passage.notes(), loads, memory, truncated=truncated, left_out=passage.left_out(), unread=unread
    )


class _Passage:
    """A core as it passes, after its program headers."""

    __slots__ = ("_contents", "_count", "_doubts", "_known", "_limits", "_loads", "_machine", "_once", "_plan",
                 "_ranges", "_reader", "_size", "_start_of_memory")  # fmt: skip

    def __init__(
        self,
        reader: Reader,
        rows: bytes | bytearray,
        loads: Loads,
        machine: Machine | None,
        limits: Limits,
        doubts: list[str],
    ) -> None:
        self._reader = reader
        self._loads = loads
        self._machine = machine
        self._limits = limits
        self._doubts = doubts
        self._ranges = sorted(note_ranges(rows), reverse=True)
        self._start_of_memory = first_load_offset(rows)
        self._contents: list[tuple[int, bytes]] = []
        self._once: set[int] = set()
        self._count = self._size = 0
        self._plan: Plan | None = None
        self._known: Notes | None = None

    def notes(self) -> Notes:
        """What the notes that passed so far say."""
        if self._known is None:
            self._known = notes.parse(self._contents, self._machine, self._doubts)
        return self._known

    def left_out(self) -> tuple[str, ...]:
        """What a limit kept out, in words."""
        found = self._plan.left_out if self._plan is not None else ()
        ended = self._reader.ended
        return (*found, ended) if ended and ended != CUT else found

    def run(self) -> Windows:
        """Read to the end of what is wanted; the windows that were kept."""
        kept = Windows()
        reader, limits = self._reader, self._limits
        self.read_notes(self._start_of_memory)
        known = self.notes()
        self._plan = plan = choose(self._loads, known, self._machine, limits, limits.kept_bytes)
        sp = self._first_sp(known)
        while not reader.ended:
            following = plan.next_offset()
            if self._ranges and (following is None or self._ranges[-1][0] <= following):
                # notes behind memory, as no kernel writes them: what is still to come can be chosen better
                self.read_notes(self._ranges[-1][0])
                known = self.notes()
                self._plan = plan = choose(self._loads, known, self._machine, limits, limits.kept_bytes - kept.size)
                sp = self._first_sp(known)
                continue
            piece = plan.next(reader.position)
            if piece is None:
                break
            offset, size, address = piece
            if not reader.skip_to(offset):
                break
            content = reader.take_all(size)
            kept.add(address, content)
            if address <= sp < address + len(content):
                above = memoryview(content)[sp - address : sp - address + limits.window_bytes]
                for interrupted in interrupted_stacks(above, sp, self._machine):
                    add_stack(plan, self._loads, interrupted, limits.first_stack_bytes, limits)
        return kept

    def live(self, fd: int, rows: bytes | bytearray) -> Pages | None:
        """The memory of the process itself; None where it can't be read, and the stream has to do."""
        self.read_notes(self._start_of_memory)
        sp = self._first_sp(self.notes())
        pages = Pages(posix.dup(fd), Loads(live_rows(rows)))
        if pages.word(sp & -8) is not None:
            return pages
        pages.close()
        return None

    def read_notes(self, until: int) -> None:
        """Read the segments of notes that begin at or before the offset `until`, as far as they haven't passed by."""
        self._known = None
        while self._ranges and self._ranges[-1][0] <= until:
            offset, size = self._ranges.pop()
            if offset < self._start_of_memory:
                size = min(size, self._start_of_memory - offset)
            if not self._reader.skip_to(offset):
                self._doubts.append("notes were cut, or lie where the core was read already")
            elif not self._read_segment(offset + size):
                self._doubts.append("the notes were cut or don't fit together")

    def _read_segment(self, end: int) -> bool:
        """Keep the wanted notes up to the offset `end`; False where they don't end there."""
        reader, limits = self._reader, self._limits
        while reader.position + _NOTE.size <= end:
            header = reader.take(_NOTE.size)
            self._count += 1
            if len(header) < _NOTE.size or self._count > limits.notes:
                return False
            name_size, size, kind = _NOTE.unpack(header)
            content_at = reader.position + (name_size + 3 & ~3)
            after = min(content_at + (size + 3 & ~3), end)
            if content_at + size > end:
                return False
            name = reader.take(name_size) if name_size <= NAME_MAX else b""
            most = notes.wanted(name, kind, size)
            if most and kind not in self._once:
                if not reader.skip_to(content_at):
                    return False
                content = bytes(reader.take(min(most, limits.note_bytes - self._size)))
                self._size += len(content)
                self._contents.append((kind, content))
                if kind in _ONCE:
                    self._once.add(kind)
            if not reader.skip_to(after):
                return False
        return True

    def _first_sp(self, known: Notes) -> int:
        value = known.threads[0].registers[self._machine.sp] if known.threads and self._machine else None
        return -1 if value is None else value


def _unread(header: bytes) -> str:
    """Why this isn't the start of a core that can be read; empty where it is."""
    for magic, packer in _PACKERS:
        if header.startswith(magic):
            return f"{PACKED} ({packer} -dc)"
    if len(header) < elf.HEADER_SIZE or header[:4] != elf.MAGIC:
        return NO_CORE
    if header[4] != 2 or header[5] != 1:
        return "the core of a 32 bit or big-endian process, whose stacks can't be unwound"
    if int.from_bytes(header[16:18], "little") != elf.ET_CORE:
        return OTHER_ELF
    return ""


def _program_headers(reader: Reader, header: bytes, limits: Limits) -> tuple[bytes | bytearray, list[str]]:
    """All program headers that fit, and what is doubtful about them."""
    (_ident, _type, _machine, _version, _entry, table, sections, _flags, _size, row_size, count,
     _section_size, _section_count, _names) = _HEADER.unpack(header)  # fmt: skip
    if row_size != ROW_SIZE or not count:
        return b"", ["no program headers"]
    if count == elf.PN_XNUM and reader.regular and reader.skip_to(sections):
        first_section = reader.take(ROW_SIZE)
        count = int.from_bytes(first_section[44:48], "little") or count  # sh_info
    if not reader.skip_to(table):
        return b"", ["the program headers were cut"]
    rows: bytes | bytearray = b""
    if count == elf.PN_XNUM:  # the real number is at the end of the core; the kernel writes notes right behind the rows
        rows = reader.take(ROW_SIZE)
        ranges = note_ranges(rows)
        count = max(count, (ranges[0][0] - table) // ROW_SIZE if ranges else 0)
    most = limits.headers_bytes // ROW_SIZE
    rows += reader.take(min(count, most) * ROW_SIZE - len(rows))
    doubts = []
    if count > most:
        doubts.append(f"{count} stretches of memory, of which {most} are looked at")
    if len(rows) < min(count, most) * ROW_SIZE:
        doubts.append("the program headers were cut")
    return rows[: len(rows) // ROW_SIZE * ROW_SIZE], doubts
