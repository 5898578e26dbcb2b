# SPDX-License-Identifier: Apache-2.0
"""How many connections telemd may hold at once: as many as its descriptors allow."""

from __future__ import annotations

import contextlib
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings

SPARE: Final = 64
"""Kept back for telemd's own files."""

CONNECTIONS_MAX: Final = 8192
"""Where the settings name no number."""


def connections_max(settings: Settings) -> int:
    """Raises the soft limit of descriptors to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = max(16, (hard if hard != resource.RLIM_INFINITY else 65536) - SPARE)
    return min(settings.connections_max or CONNECTIONS_MAX, allowed)
