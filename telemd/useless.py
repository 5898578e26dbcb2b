# SPDX-License-Identifier: Apache-2.0
"""Files in the spool that look like segments and are of no use: removed, and tried again where that fails, since they
take the room of others.

What a power cut leaves of one that was being made is not worth keeping: no byte, or a file that was evicted under
another name. Anything else that has a byte goes to quarantine, for somebody to look at.
"""

from __future__ import annotations

from telemd import salvage
from telemd.quarantine import FILE_BYTES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.disk import Disk
    from telemd.quarantine import Quarantine

NO_HEADER: Final = "has no usable header"
NEVER_BEGUN: Final = "has the header of another"


class Useless:
    """One such file. bytes: that it takes, once that is known. what: a sentence's end, that says what is wrong with
    it."""

    __slots__ = ("bytes", "name", "what")

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        self.what = what
        self.bytes = 0

    def remove(self, disk: Disk, quarantine: Quarantine) -> tuple[bool, str]:
        """Has it gone? And a sentence for the log, "" for none."""
        try:
            fd = disk.open(self.name)
            try:
                data = salvage.read(disk, fd, 0, FILE_BYTES_MAX)
            finally:
                disk.close_file(fd)
            disk.unlink(self.name)
        except FileNotFoundError:
            return True, ""  # somebody else was quicker
        except OSError as error:
            return False, f"{self.name} in the spool {self.what} and can't be removed ({error.strerror}), ignoring"
        if not data.strip(b"\0"):
            return True, ""
        kept = self.what != NEVER_BEGUN and quarantine.keep(self.name, data)
        return True, f"{self.name} in the spool {self.what}: {'moved to quarantine/' if kept else 'removed'}"
