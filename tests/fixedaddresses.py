# SPDX-License-Identifier: Apache-2.0
"""Programs with sanitizers at the same addresses each time: those of older compilers don't find room for their shadow
memory everywhere, and die at random where a kernel spreads addresses wide (vm.mmap_rnd_bits above 28).
"""

from __future__ import annotations

import ctypes

ADDR_NO_RANDOMIZE = 0x0040000
"""personality(2)."""


def fixed_addresses() -> None:
    """For `preexec_fn`: holds for what is run then and its children. Where it isn't allowed it stays as it is."""
    ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
