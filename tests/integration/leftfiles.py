# SPDX-License-Identifier: Apache-2.0
"""Files as telemetrics-client left them in its spool, and as a probe leaves them in the drop directory: written here a
second time, by their description in docs/. Nothing of the product is imported here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from records import record

if TYPE_CHECKING:
    from pathlib import Path

CLASSIFICATION = "org.test/old/record"
HEADER = (
    "record_format_version: 4\nclassification: {classification}\nseverity: 2\nmachine_id: FFFFFFFF\n"
    "creation_timestamp: {created_s}\narch: x86_64\nhost_type: A|B|C\nbuild: 1.2\nkernel_version: 4.19.0-old\n"
    "payload_format_version: 3\nsystem_name: old\nboard_name: b|c\ncpu_model: A CPU @ 1.0 GHz\nbios_version: 1\n"
    "event_id: {event_id}\n"
)


def old_record(payload: str, created_s: int = 1_600_000_000, config: str = "", classification: str = CLASSIFICATION,
               event_id: str = "00112233445566778899aabbccddeeff") -> bytes:  # fmt: skip
    """The content of one file of the original's spool."""
    first = f"CFG:{config}\n" if config else ""
    header = HEADER.format(classification=classification, created_s=created_s, event_id=event_id)
    return (first + header + payload).encode()


def left(directory: Path, name: str, content: bytes, mtime_s: float, mode: int = 0o600) -> Path:
    """A file with that time."""
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, (mtime_s, mtime_s))
    return path


def dropped(
    drop: Path,
    number: int,
    name: str = "",
    *,
    payload: bytes = b"x" * 100,
    classification: bytes = b"org.test/unit/record",
    flags: int = 0,
) -> Path:
    """A record left in the drop directory, as docs/protocol.md asks for: written aside, synced, renamed."""
    drop.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = drop / f".{number}"
    with unfinished.open("wb") as file:
        file.write(record(number, payload, classification, flags=flags))
        file.flush()
        os.fsync(file.fileno())
    return unfinished.rename(drop / (name or f"{number}.rec"))
