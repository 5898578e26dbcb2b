# SPDX-License-Identifier: Apache-2.0
"""Who this machine is on the records of the moment: its machine id and host facts, looked at again when they may have
changed: by an update, a new kernel's name, the rotation of the id.

Makes neither of them, and keeps none but the last.
"""

from __future__ import annotations

import logging

import libtelemetry
from telemd import machineid
from telemd.machineid import MachineIdError
from telemd.segment import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings
    from telemd.intake import Intake

log = logging.getLogger("telemd")

LOOK_MS: Final = 3_600_000


class Identity:
    """host: None until look() was called. named: its id is a lasting one. due_ms: when look() is to be called next,
    monotonic."""

    __slots__ = ("_intake", "_trouble", "due_ms", "host", "named")

    def __init__(self, intake: Intake) -> None:
        """intake: builds each record with the host's facts."""
        self._intake = intake
        self._trouble = ""
        self.host: Host | None = None
        self.named = False
        self.due_ms = 0

    def look(self, settings: Settings, now_ms: int, now_us: int) -> Host:
        """The host as it is now. Where its id can't be had the last one stays, and that is said once; MachineIdError or
        OSError where there is no last one."""
        self.due_ms = now_ms + LOOK_MS
        now_s = now_us / 1_000_000
        facts = libtelemetry.host_facts()
        self._intake.set_facts(facts)
        try:
            current = machineid.current(settings, now_s)
        except (MachineIdError, OSError) as error:
            if self.host is None:
                raise
            sentence = f"{error}; the machine id stays as it is until then"
            if sentence != self._trouble:
                log.error("%s", sentence)
            self._trouble = sentence
            return self.host
        for warning in current.warnings:
            log.warning("%s", warning)
        self.host = Host(bytes.fromhex(current.machine_id), facts)
        self.named = current.static
        self.due_ms = now_ms + max(1000, min(LOOK_MS, int((current.valid_until_s - now_s) * 1000)))
        return self.host
