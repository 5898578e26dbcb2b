# SPDX-License-Identifier: Apache-2.0
"""How the kernel's reports begin: one table, first match counts. Pure: a line in, a pattern out.

The first part are telemetrics-client's patterns with their classes and severities, the second is what kernels have
come to say since (Documentation/dev-tools, kernel/, mm/, block/ and fs/ of Linux 6.x). What a report's other lines mean
must never come in here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

BUG: Final = "org.clearlinux/kernel/bug"
WARNING: Final = "org.clearlinux/kernel/warning"
STACK_OVERFLOW: Final = "org.clearlinux/kernel/stackoverflow"
PANIC: Final = "org.clearlinux/kernel/panic"
HANG: Final = "org.clearlinux/kernel/hang"
MEMORY: Final = "org.clearlinux/kernel/oom"
HARDWARE: Final = "org.clearlinux/kernel/hardware"
STORAGE: Final = "org.clearlinux/kernel/storage"

MEDIUM, HIGH, CRITICAL = 2, 3, 4

TRACED = 0
"""Goes on with a processor, modules and a call trace, and is at its end when that is."""
ALONE = 1
"""One line says all."""
FRAMED = 2
"""Goes on until the line that `until` names."""

CUT_HERE = "------------[ cut here ]------------"


class Pattern:
    """How one sort of report begins. `kind` is its name for people and programs; `text` is what the line begins with,
    or has inside where `inside` says so; `until` ends a FRAMED one."""

    __slots__ = ("classification", "inside", "kind", "severity", "shape", "text", "until")

    def __init__(
        self, text: str, kind: str, classification: str, severity: int, shape: int = TRACED, until: str = "",
        inside: bool = False,
    ) -> None:  # fmt: skip
        self.text = text
        self.kind = kind
        self.classification = classification
        self.severity = severity
        self.shape = shape
        self.until = until
        self.inside = inside


def _inside(text: str, kind: str, classification: str, severity: int, shape: int = TRACED, until: str = "") -> Pattern:
    return Pattern(text, kind, classification, severity, shape, until, True)


_RULE = "====="
_KILLED = "Killed process "

ORIGINAL: Final = (
    Pattern("NETDEV WATCHDOG: ", "netdev-watchdog", WARNING, MEDIUM),
    Pattern("sysctl table check failed: ", "sysctl", WARNING, MEDIUM),
    Pattern("IRQ handler type mismatch for IRQ", "irq", WARNING, MEDIUM),
    _inside(": BUG", "alsa", BUG, MEDIUM),  # only behind "ALSA", see match()
    _inside(": nobody cared", "irq", WARNING, MEDIUM),  # only behind "irq N"
    Pattern("WARNING: ", "warning", WARNING, MEDIUM),
    Pattern("general protection fault", "general-protection", BUG, CRITICAL),
    Pattern("BUG: unable to handle kernel ", "page-fault", BUG, CRITICAL),
    Pattern("BUG:", "bug", BUG, CRITICAL),
    Pattern("kernel BUG at", "bug", BUG, CRITICAL),
    Pattern("do_IRQ: stack overflow:", "stack-overflow", STACK_OVERFLOW, CRITICAL),
    Pattern("RTNL: assertion failed", "rtnl", WARNING, MEDIUM),
    Pattern("Eeek! page_mapcount(page) went negative!", "bad-page", BUG, CRITICAL),
    _inside("near stack overflow (cur:", "stack-overflow", BUG, CRITICAL),
    Pattern("double fault", "double-fault", BUG, CRITICAL),
    Pattern("Badness", "badness", BUG, CRITICAL),
    Pattern("list_del corruption", "list-corruption", WARNING, MEDIUM),
    Pattern("list_add corruption", "list-corruption", WARNING, MEDIUM),
    Pattern("ACPI Error:", "acpi", WARNING, MEDIUM, ALONE),
    Pattern("ACPI BIOS Error", "acpi", WARNING, MEDIUM, ALONE),
    Pattern("ACPI Exception:", "acpi", WARNING, MEDIUM, ALONE),
    Pattern("Kernel panic - not syncing", "panic", PANIC, CRITICAL),
)
"""In telemetrics-client's order, which `match` doesn't keep: there the longest text that fits counts."""

NEWER: Final = (
    Pattern("BUG: kernel NULL pointer dereference", "null-pointer", BUG, CRITICAL),
    Pattern("BUG: unable to handle page fault", "page-fault", BUG, CRITICAL),
    Pattern("BUG: unable to handle kernel NULL pointer dereference", "null-pointer", BUG, CRITICAL),
    Pattern("BUG: Kernel NULL pointer dereference", "null-pointer", BUG, CRITICAL),
    Pattern("BUG: Unable to handle kernel ", "page-fault", BUG, CRITICAL),
    Pattern("Unable to handle kernel NULL pointer dereference", "null-pointer", BUG, CRITICAL),
    Pattern("Unable to handle kernel ", "page-fault", BUG, CRITICAL),
    Pattern("Internal error: ", "oops", BUG, CRITICAL),
    Pattern("Oops: ", "oops", BUG, CRITICAL),
    Pattern("Oops [#", "oops", BUG, CRITICAL),
    Pattern("divide error: ", "divide-error", BUG, CRITICAL),
    Pattern("invalid opcode: ", "invalid-opcode", BUG, CRITICAL),
    Pattern("stack segment: ", "stack-segment", BUG, CRITICAL),
    Pattern("int3: ", "int3", BUG, CRITICAL),
    Pattern("traps: PANIC: double fault", "double-fault", BUG, CRITICAL),
    Pattern("PANIC: double fault", "double-fault", BUG, CRITICAL),
    Pattern("BUG: TASK stack guard page was hit", "stack-overflow", STACK_OVERFLOW, CRITICAL),
    Pattern("BUG: IRQ stack guard page was hit", "stack-overflow", STACK_OVERFLOW, CRITICAL),
    Pattern("BUG: stack guard page was hit", "stack-overflow", STACK_OVERFLOW, CRITICAL),
    Pattern("Insufficient stack space to handle exception!", "stack-overflow", STACK_OVERFLOW, CRITICAL),
    Pattern("BUG: KASAN: ", "kasan", BUG, CRITICAL, FRAMED, _RULE),
    Pattern("BUG: KFENCE: ", "kfence", BUG, CRITICAL, FRAMED, _RULE),
    Pattern("BUG: KMSAN: ", "kmsan", BUG, CRITICAL, FRAMED, _RULE),
    Pattern("BUG: KCSAN: ", "kcsan", WARNING, MEDIUM, FRAMED, _RULE),
    Pattern("UBSAN: ", "ubsan", WARNING, MEDIUM, FRAMED, _RULE),
    Pattern("BUG kmalloc-", "slab-corruption", BUG, CRITICAL),
    _inside(" tainted): ", "slab-corruption", BUG, CRITICAL),  # "BUG name (Not tainted): ", only behind "BUG "
    _inside("BUG ", "slab-corruption", BUG, CRITICAL),  # "BUG name (Tainted: G): ", see match()
    Pattern("BUG: Bad page state", "bad-page", BUG, CRITICAL),
    Pattern("BUG: Bad page map", "bad-page", BUG, CRITICAL),
    Pattern("BUG: Bad rss-counter state", "bad-page", BUG, HIGH, ALONE),
    Pattern("BUG: scheduling while atomic", "scheduling-while-atomic", BUG, CRITICAL),
    Pattern("BUG: sleeping function called from invalid context", "sleeping-in-atomic", BUG, HIGH),
    Pattern("BUG: workqueue lockup", "workqueue-lockup", HANG, HIGH, ALONE),
    Pattern("BUG: soft lockup", "soft-lockup", HANG, HIGH),
    Pattern("watchdog: BUG: soft lockup", "soft-lockup", HANG, HIGH),
    Pattern("NMI watchdog: BUG: soft lockup", "soft-lockup", HANG, HIGH),
    Pattern("watchdog: Watchdog detected hard LOCKUP", "hard-lockup", HANG, CRITICAL),
    Pattern("NMI watchdog: Watchdog detected hard LOCKUP", "hard-lockup", HANG, CRITICAL),
    Pattern("watchdog: CPU", "hard-lockup", HANG, CRITICAL),
    Pattern("INFO: task ", "hung-task", HANG, HIGH),
    Pattern("INFO: rcu_", "rcu-stall", HANG, HIGH),
    Pattern("rcu: INFO: ", "rcu-stall", HANG, HIGH),
    Pattern("INFO: possible recursive locking detected", "lockdep", WARNING, MEDIUM),
    Pattern("INFO: possible circular locking dependency detected", "lockdep", WARNING, MEDIUM),
    Pattern("WARNING: possible ", "lockdep", WARNING, MEDIUM),
    Pattern("WARNING: suspicious RCU usage", "rcu-usage", WARNING, MEDIUM),
    Pattern("refcount_t: ", "refcount", WARNING, HIGH),
    Pattern("sysfs: cannot create duplicate filename", "sysfs-duplicate", WARNING, MEDIUM),
    Pattern("Out of memory: Kill", "oom", MEMORY, HIGH, ALONE),  # where the report before it was lost
    _inside(" invoked oom-killer: ", "oom", MEMORY, HIGH, FRAMED, _KILLED),
    _inside(": page allocation failure: ", "page-allocation", WARNING, MEDIUM),
    Pattern("mce: [Hardware Error]: ", "mce", HARDWARE, HIGH, ALONE),
    _inside("[Hardware Error]: event severity: ", "hardware-error", HARDWARE, HIGH, ALONE),
    Pattern("[Hardware Error]: ", "mce", HARDWARE, HIGH, ALONE),
    _inside(": AER: ", "pcie", HARDWARE, MEDIUM, ALONE),
    Pattern("EDAC MC", "edac", HARDWARE, HIGH, ALONE),
    Pattern("EDAC PCI", "edac", HARDWARE, HIGH, ALONE),
    _inside("emperature above threshold", "thermal", HARDWARE, MEDIUM, ALONE),
    _inside(": critical temperature reached", "thermal", HARDWARE, CRITICAL, ALONE),
    Pattern("I/O error, dev ", "io-error", STORAGE, HIGH, ALONE),
    Pattern("blk_update_request: ", "io-error", STORAGE, HIGH, ALONE),
    Pattern("print_req_error: ", "io-error", STORAGE, HIGH, ALONE),
    Pattern("end_request: ", "io-error", STORAGE, HIGH, ALONE),
    Pattern("Buffer I/O error on dev", "io-error", STORAGE, HIGH, ALONE),
    Pattern("critical medium error, dev ", "io-error", STORAGE, HIGH, ALONE),
    Pattern("critical target error, dev ", "io-error", STORAGE, HIGH, ALONE),
    Pattern("EXT4-fs error ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("EXT3-fs error ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("EXT2-fs error ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("Aborting journal on device ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("BTRFS critical ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("BTRFS error ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("SQUASHFS error: ", "filesystem", STORAGE, HIGH, ALONE),
    Pattern("FAT-fs (", "filesystem", STORAGE, HIGH, ALONE),  # of those only errors, see match()
    Pattern("XFS (", "filesystem", STORAGE, HIGH, ALONE),  # ditto
    Pattern("coredump: ", "core-pipe-limit", WARNING, MEDIUM, ALONE),  # of those only one, see match()
    Pattern("Pid ", "core-pipe-limit", WARNING, MEDIUM, ALONE),  # ditto, up to Linux 6.11
)

OVER_LIMIT: Final = " over core_pipe_limit"
"""A process crashed and the kernel called no handler, since too many were at work: a crash that nobody reports."""
_FORGED = ("]: segfault at ", "]: unhandled ", "]: bad frame in ", "]: bad exit code ")
"""What follows the name of a process, which is the user's word, at the begin of a line."""

