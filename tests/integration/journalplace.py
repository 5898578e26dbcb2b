# SPDX-License-Identifier: Apache-2.0
"""A machine with a telemd, a hub and a journal, and what journalprobe brings from the one to the other."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from journalsource import Journal, read_once
from running import Root, Telemd, running, state_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubprocess import HubProcess

STATE = "var/lib/telemetry-journal"
AGO_S = 20.0
"""A failure so long ago is told at once: its unit has been quiet since."""
CLASS = "org.clearlinux/journal/error"


def fields(record: dict[str, Any]) -> dict[str, Any]:
    """The JSON line of a payload."""
    found: dict[str, Any] = json.loads(record["payload"].partition("\n")[0])
    return found


class Place:
    """A machine with a hub and a journal."""

    def __init__(self, root: Root, telemd: Telemd, hub: HubProcess, journal: Journal) -> None:
        self.root = root
        self.telemd = telemd
        self.hub = hub
        self.journal = journal

    def arrived(self) -> list[dict[str, Any]]:
        """All of the journal at the hub, once nothing waits any more, in the order of what they tell of."""
        self.telemd.wait_delivered()
        found = self.hub.records(machine=self.telemd.status()["machine_id"])
        return sorted(found, key=lambda record: record["created_us"])

    def read(self) -> list[dict[str, Any]]:
        """What is there when the probe has read to the end."""
        assert read_once(self.root, self.journal) == ""
        return self.arrived()

    def lift(self) -> None:
        """The owner lifts the privacy filters."""
        self.root.opt_in_file.with_name("opt-in-no-privacy-filters").touch()


@contextlib.contextmanager
def a_place(folder: Path, hub: HubProcess) -> Iterator[Place]:
    """All of it, running."""
    journal = Journal(folder / "journal")
    with state_root(server=hub.url) as root:
        root.name(os.urandom(16).hex())  # one of its own on a hub that others share, and it doesn't change meanwhile
        with running(root) as telemd:
            yield Place(root, telemd, hub, journal)
