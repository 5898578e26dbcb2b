# SPDX-License-Identifier: Apache-2.0
"""What the last entries of a boot's journal say of its end.

Only fields that the journal itself adds are believed: any user can write the others (systemd.journal-fields(7)).
Message ids are of sd-messages.h. Pure: entries in, values out; reading is `journalreading`'s.
"""

from __future__ import annotations

from telemetry_probes.boots.evidence import CUT, GOING_DOWN, STOPPED, JournalEnd, KernelReport, LastEntry
from telemetry_probes.boots.marks import TARGETS
from telemetry_probes.kernel.assembly import Assembler, Line
from telemetry_probes.kernel.incidents import Incidents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

JOURNAL_STOPPED = "d93fb3c9c24d451a97cea615ce59c00b"
UNIT_STARTED = "39f53479d3a045ac8e11786248231fbf"
SLEEP_BEGAN = "6bbd95ee977941e497c48be27c254128"
SLEEP_ENDED = "8811e6df2a8e40f58a94cea26f8ebf14"
_ASLEEP = ("PM: suspend entry", "PM: hibernation: hibernation entry")
_AWAKE = ("PM: suspend exit", "PM: hibernation: hibernation exit")
_FINAL = {
    "systemd-reboot.service": "reboot", "systemd-poweroff.service": "poweroff", "systemd-halt.service": "halt",
    "systemd-kexec.service": "kexec", "systemd-exit.service": "exit", "umount.target": "", "final.target": "",
}  # fmt: skip
STOP_WITHIN = 5
"""The entry of a journal that was stopped is among the last so many; an initrd's is among the first."""
REPORTS_S = 600
"""What the kernel said before that has nothing to do with the end."""
REPORTS_MAX = 16
SHOWN = 8
"""Of the last entries."""
WHO_CHARS_MAX = 64
TEXT_CHARS_MAX = 256


class Entry:
    """One entry. `at_us`: when it was written, since the boot; `kernel_us`: when the kernel said it, by its own clock;
    `unit`: whose entry, as the journal says; `target`: which unit systemd speaks of; `trusted`: root's or the system's
    own."""

    __slots__ = ("at_us", "kernel_us", "message_id", "priority", "target", "text", "transport", "trusted", "unit")

    def __init__(
        self, at_us: int, transport: str, text: str, *, unit: str = "", message_id: str = "", target: str = "",
        priority: int = 6, kernel_us: int = 0, trusted: bool = True,
    ) -> None:  # fmt: skip
        self.at_us = at_us
        self.transport = transport
        self.text = text
        self.unit = unit
        self.message_id = message_id
        self.target = target
        self.priority = priority
        self.kernel_us = kernel_us
        self.trusted = trusted


def ending(boot: str, entries: Sequence[Entry], kernel: Sequence[Entry], secret: bytes, lifted: bool) -> JournalEnd:
    """`entries`: the last of a boot, in order, at least one; `kernel`: those of the kernel, of a longer time."""
    last_us = entries[-1].at_us
    stage, how = _stage(entries)
    found = JournalEnd(boot, stage, how)
    found.asleep = stage == CUT and _asleep(entries)
    found.reports = _reports(kernel, last_us, secret, lifted)[-REPORTS_MAX:]
    found.last_entries = [
        LastEntry(_who(each), each.priority, _before_s(each, last_us), each.text[:TEXT_CHARS_MAX] if lifted else "")
        for each in entries[-SHOWN:]
    ]
    return found


def _stage(entries: Sequence[Entry]) -> tuple[str, str]:
    """And how it goes on."""
    how = ""
    stage = CUT
    for entry in entries:
        is_systemd = entry.transport == "journal" and entry.trusted
        if is_systemd and entry.message_id == UNIT_STARTED and (entry.target in TARGETS or entry.target in _FINAL):
            stage = GOING_DOWN
            said = TARGETS.get(entry.target) or _FINAL.get(entry.target) or ""
            how = how if said in ("", "shutdown") else said
    for entry in entries[-STOP_WITHIN:]:
        if entry.message_id == JOURNAL_STOPPED and entry.transport == "driver":
            stage = STOPPED
    return stage, how


def _asleep(entries: Sequence[Entry]) -> bool:
    asleep = False
    for entry in entries:
        is_kernel = entry.transport == "kernel"
        if (entry.message_id == SLEEP_BEGAN and entry.trusted) or (is_kernel and entry.text.startswith(_ASLEEP)):
            asleep = True
        elif (entry.message_id == SLEEP_ENDED and entry.trusted) or (is_kernel and entry.text.startswith(_AWAKE)):
            asleep = False
    return asleep


def _reports(kernel: Sequence[Entry], last_us: int, secret: bytes, lifted: bool) -> list[KernelReport]:
    assembler = Assembler()
    whole = []
    for seq, entry in enumerate(kernel):
        for at, text in enumerate(entry.text.split("\n")):
            whole += assembler.feed(Line(text, entry.kernel_us, seq, "", at == 0))
    whole += assembler.flush()
    if not whole:
        return []
    from telemetry_probes import oops  # much to import, and most ends have none

    incidents = Incidents(secret)
    found: list[KernelReport] = []
    for report in whole:
        read = oops.parse(report, lifted)
        event = incidents.event(report, read)
        before_s = _before_s(kernel[min(report.first_seq, len(kernel) - 1)], last_us)
        if before_s <= REPORTS_S:
            found.append(
                KernelReport(read.kind, read.classification, read.reason, read.kernel, event, before_end_s=before_s)
            )
    return found


def _before_s(entry: Entry, last_us: int) -> int:
    return max(0, last_us - entry.at_us) // 1_000_000


def _who(entry: Entry) -> str:
    """A unit without its instance, a scope by its first word: what comes after may be a user, a host or a container."""
    if entry.transport == "kernel":
        return "kernel"
    name, dot, kind = entry.unit.rpartition(".")
    if kind == "scope":
        name = name.partition("-")[0]
    prefix, at, _ = name.partition("@")
    whole = f"{prefix}{at}{dot}{kind}"
    return whole[:WHO_CHARS_MAX] if whole.isprintable() else ""