_BEGINNING = {pattern.text: pattern for pattern in (*ORIGINAL, *NEWER) if not pattern.inside}
_BEGINS = tuple(sorted(_BEGINNING, key=len, reverse=True))
_INSIDE = tuple(pattern for pattern in (*NEWER, *ORIGINAL) if pattern.inside)
_ERRORS_OF_FILE_SYSTEMS = (
    "orruption", "Internal error", "error (", "error,", "shutdown", "I/O error", "ilesystem has been set",
)  # fmt: skip


def match(line: str) -> Pattern | None:
    """The pattern that a line begins a report with. The line is without level and time."""
    if line.startswith(_BEGINS):
        for text in _BEGINS:
            if line.startswith(text):
                return _confirmed(line, _BEGINNING[text])
    for pattern in _INSIDE:
        if pattern.text in line:
            found = _confirmed(line, pattern)
            if found is not None:
                return found
    return None


def _confirmed(line: str, pattern: Pattern) -> Pattern | None:
    """Where a text alone doesn't tell."""
    for text in _FORGED:
        if text in line:
            return None
    kind, text = pattern.kind, pattern.text
    if kind == "alsa":
        return pattern if line.startswith("ALSA ") else None
    if text == ": nobody cared":
        return pattern if line.startswith("irq ") else None
    if kind == "slab-corruption" and pattern.inside:
        return pattern if line.startswith("BUG ") and "ainted" in line and "): " in line else None
    if kind == "hung-task":
        return pattern if " blocked for more than " in line else None
    if kind == "rcu-stall":
        return pattern if " stall" in line else None
    if text == "watchdog: CPU":
        return pattern if "LOCKUP" in line else None
    if text in ("blk_update_request: ", "print_req_error: ", "end_request: "):
        return pattern if " error" in line else None
    if text in ("EDAC MC", "EDAC PCI"):
        return pattern if " CE " in line or " UE " in line or "arity" in line else None
    if text in ("XFS (", "FAT-fs ("):
        return pattern if any(word in line for word in _ERRORS_OF_FILE_SYSTEMS) else None
    if kind == "core-pipe-limit":
        return pattern if OVER_LIMIT in line else None
    if text == ": AER: ":
        return pattern if "rror" in line else None
    return pattern
