# SPDX-License-Identifier: Apache-2.0
"""The journal of the boot before this one, with python-systemd's reader: its last entries, and what the kernel says of
the last reset in this one. Nothing is judged here.

A journal may be damaged, or not there, or nobody may read it: then a sentence says so, and no exception does.
"""

from __future__ import annotations

from telemetry_probes.boots import watchdogs
from telemetry_probes.boots.journalend import REPORTS_S, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENTRIES_MAX = 300
"""The last of a boot that are looked at."""
KERNEL_ENTRIES_MAX = 1500
START_ENTRIES_MAX = 4000
"""The kernel's first of this boot."""
FIELD_BYTES_MAX = 4096
"""Of a field; the rest of it is not read."""


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
        from systemd._reader import _Reader
    except ImportError:
        return "the journal can't be read: python3-systemd is missing"
    try:
        with _Reader(flags=0, path=folder) as reader:
            reader.data_threshold = FIELD_BYTES_MAX
            boot = last or _before(reader, this)
            reader.flush_matches()
            reader.add_match(f"_BOOT_ID={boot}")
            reader.seek_head()
            if not boot or not reader._next():
                return None
            first_s, first_us = _time_s(reader), _since_boot_us(reader)
            reader.seek_tail()
            last_s = _time_s(reader) if reader._previous() else first_s
            entries = _last(reader, ENTRIES_MAX, 0)
            if not entries:
                return None
            lasted_s = max(0, entries[-1].at_us - first_us) // 1_000_000
            reader.add_match("_TRANSPORT=kernel")
            kernel = _last(reader, KERNEL_ENTRIES_MAX, entries[-1].at_us - REPORTS_S * 1_000_000)
            return LastBoot(boot, first_s, last_s, lasted_s, entries, [each for each in kernel if each.trusted])
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"the journal can't be read: {getattr(error, 'strerror', None) or 'it is damaged'}"


def resets(folder: str, this: str) -> list[str]:
    """What the processor says of the last reset, by the names in `watchdogs`."""
    found: list[str] = []
    try:
        from systemd._reader import _Reader

        with _Reader(flags=0, path=folder) as reader:
            reader.data_threshold = FIELD_BYTES_MAX
            reader.add_match(f"_BOOT_ID={this}")
            reader.add_match("_TRANSPORT=kernel")
            reader.seek_head()
            for _ in range(START_ENTRIES_MAX):
                if not reader._next():
                    break
                text = _field(reader, "MESSAGE")
                if text.startswith(watchdogs.AMD) and _field(reader, "SYSLOG_FACILITY") == "0":
                    cause = watchdogs.reset(text)
                    if cause is not None and cause not in found:
                        found.append(cause)
    except (ImportError, OSError, ValueError):
        pass  # last_boot() says so
    return found


def _before(reader: Any, this: str) -> str:
    """The boot of the entry before the first of `this`; empty where this boot has none, as in a container for which the
    kernel's id of the boot is not its own."""
    reader.flush_matches()
    reader.add_match(f"_BOOT_ID={this}")
    reader.seek_head()
    cursor = reader._get_cursor() if reader._next() else ""
    reader.flush_matches()
    if not cursor:
        return ""
    reader.seek_cursor(cursor)
    reader._next()
    for _ in range(ENTRIES_MAX):  # several files may overlap where a clock was set
        if not reader._previous():
            break
        boot = _field(reader, "_BOOT_ID")
        if boot and boot != this:
            return boot
    return ""


def _time_s(reader: Any) -> int:
    """When the entry was written, since 1970."""
    return int(reader._get_realtime()) // 1_000_000


def _since_boot_us(reader: Any) -> int:
    """The same on the monotonic clock, which nobody sets."""
    return int(reader._get_monotonic()[0])


def _last(reader: Any, most: int, from_us: int) -> list[Entry]:
    """The last entries that the reader's matches leave, oldest first; a damaged one ends it."""
    found: list[Entry] = []
    reader.seek_tail()
    try:
        while len(found) < most and reader._previous():
            at_us = _since_boot_us(reader)
            if at_us < from_us:
                break
            found.append(_entry(reader, at_us))
    except (OSError, ValueError):
        pass  # what was read before it is newer
    found.reverse()
    return found


def _entry(reader: Any, at_us: int) -> Entry:
    transport = _field(reader, "_TRANSPORT")
    priority = _field(reader, "PRIORITY")
    said_us = _field(reader, "_SOURCE_MONOTONIC_TIMESTAMP")
    if transport == "kernel":
        trusted = _field(reader, "SYSLOG_FACILITY") == "0"
    else:
        trusted = transport == "driver" or _field(reader, "_UID") == "0"
    return Entry(
        at_us,
        transport,
        _field(reader, "MESSAGE"),
        unit=_field(reader, "_SYSTEMD_UNIT"),
        message_id=_field(reader, "MESSAGE_ID"),
        target=_field(reader, "UNIT") if _field(reader, "_PID") == "1" else "",
        priority=int(priority) if priority in tuple("01234567") else 6,
        kernel_us=int(said_us) if said_us.isascii() and said_us.isdigit() and len(said_us) < 19 else 0,
        trusted=trusted,
    )


def _field(reader: Any, name: str) -> str:
    try:
        value = reader._get(name)
    except KeyError:
        return ""
    except OSError as error:
        if error.errno in (7, 74, 75):  # too large, or damaged: this field alone
            return ""
        raise
    return bytes(value)[:FIELD_BYTES_MAX].decode("utf-8", "replace") if isinstance(value, bytes) else ""
