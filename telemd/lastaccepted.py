# SPDX-License-Identifier: Apache-2.0
"""The records accepted last, for people to look at: their lines in the journal, and their copies where the owner wants
some.

For looking at only: where it can't be written that is said, and telemd goes on.
"""

from __future__ import annotations

import logging

from telemd import journalfile, recordcopies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.config import Settings
    from telemd.inbound import Inbound

log = logging.getLogger("telemd")


class LastAccepted:
    """Of one way in."""

    __slots__ = ("_inbound", "_marks")

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._marks = 0

    def write(self, settings: Settings) -> None:
        """What came since the last time."""
        self._marks, marks = self._inbound.intake.marks(self._marks)
        if not marks:
            return
        log_dir, copies = settings.log_dir, self._inbound.copies
        try:
            journalfile.append(log_dir, marks)
            if copies is not None:
                copies.write(settings.records_dir)
            recordcopies.prune(settings.records_dir, lambda: {entry.record_id for entry in journalfile.read(log_dir)})
        except OSError as error:
            log.warning(
                "the journal of records, or their copies, in %s can't be written (%s), ignoring",
                log_dir,
                error.strerror,
            )
