# SPDX-License-Identifier: Apache-2.0
"""Small JSON values that telemd keeps in its state directory over a restart, and can do without.

Only reading and writing, bounded and never through a link; what a value means, and whether it is sound, is its owner's
affair. Not synced: a power failure may take it back to an older one.
"""

from __future__ import annotations

import contextlib
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BYTES_MAX = 256 * 1024


def write(state_dir: str, name: str, value: object) -> None:
    """Replace the file. OSError."""
    path = os.path.join(state_dir, name)
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


def read(state_dir: str, name: str) -> Any:
    """What write() was given; None where there is nothing usable."""
    try:
        fd = os.open(os.path.join(state_dir, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return json.loads(file.read(BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return None


def remove(state_dir: str, name: str) -> None:
    """Forget it."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(state_dir, name))
