# SPDX-License-Identifier: Apache-2.0
"""The fields that are read of an entry, and no others: what a program's environment or arguments were never comes in.

Pure: constants alone.
"""

from __future__ import annotations

OF_UNITS = (
    "MESSAGE_ID", "UNIT", "EXIT_CODE", "EXIT_STATUS", "COMMAND", "UNIT_RESULT", "N_RESTARTS", "JOB_RESULT",
)  # fmt: skip
"""systemd's on a unit."""
OF_CRASHES = (
    "MESSAGE_ID", "MESSAGE", "COREDUMP_PID", "COREDUMP_EXE", "COREDUMP_COMM", "COREDUMP_SIGNAL", "COREDUMP_UNIT",
    "COREDUMP_PROC_CGROUP", "COREDUMP_PROC_STATUS", "COREDUMP_PROC_MAPS", "COREDUMP_PROC_AUXV",
    "COREDUMP_PACKAGE_JSON", "COREDUMP_CONTAINER_CMDLINE",
)  # fmt: skip
"""systemd-coredump's."""
OF_FAILURES = (*OF_UNITS, *[name for name in OF_CRASHES if name not in OF_UNITS])
"""Of both."""
OF_LINES = (
    "MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "_COMM", "_EXE", "_PID", "_SYSTEMD_UNIT", "_TRANSPORT",
    "_UID", "UNIT",
)  # fmt: skip
"""Any program's."""
