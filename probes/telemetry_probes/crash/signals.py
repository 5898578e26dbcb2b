# SPDX-License-Identifier: Apache-2.0
"""A signal in words: its name, and why it came. Numbers of Linux on x86 and arm (signal(7), sigaction(2)). Pure:
numbers in, words out."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import SignalInfo

NAMES = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    16: "SIGSTKFLT", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 29: "SIGIO", 30: "SIGPWR",
    31: "SIGSYS",
}  # fmt: skip

_REASONS = {
    (4, 1): "illegal instruction", (4, 2): "illegal operand", (4, 3): "illegal addressing mode",
    (4, 4): "illegal trap", (4, 5): "privileged instruction", (4, 6): "privileged register",
    (4, 7): "coprocessor error", (4, 8): "internal stack error", (4, 9): "unimplemented instruction",
    (5, 1): "breakpoint", (5, 2): "trace trap", (5, 3): "branch taken", (5, 4): "hardware breakpoint",
    (7, 1): "address not aligned", (7, 2): "no memory at that address", (7, 3): "hardware error of the object",
    (7, 4): "memory error, action required", (7, 5): "memory error, action optional",
    (8, 1): "integer division by zero", (8, 2): "integer overflow", (8, 3): "floating-point division by zero",
    (8, 4): "floating-point overflow", (8, 5): "floating-point underflow", (8, 6): "floating-point inexact result",
    (8, 7): "invalid floating-point operation", (8, 8): "subscript out of range",
    (11, 1): "nothing is mapped at that address", (11, 2): "the mapping doesn't allow the access",
    (11, 3): "address bounds were checked and failed", (11, 4): "a protection key forbids the access",
    (11, 8): "asynchronous memory tag fault", (11, 9): "memory tag fault", (11, 10): "control protection fault",
    (31, 1): "a seccomp filter forbids the system call",
}  # fmt: skip
_SI_KERNEL = 0x80


def name(number: int) -> str:
    """`SIGSEGV` for 11; `SIGRTMIN+2` for 36; `signal 99` for one that is none."""
    if number in NAMES:
        return NAMES[number]
    return f"SIGRTMIN+{number - 34}" if 34 <= number <= 64 else f"signal {number}"


def reason(info: SignalInfo) -> str:
    """si_code in words, empty where it says nothing."""
    known = _REASONS.get((info.number, info.code))
    if known is not None:
        return known
    if info.code == _SI_KERNEL:
        # On x86 an address that isn't canonical comes as a general protection fault, which has no address.
        return "the address is none at all (general protection fault)" if info.number == 11 else "sent by the kernel"
    if info.code == -6:
        return "raised by the process itself"
    if info.code in (0, -1) and info.sender_pid is not None:
        return f"sent by process {info.sender_pid}" if info.sender_pid else "sent by a process of another namespace"
    return ""
