# SPDX-License-Identifier: Apache-2.0
"""Reading what a bad disk still has: again where it failed once, and around the pages that it has lost for good.

Knows bytes, not what they mean; what is missing comes back as zeros, which no checksum takes for a frame.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.disk import Disk

TRIES: Final = 3
PAGE: Final = 4096


def read(disk: Disk, fd: int, offset: int, count: int) -> bytes:
    """Up to count bytes, less only at the end of the file. OSError where it isn't the medium that fails."""
    data = _tried(disk, fd, offset, count)
    if data is not None:
        return data
    pieces = []
    end = min(offset + count, disk.length(fd))
    while offset < end:
        some = min(PAGE - offset % PAGE, end - offset)
        piece = _tried(disk, fd, offset, some)
        pieces.append(piece if piece is not None else bytes(some))
        offset += some
    return b"".join(pieces)


def _tried(disk: Disk, fd: int, offset: int, count: int) -> bytes | None:
    for _ in range(TRIES):
        try:
            return disk.read(fd, offset, count)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
    return None
