# SPDX-License-Identifier: Apache-2.0
"""A file that is there as long as telemd isn't done: made when it opens its spool, gone when it leaves with nothing to
do. systemd's telemd.path looks at it, and starts telemd where a reboot, a crash or a stop came in between.

Nothing is in it, and what "done" means is the daemon's affair. The spool itself is no such sign: it is never empty.
"""

from __future__ import annotations

import contextlib
import os

NAME = "unfinished"


def begin(state_dir: str) -> None:
    """There is something to come back for; durable when this returns. OSError."""
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Only to read, so that one that somebody else has made will do.
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(NAME, flags, 0o644, dir_fd=directory))
        os.fsync(directory)
    finally:
        os.close(directory)


def end(state_dir: str) -> None:
    """Nothing has to be come back for. OSError where that can't be said, and telemd would be started in vain."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(state_dir, NAME))
