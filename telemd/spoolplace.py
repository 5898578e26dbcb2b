# SPDX-License-Identifier: Apache-2.0
"""The spool's place on the disk: entered once the owner has opted in, watched, and made anew where somebody has deleted
it. Until there is one, records are refused and nothing is made.

Reads and writes no record; what the directory holds is the spool's.
"""

from __future__ import annotations

import logging

from telemd import machineid, optin
from telemd.disk import Disk, SpoolDirectoryError
from telemd.importer import Importer
from telemd.machineid import MachineIdError
from telemd.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings
    from telemd.identity import Identity
    from telemd.ledger import Ledger

log = logging.getLogger("telemd")

LOOK_MS: Final = 500


class SpoolPlace:
    """opted_in: the owner has, when it was looked at last. spool, importer: None until it was entered; the spool also
    between being lost and being made anew. due_ms: when look() is to be called next, monotonic."""

    __slots__ = ("_account", "_identity", "_not_opted_in", "_trouble", "due_ms", "importer", "opted_in", "spool")

    def __init__(self, identity: Identity, not_opted_in: str) -> None:
        """not_opted_in: the sentence for the log that says what it means and how to."""
        self._identity = identity
        self._not_opted_in = not_opted_in
        self._account: Ledger | None = None  # of a spool that was deleted, until there is another
        self._trouble = ""
        self.opted_in = False
        self.spool: Spool | None = None
        self.importer: Importer | None = None
        self.due_ms = 0

    def enter(self, settings: Settings, now_ms: int, now_us: int) -> bool:
        """Open the spool, if the owner has opted in and it isn't open; whether it was opened. MachineIdError, OSError
        or SpoolDirectoryError where it can't be."""
        self._ask_the_owner(settings, now_ms)
        return self._entered(settings, now_ms, now_us)

    def look(self, settings: Settings, now_ms: int, now_us: int) -> bool:
        """As enter(), while telemd runs: what is in the way is said once, and tried again at the next call."""
        before = self.opted_in
        self._ask_the_owner(settings, now_ms)
        if self.opted_in != before:
            log.warning("%s", "opted in: records are taken now" if self.opted_in else self._not_opted_in)
        try:
            return self._entered(settings, now_ms, now_us)
        except (MachineIdError, OSError, SpoolDirectoryError) as error:
            self._say_once(f"{error}; until then records are refused")
            return False

    def leave_lost(self, now_us: int) -> None:
        """Let go of a spool of which is_lost() was true. Its account goes on in the next one, and what it held counts
        as damaged."""
        if self.spool is not None:
            self._account = self.spool.let_go(now_us)
            self.spool = None

    def take_up(self, settings: Settings) -> None:
        """What of the settings holds for a spool that is open, and for what is left beside it."""
        if self.spool is not None:
            self.spool.cap.bytes = _cap_bytes(settings)
            self.spool.expiry_us = _expiry_us(settings)
        if self.importer is not None:
            self.importer.look_ms = _look_ms(settings)
            self.importer.due_ms = 0

    def close(self, now_us: int) -> None:
        """What was acknowledged is on disk when this returns."""
        if self.spool is not None:
            self.spool.close(now_us)
            self.spool = None

    def _ask_the_owner(self, settings: Settings, now_ms: int) -> None:
        self.due_ms = now_ms + LOOK_MS
        self.opted_in = optin.is_opted_in(settings)

    def _entered(self, settings: Settings, now_ms: int, now_us: int) -> bool:
        if not self.opted_in or self.spool is not None:
            return False
        self._identity.look(settings, now_ms, now_us)
        secret = machineid.load_secret(settings.state_dir)
        spool = self._opened(settings)
        if self._account is not None:
            spool.flush(now_us)
        self.importer = Importer(
            settings.spool_dir, lambda message: machineid.hmac_sha256(secret, message), _look_ms(settings)
        )
        self.spool = spool
        self._account = None
        self._trouble = ""
        return True

    def _opened(self, settings: Settings) -> Spool:
        disk = Disk(settings.spool_dir)
        try:
            return Spool(disk, _cap_bytes(settings), _expiry_us(settings), self._account)
        except BaseException:
            disk.close()  # its lock would be in the way of the next try
            raise

    def _say_once(self, sentence: str) -> None:
        if sentence != self._trouble:
            log.error("%s", sentence)
        self._trouble = sentence


def _cap_bytes(settings: Settings) -> int:
    return -1 if settings.spool_max_bytes is None else settings.spool_max_bytes


def _look_ms(settings: Settings) -> int:
    return settings.spool_process_time * 1000


def _expiry_us(settings: Settings) -> int:
    return settings.record_expiry * 60_000_000
