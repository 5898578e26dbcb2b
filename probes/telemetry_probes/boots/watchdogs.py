# SPDX-License-Identifier: Apache-2.0
"""What hardware says of the last reset: watchdogs, in /sys/class/watchdog/*/bootstatus (bits of linux/watchdog.h), and
AMD's processors, in a line of the kernel's log (Linux 6.16 and newer, arch/x86/kernel/cpu/amd.c).

Pure: text in, values out.
"""

from __future__ import annotations

FIRED, OVERHEATED, POWER = "watchdog", "overheated", "power"
BUTTON, SOFTWARE, ERROR = "button", "software", "error"
OTHER = "other"

_BITS = (
    (0x0001, OVERHEATED), (0x0002, "fan"), (0x0004, "external-1"), (0x0008, "external-2"), (0x0010, POWER),
    (0x0020, FIRED), (0x0040, "power-over"),
)  # fmt: skip
"""WDIOF_OVERHEAT, FANFAULT, EXTERN1, EXTERN2, POWERUNDER, CARDRESET, POWEROVER."""

AMD = "x86/amd: Previous system reset reason ["
_AMD = (
    ("thermal", OVERHEATED), ("power button was pressed for", BUTTON), ("watchdog", FIRED), ("SYS_RST", BUTTON),
    ("sync flood", ERROR), ("parity error", ERROR), ("internal CPU shutdown", ERROR), ("software", SOFTWARE),
    ("ACPI power state transition", SOFTWARE), ("remote ASF", BUTTON), ("keyboard reset", SOFTWARE),
)  # fmt: skip


def causes(bootstatus: str) -> tuple[str, ...]:
    """Of the file's text; none where it says nothing."""
    try:
        bits = int(bootstatus, 0)
    except ValueError:
        return ()
    return tuple([name for bit, name in _BITS if bits & bit])


def reset(line: str) -> str | None:
    """Of a line of the kernel's log; None for any other line."""
    if not line.startswith(AMD):
        return None
    said = line.partition("]: ")[2]
    for words, name in _AMD:
        if words in said:
            return name
    return OTHER
