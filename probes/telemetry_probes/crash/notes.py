# SPDX-License-Identifier: Apache-2.0
"""The notes of a core: which are wanted, and what they say. Bytes in, values out: it opens nothing.

Layouts: struct elf_prstatus, elf_prpsinfo and the comment at fill_files_note in the kernel's fs/binfmt_elf.c,
siginfo_t of sigaction(2), getauxval(3). Most of a core's notes are register states nobody asks for; `wanted` tells
them by their header. What a note claims is checked against its own size; what is odd is said in `Notes.missing`, and
nothing raises.
"""

from __future__ import annotations

from struct import Struct

from telemetry_probes.crash.model import AARCH64, X86_64, Mapping, Notes, SignalInfo, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry_probes.crash.model import Machine, Registers

NT_PRSTATUS, NT_PRPSINFO, NT_AUXV = 1, 3, 6
NT_FILE, NT_SIGINFO = 0x46494C45, 0x53494749
NT_ARM_TLS = 0x401

WANTED = {
    NT_PRSTATUS: 1024,
    NT_PRPSINFO: 256,
    NT_AUXV: 8192,
    NT_SIGINFO: 256,
    NT_FILE: 4 << 20,
    NT_ARM_TLS: 64,
}
"""Kinds of notes that are read, and how many bytes of one; of NT_FILE as many as kernel.core_file_note_size_limit."""
THREADS_MAX = 4096
MAPPINGS_MAX = 16384
PATH_MAX = 4096
AUXV_MAX = 256

_LISTS = (NT_AUXV, NT_FILE)
_NAMES = (b"CORE\0", b"LINUX\0", b"CORE", b"LINUX")
_REGISTERS_AT = 112  # after elf_siginfo, the pending signals, four ids and four times
_X86_64_REGISTERS = Struct("<27Q")  # struct user_regs_struct
_X86_64_ORDER = (10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16)  # rax rdx rcx rbx rsi rdi rbp rsp r8.. rip
_X86_64_FS_BASE = 21
_AARCH64_REGISTERS = Struct("<33Q")  # struct user_pt_regs: x0..x30, sp, pc
_SIGNAL_IDS = Struct("<hxxQQI")  # pr_cursig, pr_sigpend, pr_sighold, pr_pid, at 12
_SIGINFO = Struct("<iii4xQ")
_PAIR = Struct("<QQ")
_RANGE = Struct("<QQQ")

_FAULTS = (4, 5, 7, 8, 11)  # SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
_SI_KERNEL = 0x80
_SENT_BY_A_PROCESS = (0, -1, -3, -6)  # SI_USER, SI_QUEUE, SI_MESGQ, SI_TKILL


def wanted(name: bytes | bytearray, kind: int, size: int) -> int:
    """How many of a note's `size` bytes are worth reading, by its owner and kind; 0 where it can be passed over."""
    most = WANTED.get(kind, 0) if name in _NAMES else 0
    if size <= most:
        return size
    return most if kind in _LISTS else 0  # of a list the beginning is good; a structure of that size is none


