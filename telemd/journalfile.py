# SPDX-License-Identifier: Apache-2.0
"""The journal: a short text file of the records accepted last, for people and for telemctl.

One line a record: id, time, classification, event id and boot id, separated by RS (0x1e). It is for looking at: nothing
may be decided by what it says, and no payload stands in it.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from telemd.intake import Mark

NAME: Final = "journal"
"""In the log directory."""

NEW_NAME: Final = "journal.new"
"""What is written before it takes the journal's place."""

LINES_MAX: Final = 150
"""With more lines than that the oldest go."""

LINES_KEPT: Final = 100
"""And so many stay."""

BYTES_MAX: Final = 256 * 1024
"""The last bytes of the file, the only ones that are read; 150 lines take at most 40 KiB."""

TIMESTAMP_DIGITS_MAX: Final = 13
"""Of the latest creation time that a record can have, 2**63 - 1 microseconds."""

BOOT_ID_FILE: Final = "/proc/sys/kernel/random/boot_id"

_RS: Final = "\x1e"
_HEX: Final = frozenset("0123456789abcdef")


class Entry:
    """One line. Ids are hex digits in lower case, the boot id with hyphens; timestamp_s: seconds since 1970."""

    __slots__ = ("boot_id", "classification", "event_id", "record_id", "timestamp_s")

    def __init__(self, record_id: str, timestamp_s: int, classification: str, event_id: str, boot_id: str) -> None:
        self.record_id = record_id
        self.timestamp_s = timestamp_s
        self.classification = classification
        self.event_id = event_id
        self.boot_id = boot_id

    def fields(self) -> tuple[str, int, str, str, str]:
        """In the order of the line."""
        return self.record_id, self.timestamp_s, self.classification, self.event_id, self.boot_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def __repr__(self) -> str:
        return f"Entry{self.fields()!r}"


# ---- the format, pure -----------------------------------------------------------------------------------------------


def encode(entry: Entry) -> str:
    """Its line, with the newline."""
    return _RS.join(str(field) for field in entry.fields()) + "\n"


def parse_line(line: str) -> Entry | None:
    """None for a line that isn't one of ours: cut short, or with anything in it that a terminal would act on."""
    fields = line.split(_RS)
    if len(fields) != 5 or not all(field.isascii() and field.isprintable() for field in fields):
        return None
    record_id, timestamp, classification, event_id, boot_id = fields
    if not timestamp.isdigit() or len(timestamp) > TIMESTAMP_DIGITS_MAX or len(classification) > 122:
        return None
    if not (_is_id(record_id) and _is_id(event_id) and _is_id(boot_id.replace("-", ""))):
        return None
    return Entry(record_id, int(timestamp), classification, event_id, boot_id)


def parse(text: str) -> list[Entry]:
    """Oldest first; lines that aren't ours are left out."""
    entries = (parse_line(line) for line in text.split("\n"))
    return [entry for entry in entries if entry is not None]


def pruned(lines: Sequence[bytes]) -> Sequence[bytes]:
    """All, or the newest LINES_KEPT where there are more than LINES_MAX."""
    return lines if len(lines) <= LINES_MAX else lines[-LINES_KEPT:]


def _is_id(text: str) -> bool:
    return len(text) == 32 and set(text) <= _HEX


# ---- the file -------------------------------------------------------------------------------------------------------


def read(log_dir: str) -> list[Entry]:
    """Oldest first; nothing where there is no journal. OSError where it can't be read."""
    lines, _ = _read_lines(f"{log_dir}/{NAME}")
    return parse(b"".join(lines).decode("utf-8", "replace"))


def append(log_dir: str, marks: Iterable[Mark]) -> None:
    """Add what telemd has just accepted; OSError where it can't be written.

    Not synced: after a power cut its end may be missing, and the spool is what counts.
    """
    boot_id = current_boot_id()
    new = [
        encode(
            Entry(mark.record_id.hex(), mark.created_us // 1_000_000, mark.classification, mark.event_id.hex(), boot_id)
        ).encode()
        for mark in marks
    ]
    if new:
        append_lines(log_dir, new)


def append_lines(log_dir: str, new: Sequence[bytes]) -> None:
    """Add whole lines. In place while there is room; else the newest replace the file in one step."""
    os.makedirs(log_dir, 0o755, exist_ok=True)
    path = f"{log_dir}/{NAME}"
    try:
        before, in_order = _read_lines(path)
    except OSError:
        before, in_order = [], False  # a symbolic link or no file at all: it is replaced, never written to
    lines = [*before, *new]
    kept = pruned(lines)
    if in_order and len(kept) == len(lines):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        _write(os.open(path, flags, 0o640), b"".join(new))
        return
    temporary = f"{log_dir}/{NEW_NAME}"
    try:
        os.unlink(temporary)
    except FileNotFoundError:
        pass  # the usual case: none was left behind by a kill
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    _write(os.open(temporary, flags, 0o640), b"".join(line for line in kept if line.endswith(b"\n")))
    os.rename(temporary, path)


def current_boot_id() -> str:
    """Of the kernel that runs."""
    try:
        fd = os.open(BOOT_ID_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "0" * 32  # no /proc: the rest of the line is still worth having
    try:
        return os.read(fd, 64).decode("ascii", "replace").strip()
    finally:
        os.close(fd)


def _read_lines(path: str) -> tuple[list[bytes], bool]:
    """The last lines, and whether they are all there is and the last one is complete."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return [], True
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(22, "it is not a regular file", path)
        begin = max(0, status.st_size - BYTES_MAX)
        data = b""
        while len(data) < BYTES_MAX and (piece := os.pread(fd, BYTES_MAX - len(data), begin + len(data))):
            data += piece
    finally:
        os.close(fd)
    lines = data.splitlines(keepends=True)
    if begin:
        return lines[1:], False
    return lines, data[-1:] in (b"", b"\n")


def _write(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
