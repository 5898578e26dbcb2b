# SPDX-License-Identifier: Apache-2.0
"""How the C library's allocator is to treat large pieces: what a page of answers took goes back to the kernel.

One call at the start; nothing else of the process is changed.
"""

from __future__ import annotations

import ctypes
from typing import Final

RETURNED_FROM_BYTES: Final = 1024 * 1024
"""Smaller than the answers that are many at a time, larger than what a batch of records is handled in."""

_M_MMAP_THRESHOLD: Final = -3  # mallopt(3)


def return_large_pieces() -> None:
    """Left alone, glibc learns from the first large piece to keep all such, and ever more as they come and go. A
    C library that has no such call is left as it is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, RETURNED_FROM_BYTES)
