# SPDX-License-Identifier: Apache-2.0
"""The crash reports that crashprobe sent last and keeps for the owner, in telemd's state directory.

telemctl reads them as root, and a user with fewer rights wrote them: only a plain small file of the directory's own
owner is read, and what a record says is text for a screen and nothing else. Reads only.
"""

from __future__ import annotations

import json
import os

from libtelemetry import wire
from libtelemetry.errors import RecordError
from telemd.folder import File, Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from libtelemetry.wire import DecodedRecord

NAMES: Final = tuple(f"crash-last-{at}" for at in range(8))
"""As crashprobe has it (telemetry_probes/crash/lastreports.py)."""
NEW_NAME: Final = "crash-last-new"
"""What it is writing, or died of writing."""


class Kept:
    """One report. program is its path or its name, "" where the report doesn't tell; seconds since 1970."""

    __slots__ = ("classification", "payload", "process", "program", "record_id", "timestamp_s")

    def __init__(self, record: DecodedRecord) -> None:
        self.record_id = record.record_id.hex()
        self.timestamp_s = record.created_us // 1_000_000
        self.classification = record.classification
        self.payload = record.payload
        said = _said(record.payload)
        self.process = _text(said, "process")
        self.program = _text(said, "executable") or self.process

    def is_of(self, program: str) -> bool:
        """By its path, the end of that, or the name of the process."""
        return program in (self.program, self.program.rpartition("/")[2], self.process)


def read(state_dir: str, classes: str) -> list[Kept]:
    """Those whose class begins with `classes`, the latest first; what isn't a report, or can't be read, is none."""
    found: list[DecodedRecord] = []
    try:
        with Folder(os.path.realpath(state_dir)) as place:
            owner = place.status().st_uid
            for name in NAMES:
                file = place.read(name, (owner,), wire.RECORD_MAX, 0)
                if isinstance(file, File):
                    found += _decoded(file)
    except OSError:
        return []
    found.sort(key=lambda each: -each.created_us)  # not by the second: a program that crashes in a loop has more in one
    return [Kept(each) for each in found if each.classification.startswith(classes)]


def _decoded(file: File) -> list[DecodedRecord]:
    try:
        return [wire.decode(file.data)]
    except RecordError:
        return []


def _said(payload: bytes) -> object:
    """The line of JSON."""
    try:
        return json.loads(payload.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None


def _text(said: object, name: str) -> str:
    found = said.get(name) if isinstance(said, dict) else None
    return found if isinstance(found, str) else ""
