# SPDX-License-Identifier: Apache-2.0
"""How far the owner's consent goes. Whether there is any is libtelemetry's is_opted_in()."""

from __future__ import annotations

import posix

from libtelemetry import is_opted_in, setting


def static_machine_id() -> str:
    """The lasting id that the owner has given this machine, 32 hex digits; "" where it has none: telemd then takes no
    metrics."""
    where = setting("opt_in_path").rpartition("/")[0]
    try:
        fd = posix.open(f"{where}/opt-in-static-machine-id", posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = posix.read(fd, 32).decode("ascii", "replace").lower()
    except OSError:
        return ""
    finally:
        posix.close(fd)
    return text if len(text) == 32 and not text.strip("0123456789abcdef") else ""


def since_us() -> int:
    """When the owner opted in, microseconds since 1970; 0 where that can't be told."""
    try:
        return posix.stat(setting("opt_in_path")).st_mtime_ns // 1000
    except OSError:
        return 0


def privacy_is_lifted() -> bool:
    """The owner's file stands beside the opt-in, and counts for nothing without that."""
    where = setting("opt_in_path").rpartition("/")[0]
    try:
        posix.stat(f"{where}/opt-in-no-privacy-filters")
    except OSError:
        return False
    return is_opted_in()
