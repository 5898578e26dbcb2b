# SPDX-License-Identifier: Apache-2.0
"""The journal as sd-journal(3) reads it: entries that match, from a place on, and only the fields that are asked for.

A field may have 768 MB. The library gives one that it has compressed no further than FIELD_BYTES_MAX, but any other as
a whole: what is longer than all the memory that the probe allows itself is told as TOO_LONG. What can't be read in a
damaged file counts as not there. What an entry means must never come in here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

FIELD_BYTES_MAX = 65_536
MEMORY_MAX = 48 << 20
"""Bytes of the process's own data; the journal's files, which are mapped, don't count (setrlimit(2), RLIMIT_DATA)."""
TOO_LONG = b"(too long to be read)"
_LOCAL, _ANY = 1, 0  # SD_JOURNAL_LOCAL_ONLY; a directory takes no flags


class NoJournal(Exception):
    """Why there is no journal to read, as a sentence."""


class Entry:
    """One entry. `number`: of those that this source has read; `monotonic_us` since the boot `boot`, 32 hexadecimal
    digits; `cursor` names it among all entries of all machines."""

    __slots__ = ("_fields", "boot", "cursor", "monotonic_us", "number", "realtime_us")

    def __init__(
        self, number: int, cursor: str, realtime_us: int, monotonic_us: int, boot: str, fields: dict[str, bytes]
    ) -> None:  # fmt: skip
        self.number = number
        self.cursor = cursor
        self.realtime_us = realtime_us
        self.monotonic_us = monotonic_us
        self.boot = boot
        self._fields = fields

    def text(self, name: str) -> str:
        """A field, empty where it isn't there. Hostile: any length up to FIELD_BYTES_MAX, any character."""
        return self._fields.get(name, b"").decode("utf-8", "replace")

    def raw(self, name: str) -> bytes:
        """The same as it was written."""
        return self._fields.get(name, b"")

    def count(self, name: str) -> int | None:
        """A field that is a number of at most nine digits; None for anything else."""
        digits = self._fields.get(name, b"")
        return int(digits) if digits.isdigit() and len(digits) <= 9 else None


def limit_memory() -> None:
    """For this process, from now on. In the unit's sandbox systemd does it (LimitDATA=), and nobody else may."""
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX, MEMORY_MAX))
    except (OSError, ValueError):
        return


def last_boot(directory: str) -> str:
    """That of the latest entry; empty where there is none. In a container, where systemd makes itself an id for each
    boot, a service's /proc may have the host's. NoJournal."""
    source = Source(directory, ())
    try:
        source.seek_tail()
        last = source.back(1)
        return "" if last is None else last.boot
    finally:
        source.close()


class Source:
    """The journal of this machine, or files in a directory."""

    __slots__ = ("_read", "_reader", "directory")

    def __init__(self, directory: str, groups: Sequence[Sequence[str]]) -> None:
        """`directory`: "" for the machine's own. `groups`: see trusted. NoJournal."""
        try:
            # The part in C alone: systemd.journal loads logging, uuid and datetime for 3 MB.
            from systemd._reader import _Reader
        except ImportError:
            raise NoJournal(
                "python-systemd is missing: install python3-systemd (in a virtual environment: systemd-python)"
            ) from None
        self.directory = directory
        self._read = 0
        try:
            self._reader: Any = _Reader(_ANY, directory) if directory else _Reader(_LOCAL)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise NoJournal(f"{directory or 'the journal'} can't be opened ({why})") from None
        self._reader.data_threshold = FIELD_BYTES_MAX
        self.match(groups)

    @property
    def fd(self) -> int:
        """To poll. OSError."""
        fd: int = self._reader.fileno()
        return fd

    @property
    def look_again_ms(self) -> int:
        """When to look without being told, where the files are on a network; -1 where the descriptor tells all."""
        again_ms: int = self._reader.get_timeout_ms()
        return again_ms

    @property
    def is_closed_to_us(self) -> bool:
        """No file of the machine's own may be read, or there is none."""
        return not self.directory and not (self._reader.has_persistent_files() or self._reader.has_runtime_files())

    def match(self, groups: Sequence[Sequence[str]]) -> None:
        """From now on only these."""
        self._reader.flush_matches()
        for at, group in enumerate(groups):
            if at:
                self._reader.add_disjunction()
            for match in group:
                self._reader.add_match(match)

    def close(self) -> None:
        """No longer needed."""
        self._reader.close()

    # -- where --

    def seek_cursor(self, cursor: str) -> bool:
        """The entry that is read next is that one, or the one that came after it. False where this is no cursor."""
        try:
            self._reader.seek_cursor(cursor)
        except (OSError, ValueError):
            return False
        return True

    def is_at(self, cursor: str) -> bool:
        """Is this the entry that was read last?"""
        try:
            return bool(self._reader.test_cursor(cursor))
        except (OSError, ValueError):
            return False

    def seek_head(self) -> None:
        """The first entry there is."""
        self._reader.seek_head()

    def seek_boot(self, boot: str) -> None:
        """The first one of that boot."""
        try:
            self._reader.seek_monotonic(0, boot)
        except (OSError, ValueError):
            self._reader.seek_head()

    def seek_time(self, realtime_us: int) -> None:
        """The first one from then on."""
        self._reader.seek_realtime(realtime_us)

    def seek_tail(self) -> None:
        """Behind the last one."""
        self._reader.seek_tail()

    # -- reading --

    def next(self, fields: Sequence[str]) -> Entry | None:
        """None where there is no further one now."""
        return self._moved(self._reader._next, 1, fields)

    def back(self, count: int, fields: Sequence[str] = ()) -> Entry | None:
        """The entry so many before, or the first one; None where none is before."""
        return self._moved(self._reader._previous, count, fields)

    def changed(self) -> None:
        """Take notice of what the descriptor told: new entries, files that came or went."""
        try:
            self._reader.process()
        except (OSError, ValueError):
            return  # what can't be looked at now may be there the next time

    def _moved(self, move: Any, count: int, fields: Sequence[str]) -> Entry | None:
        try:
            if not move(count):
                return None
            cursor = self._reader._get_cursor()
            realtime_us = self._reader._get_realtime()
            monotonic_us, boot = self._reader._get_monotonic()
        except (OSError, ValueError):
            return None
        self._read += 1
        found = {name: value for name in fields if (value := self._field(name)) is not None}
        return Entry(self._read, cursor, realtime_us, monotonic_us, boot.hex(), found)

    def _field(self, name: str) -> bytes | None:
        try:
            value: bytes = self._reader._get(name)
        except MemoryError:
            return TOO_LONG
        except (KeyError, OSError, ValueError):
            return None
        return value[:FIELD_BYTES_MAX]
