# SPDX-License-Identifier: Apache-2.0
"""Whom of the journal to believe, and about what.

Every user can write to the journal, with any message, any MESSAGE_ID and any UNIT. What begins with `_` journald adds
itself, of the kernel's knowledge of the sender (systemd.journal-fields(7)): only these say who spoke. The rules are
matches, so that the journal's own index finds the entries and no others are read. Pure: constants alone.
"""

from __future__ import annotations

EXITED = "98e322203f7a4ed290d09fe03c09fe15"
"""A process of a unit ended badly: EXIT_CODE, EXIT_STATUS, COMMAND."""
FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
"""A unit is failed: UNIT_RESULT."""
RESTARTED = "5eb03494b6584870a536b337290809b3"
"""It will be started again: N_RESTARTS."""
JOB_FAILED = "be02cf6855d2428ba40df7e9d022f03d"
"""What was to be started wasn't: JOB_RESULT."""
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
"""The kernel killed a process of the unit for want of memory."""
DUMPED = "fc2e22bc6ee647b6b90729ab34a250b1"
"""systemd-coredump on a process that crashed: COREDUMP_*."""
OF_UNITS = (EXITED, FAILED, RESTARTED, JOB_FAILED, OUT_OF_MEMORY)
"""Numbers of systemd's sd-messages.h; those of other versions than the one that is installed are simply never met."""

MANAGER = ("_PID=1", "_UID=0", "_TRANSPORT=journal")
"""The system's manager itself. A user's own manager is a process of that user: it could say anything."""
DUMPER = (r"_SYSTEMD_SLICE=system-systemd\x2dcoredump.slice", "_TRANSPORT=journal")
"""The service that the manager starts for each crash. It speaks as the user whose process crashed, so that _UID tells
nothing; no user can get into this slice."""
KERNEL = ("_TRANSPORT=kernel", "SYSLOG_FACILITY=0")
"""Who writes to /dev/kmsg gets another facility (and journald takes the facility of these from the kernel)."""

FAILURES = (
    (*MANAGER, *(f"MESSAGE_ID={number}" for number in OF_UNITS)),
    (*DUMPER, f"MESSAGE_ID={DUMPED}"),
)
"""What journalprobe follows: any of these, each of which holds where all fields of it do; several values of one field
are alternatives."""

LOUD_MAX = 3
"""The least urgent priority of those that are followed where the owner lifts the privacy filters: err."""
LOUD = (
    (
        *(f"PRIORITY={priority}" for priority in range(LOUD_MAX + 1)),
        *("_TRANSPORT=journal", "_TRANSPORT=syslog", "_TRANSPORT=stdout"),
    ),
)
"""Everybody's, and told as such. The kernel's own is klogscanner's."""


def of_crashprobe(uid: int, unit: str) -> tuple[str, ...]:
    """What crashprobe says of a crash of that unit, as the user `uid`, who is telemd's."""
    own = (f"_UID={uid}", "_TRANSPORT=journal", "SYSLOG_IDENTIFIER=crashprobe")
    return (*own, f"TELEMETRICS_CRASH_UNIT={unit}")


def of_unit(unit: str, with_its_own: bool) -> tuple[tuple[str, ...], ...]:
    """What the manager says of a unit, and what the unit itself says."""
    said = (*MANAGER, f"UNIT={unit}")
    return (said, (f"_SYSTEMD_UNIT={unit}",)) if with_its_own else (said,)
