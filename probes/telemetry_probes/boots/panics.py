# SPDX-License-Identifier: Apache-2.0
"""What the last kernel left when it died: the dumps that pstoreclean has put aside, and those of kdump.

The dumps stay where they are: pstoreprobe sends what is in them, and finds the same event ids.
"""

from __future__ import annotations

import posix

from telemetry_probes import pstore
from telemetry_probes.boots import files
from telemetry_probes.boots.evidence import KernelReport
from telemetry_probes.kernel import dumpfiles, dumpreports, identity
from telemetry_probes.kernel.incidents import Incidents

KDUMP = "/var/crash"
DUMPS_MAX = 32
"""Of pstore; the newest. A kernel that dies leaves one, and a few for what came before."""
REPORTS_MAX = 6
FOLDERS_MAX = 256
EARLIER_S = 3600
"""A clock that was set back may make a dump so much older than the boot it is of."""


def in_pstore(folder: str, secret: bytes, lifted: bool, began_s: int, release: str) -> list[KernelReport]:
    """The last reports, the oldest first. `began_s`: when the boot began that ended, `release` of its
    kernel; 0 and empty where nobody knows. What is of another boot is left out."""
    parts: list[pstore.Part] = []
    try:
        listed = dumpfiles.listed(folder)
    except OSError:
        return []
    for each in listed:
        try:
            part = pstore.part(each.name, each.content(), each.time_s)
        except OSError:
            continue
        if not isinstance(part, str):
            parts.append(part)
    found: dict[bytes, KernelReport] = {}  # a dump has what was said before it, too
    # dumps before what was on the console, as pstoreprobe reads them: who is first decides on the event
    for dump in sorted(pstore.dumps(parts)[-DUMPS_MAX:], key=lambda dump: dump.reason == "console"):
        if dump.time_s >= began_s - EARLIER_S:
            for name, report in _reports(dump, secret, lifted, release):
                found.setdefault(name, report)
    return list(found.values())[-REPORTS_MAX:]


def _reports(dump: pstore.Dump, secret: bytes, lifted: bool, release: str) -> list[tuple[bytes, KernelReport]]:
    """And the ids of their records."""
    from telemetry_probes import oops

    incidents = Incidents(secret)
    found: list[tuple[bytes, KernelReport]] = []
    for report in dumpreports.reports(dump):
        read = oops.parse(report, lifted)
        event = incidents.event(report, read)
        if not (release and read.kernel and read.kernel != release):
            told = KernelReport(read.kind, read.classification, read.reason, read.kernel, event, when_s=dump.time_s)
            found.append((identity.record_id(secret, read), told))
    return found


def by_kdump(root: str, began_s: int) -> int:
    """How many dumps of a whole memory were written since then: a folder each, with vmcore or dump.TIME in it. 0 where
    nobody knows when the boot began."""
    count = 0
    for name in files.names(f"{root}{KDUMP}", FOLDERS_MAX) if began_s else []:
        for inner in files.names(f"{root}{KDUMP}/{name}", 16):
            if inner.startswith(("vmcore", "dump.")) and "dmesg" not in inner:
                try:
                    status = posix.lstat(f"{root}{KDUMP}/{name}/{inner}")
                except OSError:
                    continue
                count += status.st_mtime >= began_s
                break
    return count
