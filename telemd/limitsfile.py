# SPDX-License-Identifier: Apache-2.0
"""What the rate limits counted, kept over a restart: state_dir/limits.

What the numbers mean is limits.py's affair. A file that is missing, damaged or from the future counts as nothing:
limits protect, they are no record.
"""

from __future__ import annotations

from telemd import statefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "limits"


def write(state_dir: str, now_s: float, kept: dict[str, Any]) -> None:
    """Replace the file. OSError."""
    statefile.write(state_dir, NAME, {"written_s": int(now_s), "kept": kept})


def read(state_dir: str, now_s: float) -> tuple[int, dict[str, Any]]:
    """Whole minutes since it was written, and what write() was given; (0, {}) where there is nothing usable."""
    found = statefile.read(state_dir, NAME)
    if not isinstance(found, dict) or type(found.get("written_s")) is not int or not _is_usable(found.get("kept")):
        return 0, {}
    gone_s = now_s - found["written_s"]
    return (int(gone_s // 60), found["kept"]) if gone_s >= 0 else (0, {})


def _is_usable(kept: object) -> bool:
    """lane -> window -> list of [minutes ago, amount]."""
    return isinstance(kept, dict) and all(
        isinstance(windows, dict) and all(_are_slots(slots) for slots in windows.values()) for windows in kept.values()
    )


def _are_slots(slots: object) -> bool:
    return isinstance(slots, list) and all(
        isinstance(slot, list) and len(slot) == 2 and all(type(number) is int for number in slot) for slot in slots
    )
