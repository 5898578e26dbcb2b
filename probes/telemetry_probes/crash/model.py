# SPDX-License-Identifier: Apache-2.0
"""The values that pass from one step of a crash report to the next, and nothing that computes.

Addresses are of the dead process unless the name says otherwise; sizes are bytes; every address is an unsigned 64 bit
number. Classes with slots, not NamedTuple or dataclass: importing those takes longer than unwinding a small program.
Nothing changes a value once it was made. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from telemetry_probes.crash.elf import Image

    Registers = list[int | None]
    """A thread's registers in DWARF's order for the machine (x86_64: System V ABI, figure 3.36, the return address
    column 16 holds pc; aarch64: AADWARF64, x0..x30, sp at 31, pc at 32). None is a value that isn't known."""

    Now = Callable[[], float]
    """Seconds of a clock that only goes forward."""

    class Memory(Protocol):
        """What can still be read of the dead process: the core's own bytes first, then files of the right build-id."""

        def read(self, address: int, size: int) -> bytes | None:
            """Exactly `size` bytes, or None where one of them is not at hand. Never raises."""

        def word(self, address: int) -> int | None:
            """The unsigned 8 byte number at `address`, or None. Never raises."""


class Machine:
    """A kind of processor: where its registers stand in DWARF's order."""

    __slots__ = ("callee_saved", "fp", "link", "name", "number", "pc", "register_count", "sp")

    def __init__(
        self, name: str, number: int, register_count: int, pc: int, sp: int, fp: int, link: int | None,
        callee_saved: frozenset[int],
    ) -> None:  # fmt: skip
        """`number` is ELF's e_machine; `link` the register that holds the return address in a leaf, if there is one."""
        self.name = name
        self.number = number
        self.register_count = register_count
        self.pc = pc
        self.sp = sp
        self.fp = fp
        self.link = link
        self.callee_saved = callee_saved


X86_64 = Machine("x86_64", 62, 17, pc=16, sp=7, fp=6, link=None, callee_saved=frozenset((3, 6, 7, 12, 13, 14, 15)))
AARCH64 = Machine("aarch64", 183, 33, pc=32, sp=31, fp=29, link=30, callee_saved=frozenset(range(19, 32)))
MACHINES = {machine.number: machine for machine in (X86_64, AARCH64)}


class Mapping:
    """A file that was mapped: one entry of the core's NT_FILE, or what the link map says where there is none."""

    __slots__ = ("end", "offset", "path", "start")

    def __init__(self, start: int, end: int, offset: int, path: str) -> None:
        """`offset` is where in the file the mapping begins; `path` is as the kernel wrote it, hostile."""
        self.start = start
        self.end = end
        self.offset = offset
        self.path = path


class Thread:
    """One thread as its NT_PRSTATUS says."""

    __slots__ = ("registers", "signal", "thread_pointer", "tid")

    def __init__(self, tid: int, registers: Registers, signal: int, thread_pointer: int | None = None) -> None:
        """`signal` is the one it was stopped by, 0 for none; `thread_pointer` is fs_base or TPIDR: pthread_self()."""
        self.tid = tid
        self.registers = registers
        self.signal = signal
        self.thread_pointer = thread_pointer


class SignalInfo:
    """NT_SIGINFO: why the process died."""

    __slots__ = ("address", "code", "number", "sender_pid")

    def __init__(self, number: int, code: int, address: int | None, sender_pid: int | None) -> None:
        """`address` for faults (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP), `sender_pid` where a process sent it."""
        self.number = number
        self.code = code
        self.address = address
        self.sender_pid = sender_pid


class Notes:
    """What the notes of a core say, the crashing thread first."""

    __slots__ = ("arguments", "auxv", "comm", "mappings", "missing", "pid", "signal", "threads")

    def __init__(
        self, threads: tuple[Thread, ...], signal: SignalInfo | None, auxv: dict[int, int],
        mappings: tuple[Mapping, ...], pid: int, comm: str, arguments: str, missing: tuple[str, ...],
    ) -> None:  # fmt: skip
        """`missing` names what was cut, doubtful or absent, in words that a report can show."""
        self.threads = threads
        self.signal = signal
        self.auxv = auxv
        self.mappings = mappings
        self.pid = pid
        self.comm = comm
        self.arguments = arguments
        self.missing = missing


class Module:
    """A program, a library or the vdso as it lay in memory."""

    __slots__ = ("bias", "build_id", "end", "image", "path", "ranges", "start", "why_unread")

    def __init__(
        self, path: str, start: int, end: int, bias: int, ranges: tuple[tuple[int, int], ...], build_id: str,
        image: Image | None, why_unread: str,
    ) -> None:  # fmt: skip
        """`bias` + an address in the file = the address in memory. `path` without ` (deleted)`; `[vdso]` for that.

        `build_id` (hex, or empty) is that of what was mapped, read from memory where possible. `image` is the file on
        disk only where it is the same (build-id), otherwise an image of memory's own bytes, or None; `why_unread` says
        why there is no file, empty where there is one.
        """
        self.path = path
        self.start = start
        self.end = end
        self.bias = bias
        self.ranges = ranges
        self.build_id = build_id
        self.image = image
        self.why_unread = why_unread


class Frame:
    """One call on a stack, before anybody gave it a name."""

    __slots__ = ("cfa", "found_by", "lookup_pc", "module", "pc")

    def __init__(self, pc: int, lookup_pc: int, cfa: int | None, module: Module | None, found_by: str) -> None:
        """`lookup_pc` is pc where it is exact (frame 0, and one that a signal interrupted), otherwise pc - 1.

        `found_by` says how this frame was reached from the one below: registers, cfi, signal, frame pointer, link,
        word at sp, instructions (those of the function below), fault or switch (Go's runtime: `gostack`).
        """
        self.pc = pc
        self.lookup_pc = lookup_pc
        self.cfa = cfa
        self.module = module
        self.found_by = found_by


class Stack:
    """A thread's frames, innermost first."""

    __slots__ = ("ended", "frames", "left_out")

    def __init__(self, frames: tuple[Frame, ...], left_out: int, ended: str) -> None:
        """`ended` is why it stopped: outermost, deadline, no rule for pc, memory not in the core, a cycle, limit.

        Of more frames than the limit the top and the bottom are kept; `left_out` were between them.
        """
        self.frames = frames
        self.left_out = left_out
        self.ended = ended


class Place:
    """A frame with its name: one function of the source; a frame has several where the compiler inlined calls."""

    __slots__ = ("file", "function", "inlined", "kind", "line", "offset")

    def __init__(self, function: str, offset: int | None, file: str, line: int, inlined: bool, kind: str) -> None:
        """`function` demangled, empty where unknown; `offset` of the pc in it; `file` empty and `line` 0 if unknown.

        `kind` is native, python, go, jit, vdso or kernel's trampoline (signal).
        """
        self.function = function
        self.offset = offset
        self.file = file
        self.line = line
        self.inlined = inlined
        self.kind = kind
