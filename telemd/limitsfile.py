# SPDX-License-Identifier: Apache-2.0
"""What the rate limits counted, kept over a restart: state_dir/limits.

What the numbers mean is limits.py's affair. A file that is missing, damaged or from the future counts as nothing:
limits protect, they are no record.
"""

from __future__ import annotations

from telemd import statefile
from telemd.limits import SHARES, SOURCES

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
    """section -> name -> list of rows of whole numbers. Rows of lanes have two, those of their shares four and those of
    sources three."""
    return isinstance(kept, dict) and all(
        isinstance(section, dict) and all(_are_rows(rows, _width(name)) for rows in section.values())
        for name, section in kept.items()
    )


def _width(section: str) -> int:
    if section.startswith(SHARES):
        return 4
    return 3 if section == SOURCES else 2


def _are_rows(rows: object, width: int) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, list) and len(row) == width and all(type(number) is int for number in row) for row in rows
    )
