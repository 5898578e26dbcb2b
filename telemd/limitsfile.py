# SPDX-License-Identifier: Apache-2.0
"""What the rate limits counted, kept over a restart: state_dir/limits, a small JSON file.

Only reading and writing; what the numbers mean is limits.py's affair. A file that is missing, damaged or from the
future counts as nothing: limits protect, they are no record.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "limits"
BYTES_MAX = 256 * 1024


def write(state_dir: str, now_s: float, kept: dict[str, Any]) -> None:
    """Replace the file. OSError."""
    path = os.path.join(state_dir, NAME)
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump({"written_s": int(now_s), "kept": kept}, file)
    os.replace(path + ".new", path)


def read(state_dir: str, now_s: float) -> tuple[int, dict[str, Any]]:
    """Whole minutes since it was written, and what write() was given; (0, {}) where there is nothing usable."""
    try:
        fd = os.open(os.path.join(state_dir, NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            found = json.loads(file.read(BYTES_MAX))
        gone_s = now_s - int(found["written_s"])
        kept = found["kept"]
        if gone_s < 0 or not _is_usable(kept):
            return 0, {}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 0, {}
    return int(gone_s // 60), kept


def _is_usable(kept: object) -> bool:
    """lane -> window -> list of [minutes ago, amount]."""
    return isinstance(kept, dict) and all(
        isinstance(windows, dict)
        and all(
            isinstance(slots, list)
            and all(
                isinstance(slot, list) and len(slot) == 2 and all(type(number) is int for number in slot)
                for slot in slots
            )
            for slots in windows.values()
        )
        for windows in kept.values()
    )