def parse(notes: Iterable[tuple[int, bytes]], machine: Machine | None, doubts: Iterable[str] = ()) -> Notes:
    """What (kind, content) of the wanted notes, in the core's order, say. `doubts` go before what is missing here."""
    missing = list(doubts)
    threads: list[Thread] = []
    signal: SignalInfo | None = None
    auxv: dict[int, int] = {}
    mappings: tuple[Mapping, ...] = ()
    process: tuple[int, str, str] | None = None
    left_out = 0
    for kind, content in notes:
        if kind == NT_PRSTATUS:
            if len(threads) >= THREADS_MAX:
                left_out += 1
            elif (thread := _thread(content, machine)) is not None:
                threads.append(thread)
            else:
                missing.append("a thread's registers were cut")
        elif kind == NT_ARM_TLS and machine is AARCH64 and threads and len(content) >= 8:
            last = threads[-1]
            pointer = int.from_bytes(content[:8], "little")
            threads[-1] = Thread(last.tid, last.registers, last.signal, pointer)
        elif kind == NT_SIGINFO and signal is None and len(content) >= _SIGINFO.size:
            signal = _signal(content)
        elif kind == NT_AUXV and not auxv:
            auxv = _auxv(content)
        elif kind == NT_FILE and not mappings:
            mappings, doubt = _mappings(content)
            if doubt:
                missing.append(doubt)
        elif kind == NT_PRPSINFO and process is None and len(content) >= 56:
            process = int.from_bytes(content[24:28], "little"), _text(content[40:56]), _text(content[56:136]).strip()
    if left_out:
        missing.append(f"{left_out} of the threads: only {THREADS_MAX} are read")
    if not threads:
        missing.append("no thread's registers (NT_PRSTATUS)")
    if not mappings:
        missing.append("no list of mapped files (NT_FILE)")
    if process is None:
        missing.append("no name of the process (NT_PRPSINFO)")
        process = threads[0].tid if threads else 0, "", ""
    if signal is None and threads and threads[0].signal:
        signal = SignalInfo(threads[0].signal, 0, None, None)
    pid, comm, arguments = process
    return Notes(tuple(threads), signal, auxv, mappings, pid, comm, arguments, tuple(dict.fromkeys(missing)))


def _thread(content: bytes, machine: Machine | None) -> Thread | None:
    if len(content) < _REGISTERS_AT:
        return None
    signal, _pending, _held, tid = _SIGNAL_IDS.unpack_from(content, 12)
    registers: Registers = []
    pointer: int | None = None
    if machine is X86_64:
        if len(content) < _REGISTERS_AT + _X86_64_REGISTERS.size:
            return None
        raw = _X86_64_REGISTERS.unpack_from(content, _REGISTERS_AT)
        registers.extend(raw[at] for at in _X86_64_ORDER)
        pointer = raw[_X86_64_FS_BASE]
    elif machine is AARCH64:
        if len(content) < _REGISTERS_AT + _AARCH64_REGISTERS.size:
            return None
        registers.extend(_AARCH64_REGISTERS.unpack_from(content, _REGISTERS_AT))
    return Thread(tid, registers, max(signal, 0), pointer)


def _signal(content: bytes) -> SignalInfo:
    number, _errno, code, value = _SIGINFO.unpack_from(content)
    # SI_KERNEL comes without an address: of a general protection fault the processor tells none
    address = value if number in _FAULTS and 0 < code != _SI_KERNEL else None
    return SignalInfo(number, code, address, value & 0xFFFFFFFF if code in _SENT_BY_A_PROCESS else None)


def _auxv(content: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    for kind, value in _PAIR.iter_unpack(content[: min(len(content) // 16, AUXV_MAX) * 16]):
        if kind == 0:  # AT_NULL
            break
        found.setdefault(kind, value)
    return found


def _mappings(content: bytes) -> tuple[tuple[Mapping, ...], str]:
    """The mappings, and a doubt about them."""
    if len(content) < 16:
        return (), "the list of mapped files was cut"
    claimed, page_size = _PAIR.unpack_from(content)
    room = (len(content) - 16) // _RANGE.size
    count = min(claimed, room, MAPPINGS_MAX)
    names = content[16 + claimed * _RANGE.size :] if claimed <= room else b""
    paths: dict[bytes, str] = {}
    found: list[Mapping] = []
    at = 0
    for start, end, page in _RANGE.iter_unpack(content[16 : 16 + count * _RANGE.size]):
        stop = names.find(0, at)
        if stop < 0:
            break  # without its name a range says nothing
        raw = names[at : min(stop, at + PATH_MAX)]
        at = stop + 1
        path = paths.get(raw)
        if path is None:
            path = paths[raw] = raw.decode("utf-8", "surrogateescape")
        if start < end:
            found.append(Mapping(start, end, page * page_size, path))
    doubt = ""
    if len(found) < claimed:
        doubt = f"the list of mapped files has {claimed} entries, {len(found)} could be read"
    return tuple(found), doubt


def _text(content: bytes) -> str:
    return content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
