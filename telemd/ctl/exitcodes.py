# SPDX-License-Identifier: Apache-2.0
"""What telemctl's exit codes mean: one table for all verbs, in its man page too. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

GOOD: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
NOT_RUNNING: Final = 3
INTERRUPTED: Final = 130

MEANINGS: Final = {
    GOOD: "done; also where there was nothing to do",
    FAILED: "not done, or not found; a line on standard error says why, and what to do",
    MISUSED: "no such command or option, or a value that can't be",
    NOT_RUNNING: "status, is-active: telemd isn't running, and nothing will start it for the next record",
    INTERRUPTED: "ended by Ctrl-C; tail and top end so with 0",
}
