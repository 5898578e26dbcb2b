# SPDX-License-Identifier: Apache-2.0
"""What is damaged, or not to be sent by any means, is kept for a look in the spool's folder quarantine/, within limits.

Nothing in here is ever read again by telemd; what no longer fits is not kept.
"""

from __future__ import annotations

from telemd.faultpoint import reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from telemd.disk import Disk

FILES_MAX: Final = 64
FILE_BYTES_MAX: Final = 256 * 1024


class Quarantine:
    """room says how many bytes more the spool can spare."""

    __slots__ = ("_disk", "_room", "bytes")

    def __init__(self, disk: Disk, room: Callable[[], int]) -> None:
        self._disk = disk
        self._room = room
        self.bytes = disk.folder_bytes("quarantine")

    def keep(self, name: str, data: bytes) -> bool:
        """At most the first FILE_BYTES_MAX bytes; False where there is no place for them."""
        data = data[:FILE_BYTES_MAX]
        if len(data) > self._room():
            return False
        try:
            if not self._disk.quarantine(name, data, FILES_MAX):
                return False
        except OSError:
            self.bytes = max(self.bytes, self._bytes_found())
            return False
        reached("quarantined")
        self.bytes += len(data)
        return True

    def _bytes_found(self) -> int:
        try:
            return self._disk.folder_bytes("quarantine")
        except OSError:
            return 0
