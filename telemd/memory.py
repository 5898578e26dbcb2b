# SPDX-License-Identifier: Apache-2.0
"""How the C library's allocator is to treat large pieces, so that telemd stays as small as it mostly is.

One call at the start; nothing else of the process is changed.
"""

from __future__ import annotations

from telemd._engine import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RETURNED_FROM_BYTES: Final = 2 * 1024 * 1024
"""Larger than what delivery reads for a batch, smaller than a segment."""


def return_large_pieces() -> None:
    """What is as large as a whole segment goes back to the kernel when it is freed. Left alone, the allocator learns
    from the first one to keep all such."""
    lib.mallopt(lib.M_MMAP_THRESHOLD, RETURNED_FROM_BYTES)
