# SPDX-License-Identifier: Apache-2.0
"""What the demo sends: facts of this machine, through the programs that a script would use.

Nothing of a record is made here: hprobe and telem-record-gen do that, and telemd's journal tells the ids.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from demo.system import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.system import System

JOURNAL_S = 15.0
"""For all of them to be in telemd's journal, which it writes about once a second."""

POLL_S = 0.1


class Sending(NamedTuple):
    """One call of a program."""

    program: str
    arguments: tuple[str, ...]
    source: tuple[str, ...] = ()
    """A command whose output is piped into it."""

    @property
    def text(self) -> str:
        """As one types it."""
        call = shlex.join([self.program, *self.arguments])
        return f"{shlex.join(self.source)} | {call}" if self.source else call

    def run(self, system: System) -> str:
        """The id of the record that telemd has on disk now, or "" where the program doesn't print it. DemoError."""
        stdin = b""
        if self.source:
            stdin = subprocess.run(self.source, capture_output=True, check=False).stdout
        if self.program != "telem-record-gen":
            system.run(self.program, self.arguments)
            return ""
        echo = system.run(self.program, [*self.arguments, "-o"], stdin).decode(errors="replace")
        return _echoed_id(echo)


def sendings() -> list[Sending]:
    """All, in their order; a file that this machine doesn't have is left out."""
    generate = "telem-record-gen"
    listed = [
        Sending("hprobe", ()),
        Sending("hprobe", ("-H",)),
        Sending("hprobe", ("-l", "-u")),
        Sending(generate, ("-c", "demo/kernel/version", "-s", "1"), ("uname", "-a")),
        Sending(generate, ("-c", "demo/system/release", "-s", "1", "-P", "/etc/os-release")),
        Sending(generate, ("-c", "demo/system/load", "-s", "2", "-P", "/proc/loadavg")),
        Sending(generate, ("-c", "demo/disk/space", "-s", "3"), ("df", "-h", "--output=avail", "/")),
        Sending(generate, ("-c", "demo/drill/alarm", "-s", "4", "-p", "a drill")),
    ]
    return [each for each in listed if "-P" not in each.arguments or Path(each.arguments[-1]).is_file()]


def _echoed_id(echo: str) -> str:
    """From the header that -o prints; the payload comes after a blank line."""
    for line in echo.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(": ")
        if name == "record_id":
            return value
    raise DemoError("telem-record-gen printed no record_id: it is of another version than the demo")


def accepted_ids(system: System, sent: Sequence[str]) -> list[str]:
    """The id of each record sent, in that order; "" is filled in from telemd's journal, which has the same order.

    DemoError where the journal and what was sent don't fit together.
    """
    end_s = time.monotonic() + JOURNAL_S
    while len(journal := _journal(system)) < len(sent):
        if time.monotonic() > end_s:
            raise DemoError(f"{len(sent)} records were sent and telemd's journal has {len(journal)}")
        time.sleep(POLL_S)
    if any(own not in ("", found) for own, found in zip(sent, journal, strict=False)) or len(journal) != len(sent):
        raise DemoError("telemd's journal has other records than were sent")
    return journal


def _journal(system: System) -> list[str]:
    """Record ids, oldest first."""
    listed: list[dict[str, str]] = json.loads(system.run("telemctl", ["journal", "--json"]))
    return [entry["record_id"] for entry in listed]
