# SPDX-License-Identifier: Apache-2.0
"""The ledger's file: its two slots, and whether the disk knows what has happened since (docs/protocol.md, sections 4.2
and 4.3).

What the counters mean is the ledger's affair, and what may be removed once they are synced is the room's.
"""

from __future__ import annotations

import contextlib

from telemd import ledger, salvage
from telemd.faultpoint import reached
from telemd.ledger import SLOT_LEN, Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.disk import Disk

NAME: Final = "ledger"


class LedgerFile:
    """account: what it tells, as it is now. changed: not all of that is on disk. owes: what was evicted, purged, moved
    or expired stands in no slot yet, and a killed telemd would find it again. was_readable: a former start had left a
    good slot."""

    __slots__ = ("_disk", "_fd", "account", "changed", "owes", "was_readable")

    def __init__(self, disk: Disk) -> None:
        """Open it, or make it. OSError."""
        self._disk = disk
        self.changed = True
        self.owes = False
        try:
            self._fd = disk.open(NAME)
        except FileNotFoundError:
            self._fd = disk.create(NAME, 2 * SLOT_LEN)
            disk.sync_directory()
            found = None
        else:
            found = self._read()
        self.was_readable = found is not None
        self.account = found or Ledger()

    def _read(self) -> Ledger | None:
        data = salvage.read(self._disk, self._fd, 0, 2 * SLOT_LEN)
        found = ledger.parse(data)
        if found is not None:
            self._make_durable(data, ledger.slot_offset(found.generation))
        return found

    def _make_durable(self, data: bytes, offset: int) -> None:
        """What was read may stand in the page cache alone, if its sync failed and telemd was killed then. The same
        bytes once more can't be torn. Where the disk still doesn't take them, the next commit says so."""
        with contextlib.suppress(OSError):
            self._disk.write(self._fd, data[offset : offset + SLOT_LEN], offset)
            self._disk.sync(self._fd)

    def owe(self) -> None:
        """Something was evicted, purged or moved, or it expired: nothing behind it may be sent before commit()."""
        self.changed = self.owes = True

    def commit(self, now_us: int) -> None:
        """Write and sync the account, if it changed. OSError: the next try is at the same slot, for the other one is
        the last that is good."""
        if not self.changed:
            return
        self.account.generation += 1
        reached("ledger-due")
        try:
            self._write(self._fd, now_us)
            reached("ledger-written")
            self._disk.sync(self._fd)
            reached("ledger-synced")
        except OSError:
            self.account.generation -= 1
            raise
        self.changed = self.owes = False

    def try_to_write(self, now_us: int) -> None:
        """Whether it can be written, without a sync: the next commit writes the same slot once more. OSError where it
        can't."""
        self.account.generation += 1
        try:
            self._write(self._fd, now_us)
        finally:
            self.account.generation -= 1

    def make_anew(self, now_us: int) -> None:
        """The same account in a new file, in place of one that somebody deleted. OSError, also where there is one."""
        fd = self._disk.create(NAME, 2 * SLOT_LEN)
        self._write(fd, now_us)
        self._disk.close_file(fd)
        self._disk.sync_directory()

    def is_deleted(self) -> bool:
        """It has no name any more."""
        return self._disk.is_deleted(self._fd)

    def close(self) -> None:
        """Let go of its descriptor; nothing is written."""
        self._disk.close_file(self._fd)

    def _write(self, fd: int, now_us: int) -> None:
        self._disk.write(fd, self.account.pack(now_us), ledger.slot_offset(self.account.generation))
