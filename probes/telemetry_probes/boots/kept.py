# SPDX-License-Identifier: Apache-2.0
"""What bootprobe keeps of a boot for the next one, and the records that telemd has not taken yet.

Small files of JSON in the probes' own directory. One that is damaged counts as not there.
"""

from __future__ import annotations

import posix

from telemetry_probes import ownstate
from telemetry_probes.boots import marks
from telemetry_probes.crash import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "boot-last"
WAITING = "boot-waiting."
"""And the id of the boot that the record is of."""
WAITING_MAX = 8
"""Boots whose records wait; of more the oldest are dropped."""
TEXT_CHARS_MAX = 256
WORDS_MAX = 64


class Kept:
    """`boot`: the id of the boot that has been told of, empty where there is none; `told_s`: up to when changes of
    packages have been told; `release` and `build` of its kernel; `line_hash` and `words` of the command line."""

    __slots__ = ("boot", "build", "line_hash", "release", "told_s", "words")

    def __init__(self) -> None:
        self.boot = ""
        self.told_s = 0
        self.release = ""
        self.build = ""
        self.line_hash = ""
        self.words: list[str] = []


class Waiting:
    """A record that is to be sent: its parts, and `payload` as a JSON object. `timed`: the boot's timing is in it, or
    never will be."""

    __slots__ = ("boot", "created_us", "event_id", "payload", "severity", "timed")

    def __init__(
        self, boot: str, event_id: bytes, severity: int, created_us: int, timed: bool, payload: dict[str, Any]
    ) -> None:
        self.boot = boot
        self.event_id = event_id
        self.severity = severity
        self.created_us = created_us
        self.timed = timed
        self.payload = payload


def read(folder: str) -> Kept:
    """What the last run kept; empty values where it is not there, or damaged."""
    found = Kept()
    fields = _object(ownstate.kept(folder, NAME))
    for name in ("boot", "release", "build", "line_hash"):
        value = fields.get(name)
        if isinstance(value, str) and len(value) <= TEXT_CHARS_MAX:
            setattr(found, name, value)
    told_s, words = fields.get("told_s"), fields.get("words")
    if isinstance(told_s, int) and 0 <= told_s < 1 << 40:
        found.told_s = told_s
    if isinstance(words, list):
        found.words = [word for word in words[:WORDS_MAX] if isinstance(word, str)]
    return found


def keep(folder: str, kept: Kept) -> None:
    """On disk when this returns. OSError."""
    fields = {name: getattr(kept, name) for name in kept.__slots__}
    ownstate.keep(folder, NAME, jsontext.write(fields).encode() + b"\n")


def waiting(folder: str) -> list[Waiting]:
    """Those that wait, the oldest first; what is damaged is removed."""
    found: list[Waiting] = []
    for name in sorted(posix.listdir(folder)):
        if not name.startswith(WAITING):
            continue
        one = _waiting(name.removeprefix(WAITING), _object(ownstate.kept(folder, name)))
        if one is None:
            remove(folder, name.removeprefix(WAITING))
        else:
            found.append(one)
    found.sort(key=lambda one: one.created_us)
    for one in found[:-WAITING_MAX]:
        remove(folder, one.boot)
    return found[-WAITING_MAX:]


def keep_waiting(folder: str, one: Waiting) -> None:
    """On disk when this returns. OSError."""
    text = jsontext.write(
        {
            "event_id": one.event_id.hex(),
            "severity": one.severity,
            "created_us": one.created_us,
            "timed": one.timed,
            "payload": one.payload,
        }
    )
    ownstate.keep(folder, f"{WAITING}{one.boot}", text.encode() + b"\n")


def remove(folder: str, boot: str) -> None:
    """Nothing of it waits any more."""
    try:
        posix.unlink(f"{folder}/{WAITING}{boot}")
    except OSError:
        pass  # sent again it has the same id


def forget(folder: str) -> None:
    """Nothing is known of any boot any more."""
    for one in waiting(folder):
        remove(folder, one.boot)
    for name in (NAME, marks.NAME):
        try:
            posix.unlink(f"{folder}/{name}")
        except OSError:
            continue


def _waiting(boot: str, fields: dict[str, Any]) -> Waiting | None:
    severity, created_us, payload = fields.get("severity"), fields.get("created_us"), fields.get("payload")
    try:
        event_id = bytes.fromhex(str(fields.get("event_id")))
    except ValueError:
        return None
    if severity not in (1, 2, 3, 4) or not isinstance(created_us, int) or not 0 <= created_us < 1 << 63:
        return None
    if len(event_id) != 16 or not isinstance(payload, dict):
        return None
    return Waiting(boot, event_id, severity, created_us, fields.get("timed") is True, payload)


def _object(content: bytes) -> dict[str, Any]:
    if not content:
        return {}
    from json import loads

    try:
        found = loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
