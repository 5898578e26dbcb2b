# SPDX-License-Identifier: Apache-2.0
"""How tests wait: for an event, with a generous end, and never for a time that should be enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 60.0
LOOK_S = 0.01


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Look until it is so; fails with what was waited for."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {timeout_s:.0f} s for: {what}"
        time.sleep(LOOK_S)
