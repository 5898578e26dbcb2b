# SPDX-License-Identifier: Apache-2.0
"""Folders that only root may enter, such as those of `mktemp -d` and /root: a crash handler, which gives up root while
it works, finds nothing below them. For benchmarks, the demo and the tests alike.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def closed(*places: Path) -> Path | None:
    """The first of these, or of what is above them, that not every user may enter; None where there is none."""
    ways = (each for place in places for each in (place, *place.parents))
    return next((each for each in ways if not each.stat().st_mode & stat.S_IXOTH), None)
