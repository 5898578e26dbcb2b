# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next try: exponential with full jitter, and what the server asks for where that is more.

Pure: the random number is an argument, and so is the count of failures. Never a clock, a timer or a source of chance.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FIRST_S: Final = 2.0
"""The longest wait after the first failure; it doubles with every further one."""

FLOOR_S: Final = 0.25
"""The shortest wait: chance must not make the loop spin."""

CAP_S: Final = 900.0
"""The longest wait of our own making: 15 minutes."""

RETRY_AFTER_CAP_S: Final = 3600.0
"""The longest wait a server may ask for: a wrong Retry-After must not silence a machine for a day."""

_DOUBLINGS_MAX: Final = 30


def wait_s(failures: int, chance: float, retry_after_s: float = 0.0, cap_s: float = CAP_S) -> float:
    """Seconds until the next try.

    failures: tries in a row that did not succeed, 1 or more. chance: uniform in [0, 1). retry_after_s: what the server
    asked for, 0 for nothing; it is kept to, up to RETRY_AFTER_CAP_S, and then spread by a tenth so that a fleet sent
    away together doesn't come back together. cap_s: limit of the wait that isn't the server's.
    """
    ceiling_s = min(cap_s, FIRST_S * 2.0 ** min(max(failures, 1) - 1, _DOUBLINGS_MAX))
    own_s = max(min(FLOOR_S, cap_s), chance * ceiling_s)
    asked_s = min(retry_after_s, RETRY_AFTER_CAP_S)
    return max(own_s, asked_s + chance * asked_s / 10)
