# SPDX-License-Identifier: Apache-2.0
"""What this machine knows of the crashes it saw: what crashprobe counted, the reports in telemd's journal, and those
that are kept.

Reads only; how it looks is the verbs' affair.
"""

from __future__ import annotations

import base64
import json
from itertools import accumulate

from telemd import controlclient, journalfile
from telemd.ctl import corepattern, lastcrashes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call
    from telemd.ctl.lastcrashes import Kept

CLASSES: Final = "org.clearlinux/crash/"
COUNTED_S: Final = 10.0
"""For crashprobe to list what it counted."""
LINES_MAX: Final = 1024

PROGRAM, FAULT = "program", "fault"


class Counted:
    """One program of one user, or one fault of it (name is its fingerprint then). Seconds since 1970."""

    __slots__ = ("first_s", "kind", "last_s", "name", "not_reported", "seen", "uid")

    def __init__(self, kind: str, name: str, uid: int, first_s: int, last_s: int, seen: int, not_reported: int) -> None:
        self.kind = kind
        self.name = name
        self.uid = uid
        self.first_s = first_s
        self.last_s = last_s
        self.seen = seen
        self.not_reported = not_reported

    def object(self) -> dict[str, object]:
        """For --json."""
        return {name: getattr(self, name) for name in ("name", "uid", "first_s", "last_s", "seen", "not_reported")}


def counted(call: Call) -> list[Counted] | str:
    """The latest first; a sentence where crashprobe can't be asked."""
    from subprocess import DEVNULL, SubprocessError, run

    program = corepattern.program()
    if program is None:
        return "there is no crashprobe beside telemctl or on PATH: install telemetrics as a whole"
    command = [program, "--list"] if call.config_file is None else [program, "-f", call.config_file, "--list"]
    try:
        done = run(command, stdin=DEVNULL, capture_output=True, timeout=COUNTED_S, check=False)
    except (OSError, SubprocessError) as error:
        return f"{program} can't be asked: {getattr(error, 'strerror', '') or 'it took too long'}"
    if done.returncode != 0:
        return done.stderr.decode("utf-8", "replace").strip() or f"{program} failed with {done.returncode}"
    lines = done.stdout.decode("utf-8", "replace").splitlines()[:LINES_MAX]
    return [each for each in map(_counted, lines) if each is not None]


class Reported:
    """A report that was made. Seconds since 1970; kept is None where it isn't on this machine as crashprobe sent it."""

    __slots__ = ("classification", "kept", "record_id", "timestamp_s")

    def __init__(self, record_id: str, timestamp_s: int, classification: str, kept: Kept | None) -> None:
        self.record_id = record_id
        self.timestamp_s = timestamp_s
        self.classification = classification
        self.kept = kept

    @property
    def program(self) -> str:
        """ "" where that isn't known any more."""
        return self.kept.program if self.kept is not None else ""

    def object(self) -> dict[str, object]:
        """For --json."""
        return {
            "record_id": self.record_id,
            "timestamp_s": self.timestamp_s,
            "classification": self.classification,
            "program": self.program,
            "kept": self.kept is not None,
        }


def reports(call: Call) -> list[Reported]:
    """Of the journal, which forgets where much else is reported, and those that are kept; the latest first. OSError.

    Whoever sends a record says when it was made. None is later than those that telemd took after it: else one from the
    year 3000 would be the latest for ever.
    """
    controlclient.ask(call.settings.control_socket_path, "journal")  # it writes about once a second
    kept = {each.record_id: each for each in lastcrashes.read(call.settings.state_dir, CLASSES)}
    taken = [
        each for each in reversed(journalfile.read(call.settings.log_dir)) if each.classification.startswith(CLASSES)
    ]
    found = [
        (at_s, Reported(each.record_id, each.timestamp_s, each.classification, kept.pop(each.record_id, None)))
        for at_s, each in zip(accumulate((each.timestamp_s for each in taken), min), taken, strict=True)
    ]
    found += [
        (each.timestamp_s, Reported(each.record_id, each.timestamp_s, each.classification, each))
        for each in kept.values()
    ]
    return [each for _, each in sorted(found, key=lambda one: -one[0])]


def payload(record: Mapping[str, object]) -> bytes:
    """Of a record that telemd describes, as far as it is told."""
    encoded = record.get("payload_base64")
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "")
    except ValueError:
        return b""


def _counted(line: str) -> Counted | None:
    try:
        found = json.loads(line)
        numbers = [found[name] for name in ("uid", "first_s", "last_s", "seen", "not_reported")]
        texts = [found[name] for name in ("kind", "name")]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not all(type(each) is int for each in numbers) or not all(type(each) is str for each in texts):
        return None
    return Counted(texts[0], texts[1], *numbers)
