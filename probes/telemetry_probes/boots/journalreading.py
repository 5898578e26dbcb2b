# SPDX-License-Identifier: Apache-2.0
"""The journal of the boot before this one: its last entries, and what the kernel says of the last reset in this one.
Nothing is judged here.

A journal may be damaged, or not there, or nobody may read it: then a sentence says so, and no exception does.
"""

from __future__ import annotations

import posix

from telemetry_probes.boots import watchdogs
from telemetry_probes.boots.journalend import REPORTS_S, Entry
from telemetry_probes.journal.source import NoJournal, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.journal import source

ENTRIES_MAX = 300
"""The last of a boot that are looked at."""
KERNEL_ENTRIES_MAX = 1500
START_ENTRIES_MAX = 4000
"""The kernel's first of this boot."""
CHARS_MAX = 4096
"""Of a field; the rest of it is not looked at."""
FIELDS = (
    "_TRANSPORT", "PRIORITY", "SYSLOG_FACILITY", "_SOURCE_MONOTONIC_TIMESTAMP", "_UID", "_PID", "MESSAGE",
    "_SYSTEMD_UNIT", "MESSAGE_ID", "UNIT",
)  # fmt: skip
KERNEL = "_TRANSPORT=kernel"


class LastBoot:
    """What was read of it: its id, when its first entry was written, since 1970, and how long it was from then to the
    last, whatever the clock did; its last entries and the kernel's."""

    __slots__ = ("boot", "entries", "first_s", "kernel", "last_s", "lasted_s")

    def __init__(
        self, boot: str, first_s: int, last_s: int, lasted_s: int, entries: list[Entry], kernel: list[Entry]
    ) -> None:
        self.boot = boot
        self.first_s = first_s
        self.last_s = last_s
        self.lasted_s = lasted_s
        self.entries = entries
        self.kernel = kernel


def last_boot(folder: str, this: str, last: str) -> LastBoot | str | None:
    """`this` and `last`: ids of boots, 32 hexadecimal digits; where `last` is empty it is the one that the journal has
    before this. None where it has no other; a sentence where it can't be read."""
    try:
        posix.stat(folder)
    except OSError:
        return None
    try:
        journal = Source(folder, ())
    except NoJournal as error:
        return f"the journal can't be read: {error}"
    try:
        return _read(journal, last or _before(journal, this))
    finally:
        journal.close()


def _read(journal: Source, boot: str) -> LastBoot | None:
    if not boot:
        return None
    of_boot = f"_BOOT_ID={boot}"
    journal.match(((of_boot,),))
    journal.seek_head()
    first = journal.next(())
    if first is None:
        return None
    entries = _last(journal, ENTRIES_MAX, 0)
    if not entries:
        return None
    journal.seek_tail()
    last = journal.back(1) or first
    lasted_s = max(0, entries[-1].at_us - first.monotonic_us) // 1_000_000
    journal.match(((of_boot, KERNEL),))
    kernel = _last(journal, KERNEL_ENTRIES_MAX, entries[-1].at_us - REPORTS_S * 1_000_000)
    return LastBoot(
        boot, first.realtime_us // 1_000_000, last.realtime_us // 1_000_000, lasted_s, entries,
        [each for each in kernel if each.trusted],
    )  # fmt: skip


def resets(folder: str, this: str) -> list[str]:
    """What the processor says of the last reset, by the names in `watchdogs`."""
    found: list[str] = []
    try:
        journal = Source(folder, ((f"_BOOT_ID={this}", KERNEL, "SYSLOG_FACILITY=0"),))
    except NoJournal:
        return found  # last_boot() says so
    try:
        journal.seek_head()
        for _ in range(START_ENTRIES_MAX):
            entry = journal.next(("MESSAGE",))
            if entry is None:
                break
            text = entry.text("MESSAGE")
            cause = watchdogs.reset(text[:CHARS_MAX]) if text.startswith(watchdogs.AMD) else None
            if cause is not None and cause not in found:
                found.append(cause)
    finally:
        journal.close()
    return found


def _before(journal: Source, this: str) -> str:
    """The boot of the entry before the first of `this`; empty where this boot has none, as in a container for which the
    kernel's id of the boot is not its own."""
    journal.match(((f"_BOOT_ID={this}",),))
    journal.seek_head()
    first = journal.next(())
    journal.match(())
    if first is None or not journal.seek_cursor(first.cursor):
        return ""
    journal.next(())
    for _ in range(ENTRIES_MAX):  # several files may overlap where a clock was set
        entry = journal.back(1)
        if entry is None:
            break
        if entry.boot != this:
            return entry.boot
    return ""


def _last(journal: Source, most: int, from_us: int) -> list[Entry]:
    """The last entries that the matches leave, oldest first; a damaged one ends it."""
    found: list[Entry] = []
    journal.seek_tail()
    while len(found) < most:
        entry = journal.back(1, FIELDS)
        if entry is None or entry.monotonic_us < from_us:
            break
        found.append(_entry(entry))
    found.reverse()
    return found


def _entry(entry: source.Entry) -> Entry:
    def text(name: str) -> str:
        return entry.text(name)[:CHARS_MAX]

    transport, priority, said_us = text("_TRANSPORT"), text("PRIORITY"), text("_SOURCE_MONOTONIC_TIMESTAMP")
    trusted = (text("SYSLOG_FACILITY") if transport == "kernel" else text("_UID")) == "0" or transport == "driver"
    return Entry(
        entry.monotonic_us,
        transport,
        text("MESSAGE"),
        unit=text("_SYSTEMD_UNIT"),
        message_id=text("MESSAGE_ID"),
        target=text("UNIT") if text("_PID") == "1" else "",
        priority=int(priority) if priority in tuple("01234567") else 6,
        kernel_us=int(said_us) if said_us.isascii() and said_us.isdigit() and len(said_us) < 19 else 0,
        trusted=trusted,
    )
