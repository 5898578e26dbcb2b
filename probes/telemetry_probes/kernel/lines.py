# SPDX-License-Identifier: Apache-2.0
"""What a line of a report is, told by how it looks; and what printk puts before it. Pure: text in, values out."""

from __future__ import annotations

OTHER, CPU, MODULES, TRACE, FRAME, DETAIL, END = range(7)
"""Where it ran, "Modules linked in:", "Call Trace:", a frame of it, registers and the like, the end marker."""

LINE_CHARS_MAX = 2048
"""Of a line; the kernel's own limit is 1,024 bytes."""

_CPU = ("CPU: ", "Pid: ", "PID: ")
_TRACES = ("Call Trace:", "Call trace:", "Backtrace:", "stack backtrace:")
_DETAILS = (
    "Hardware name:", "RIP: ", "RIP  ", "EIP: ", "EIP is at", "IP: ", "RSP: ", "RSP ", "ESP: ", "EAX: ", "ESI: ",
    "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "FS:  ", "FS: ", "CS:  ", "CS: ", "DS: ", "CR0: ", "CR2: ",
    "DR0: ", "DR3: ", "DR6: ", "PKRU: ", "Code: ", "Stack:", "Oops: ", "Oops [#", "#PF: ", "PGD ", "*pde", "*pdpt",
    "Workqueue: ", "Tainted: ", "Kernel Offset:", "pstate: ", "pc : ", "lr : ", "sp : ", "NIP: ", "LR: ", "NIP [",
    "LR [", "MSR: ", "CFAR: ", "GPR", "Mem abort info:", "Internal error: ", "INFO: lockdep is turned off",
    "Dumping ftrace buffer:", "note: ", "Preemption disabled at:", "Process ", "task: ", "task:", "Task:",
    "Instruction dump:", "Instruction Dump::", "irq event stamp:", "hardirqs last", "softirqs last", "Rebooting in",
    "Dazed and", "Fixing recursive fault", "Last Breaking-Event-Address:", "Krnl ", "handlers:", "Disabling IRQ",
)  # fmt: skip
_MARKS = (
    "<TASK>", "</TASK>", "<IRQ>", "</IRQ>", "<NMI>", "</NMI>", "<EOI>", "<EOE>", "<SOFTIRQ>", "<#DF>",
    "<ENTRY_TRAMPOLINE>",
)  # fmt: skip
_ARM_REGISTER = (
    "x0 ", "x1", "x2", "x3 ", "x4 ", "x5 ", "x6 ", "x7 ", "x8 ", "x9 ", "r0 ", "r1", "r3 ", "r4 ", "r5 ", "r6 ",
    "r7 ",
)  # fmt: skip


def kind(line: str) -> int:
    """One of OTHER to END, of a line without level and time."""
    text = line.lstrip()
    if text.startswith("---[ end"):
        return END
    if text.startswith(_CPU):
        return CPU
    if text.startswith("Modules linked in:"):
        return MODULES
    if text.startswith(_TRACES):
        return TRACE
    if text.startswith(_DETAILS):
        return DETAIL
    if text.startswith(_MARKS) or ("/0x" in text and ": " not in text.partition("+0x")[0]):
        return FRAME
    if line.startswith(" ") and text.startswith("[<"):
        return FRAME
    if text.startswith(_ARM_REGISTER) and ":" in text[:6]:
        return DETAIL
    return OTHER


def is_bare_hex(line: str) -> bool:
    """Words of a stack, as older kernels dump it."""
    words = line.split()
    return bool(words) and all(len(word) in (8, 16) and not set(word) - _HEX for word in words)


_HEX = set("0123456789abcdef")


def unprefixed(line: str) -> tuple[int | None, str, str]:
    """What printk put before the text of a line in a dump or on a console: microseconds since the boot (None where
    it has no time), the caller (T123, C1, or empty), and the text itself."""
    at = 0
    if line.startswith("<"):
        end = line.find(">", 1, 6)
        if end > 0 and line[1:end].isdigit():
            at = end + 1
    time_us = None
    if line.startswith("[", at):
        end = line.find("]", at)
        found = _time_us(line[at + 1 : end]) if 0 < end - at <= 24 else None
        if found is not None:
            time_us = found
            at = end + 1
    caller = ""
    if time_us is not None and line.startswith("[", at):
        end = line.find("]", at)
        word = line[at + 1 : end].strip() if 0 < end - at <= 16 else ""
        if word[:1] in ("T", "C") and word[1:].isdigit():
            caller = word
            at = end + 1
    if time_us is not None and line.startswith(" ", at):
        at += 1
    return time_us, caller, line[at:]


def _time_us(text: str) -> int | None:
    seconds, dot, fraction = text.strip().partition(".")
    if not (dot and seconds.isdigit() and fraction.isdigit() and len(fraction) == 6 and seconds.isascii()):
        return None
    return int(seconds) * 1_000_000 + int(fraction)


def text_of(written: str) -> str:
    """Printable, at most LINE_CHARS_MAX characters."""
    line = written[:LINE_CHARS_MAX].rstrip()
    if line.isprintable():
        return line
    return "".join([char if char.isprintable() or char == "\t" else "?" for char in line])
