# SPDX-License-Identifier: Apache-2.0
"""Which package of rpm a file is of, and which packages came lately, out of rpm's SQLite database (rpm 4.16 and newer),
read as it lies there.

Layout of a package's header: lib/header.c of rpm; two counts, an index of (tag, type, offset, count), big-endian, and
the data. What doesn't fit is no answer, and nothing raises.
"""

from __future__ import annotations

import posix
import sys
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

DATABASES = ("/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite")
CANDIDATES_MAX = 256
"""Packages that have a file of that name in some folder."""
HEADER_BYTES_MAX = 64 << 20
INSTALLED_MAX = 100_000
"""Packages of a system that are looked at."""

_COUNTS = Struct(">II")
_ENTRY = Struct(">iIiI")
_INDEX_MAX = 4096
_NAME, _VERSION, _RELEASE, _EPOCH, _FOLDER_OF, _FOLDERS = 1000, 1001, 1002, 1003, 1116, 1118
_INT32, _STRING, _STRINGS = 4, 6, 8


def owner(paths: list[str], databases: tuple[str, ...] = DATABASES) -> tuple[str, str] | None:
    """Name and version of the package that has one of `paths`, which are spellings of the same file."""
    for database in databases:
        opened = _opened(database)
        if opened is not None:
            try:
                return _owner(paths, opened)
            except opened.Error:
                return None
            finally:
                opened.close()
    return None


def installed_since(since_s: int, most: int, databases: tuple[str, ...] = DATABASES) -> list[tuple[int, str, str]]:
    """When, name and version of the packages that were installed or updated since, the oldest first; of more than
    `most` the newest. Which version was there before, and what was removed, rpm doesn't keep."""
    for database in databases:
        opened = _opened(database)
        if opened is not None:
            try:
                return _installed_since(opened, since_s, most)
            except opened.Error:
                return []
            finally:
                opened.close()
    return []


def _installed_since(opened: Connection, since_s: int, most: int) -> list[tuple[int, str, str]]:
    times: list[tuple[int, int]] = []
    for key, number in opened.execute("SELECT key, hnum FROM Installtid LIMIT ?", (INSTALLED_MAX,)):
        # the transaction's number is when it began, as the machine writes an integer
        if isinstance(key, bytes) and len(key) == 4 and isinstance(number, int):
            times.append((int.from_bytes(key, sys.byteorder), number))
    found: list[tuple[int, str, str]] = []
    for at_s, number in sorted([each for each in times if each[0] > since_s])[-most:]:
        for (blob,) in opened.execute("SELECT blob FROM Packages WHERE hnum = ?", (number,)):
            if isinstance(blob, bytes):
                header = _Header(blob)
                found.append((at_s, header.text(_NAME), header.version()))
    return found


def _opened(database: str) -> Connection | None:
    """None where it isn't there."""
    from sqlite3 import Error, connect

    try:
        posix.stat(database)
        # immutable: no lock is taken and no journal made, for which there are no rights
        return connect(f"file:{database.replace('%', '%25').replace('?', '%3f')}?mode=ro&immutable=1", uri=True)
    except (OSError, ValueError, Error):
        return None


def _owner(paths: list[str], opened: Connection) -> tuple[str, str] | None:
    for path in paths:
        folder, _, name = path.rpartition("/")
        found = opened.execute(
            "SELECT p.blob, b.idx FROM Basenames b JOIN Packages p ON p.hnum = b.hnum WHERE b.key = ? LIMIT ?",
            (name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), CANDIDATES_MAX),
        )
        for blob, index in found:
            if isinstance(blob, bytes) and isinstance(index, int):
                header = _Header(blob)
                if header.folder(index) == f"{folder}/".encode("utf-8", "surrogateescape"):
                    return header.text(_NAME), header.version()
    return None


class _Header:
    """One package's header."""

    __slots__ = ("_data", "_entries")

    def __init__(self, blob: bytes) -> None:
        self._entries: dict[int, tuple[int, int, int]] = {}
        self._data = b""
        if not _COUNTS.size <= len(blob) <= HEADER_BYTES_MAX:
            return
        count, size = _COUNTS.unpack_from(blob)
        start = _COUNTS.size + _ENTRY.size * count
        if count > _INDEX_MAX or start + size > len(blob):
            return
        self._data = blob[start : start + size]
        for tag, kind, offset, items in _ENTRY.iter_unpack(blob[_COUNTS.size : start]):
            if 0 <= offset <= size:
                self._entries.setdefault(tag, (kind, offset, items))

    def text(self, tag: int) -> str:
        """A string; empty where there is none."""
        kind, offset, _ = self._entries.get(tag, (0, 0, 0))
        return self._string(offset, 0).decode("utf-8", "replace") if kind == _STRING else ""

    def version(self) -> str:
        """As rpm writes it: [epoch:]version-release."""
        epoch = self._number(_EPOCH, 0)
        before = f"{epoch}:" if epoch is not None else ""
        return f"{before}{self.text(_VERSION)}-{self.text(_RELEASE)}"

    def folder(self, index: int) -> bytes:
        """Of the file with that number, with the slash at its end; empty where there is none."""
        number = self._number(_FOLDER_OF, index)
        kind, offset, count = self._entries.get(_FOLDERS, (0, 0, 0))
        return self._string(offset, number) if number is not None and kind == _STRINGS and number < count else b""

    def _number(self, tag: int, index: int) -> int | None:
        kind, offset, count = self._entries.get(tag, (0, 0, 0))
        at = offset + 4 * index
        if kind != _INT32 or not 0 <= index < count or at + 4 > len(self._data):
            return None
        return int.from_bytes(self._data[at : at + 4], "big")

    def _string(self, offset: int, number: int) -> bytes:
        for _ in range(number):
            offset = self._data.find(b"\0", offset) + 1
            if not offset:
                return b""
        end = self._data.find(b"\0", offset)
        return self._data[offset:end] if end >= 0 else b""
