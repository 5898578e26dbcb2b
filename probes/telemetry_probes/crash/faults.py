# SPDX-License-Identifier: Apache-2.0
"""The crash handler's own faults, in words, and told to the journal or the kernel's log; and which crash of which unit
it reported, so that the unit's failure is known for the same event (journal/context).

A handler has no terminal and nobody who reads its exit code. What is told has no word of the dead process in it but the
pid: the reason, and where in this program.
"""

from __future__ import annotations

import posix
import sys

from telemetry_probes.crash import signals

JOURNAL = "/run/systemd/journal/socket"
KMSG = "/dev/kmsg"
TEXT_MAX = 800
ERROR, WARNING, INFORMATION = 3, 4, 6


def of_exception() -> str:
    """The exception at hand: its kind and where it came from, not what it says (that may quote what was read)."""
    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        where = f" in {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}, line {trace.tb_lineno}"
    why = f" ({posix.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
    return f"{kind.__name__ if kind is not None else 'an unknown fault'}{why}{where}"


def of_status(status: int) -> str:
    """What waitpid(2) says of a process that didn't end well."""
    if posix.WIFSIGNALED(status):
        number = posix.WTERMSIG(status)
        words = {9: "killed (no memory left?)", 14: "it took too long", 24: "it took too much processor time",
                 7: "a file was cut while it was read", 31: "a system call that it may not make"}  # fmt: skip
        return f"{signals.name(number)}: {words[number]}" if number in words else signals.name(number)
    return f"exit code {posix.WEXITSTATUS(status)}"


def kernel_log() -> int:
    """A descriptor for `tell`, to be opened as root; -1 where there is none."""
    try:
        return posix.open(KMSG, posix.O_WRONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return -1


def tell(text: str, priority: int, log: int) -> None:
    """To the journal, else to the kernel's log."""
    line = _line(text)
    if _to_journal(f"PRIORITY={priority}\nSYSLOG_IDENTIFIER=crashprobe\nMESSAGE={line}\n".encode("utf-8", "replace")):
        return
    try:
        posix.write(log, f"<{priority}>crashprobe: {line}\n".encode("utf-8", "replace"))
    except OSError:
        return  # nobody is left to be told


def reported(pid: int, unit: str, signal: int) -> None:
    """To the journal alone."""
    unit = _line(unit)
    _to_journal(
        f"PRIORITY={INFORMATION}\nSYSLOG_IDENTIFIER=crashprobe\nTELEMETRICS_CRASH_PID={pid}\n"
        f"TELEMETRICS_CRASH_UNIT={unit}\n"
        f"MESSAGE=process {pid} of {unit} crashed ({signals.name(signal)}) and is reported\n".encode("utf-8", "replace")
    )


def _line(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)[:TEXT_MAX]


def _to_journal(message: bytes) -> bool:
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket

    try:
        sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            sender.sendto(message, JOURNAL)
        finally:
            sender.close()
    except OSError:
        return False
    return True
