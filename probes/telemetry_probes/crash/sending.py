# SPDX-License-Identifier: Apache-2.0
"""A crash becomes a record and goes to telemd, or into the drop directory where telemd isn't there."""

from __future__ import annotations

import posix

from libtelemetry import REFUSED, Record, TelemetryError, is_opted_in, setting, telemctl
from libtelemetry import send as send_record
from telemetry_probes import consent, eventid
from telemetry_probes.crash import dropbox, examine, privacy
from telemetry_probes.crash import report as reports
from telemetry_probes.crash.model import SignalInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.examine import Examined
    from telemetry_probes.crash.handler import Places
    from telemetry_probes.crash.kernelsaid import KernelSaid

TIMEOUT_S = 2.0
"""For an answer, twice. A telemd that is just starting takes a tenth of that."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def send(said: KernelSaid, examined: Examined, places: Places, to_drop: bool) -> str:
    """Hand over the report. Empty, or why nobody has it; only one that somebody has is kept, too. `to_drop`: telemd is
    what crashed, don't ask it."""
    event_id = eventid.of_crash(_boot_id(), said.pid)
    if not to_drop and is_older_telemd():
        with record(examined, event_id, for_older=True) as text:
            if not _handed_over(text):
                return ""
    with record(examined, event_id) as report:
        why = "telemd itself crashed" if to_drop else _handed_over(report)
        if why.startswith(REFUSAL):
            return why
        encoded = report.encoded()
        left = dropbox.leave(encoded, report.record_id.hex(), places.drop) if why else ""
        if left:
            return f"{why}; {left}"
    from telemetry_probes.crash import lastreports  # telemd has the report, or will find it

    lastreports.keep(encoded, places.kept, is_opted_in)
    return ""


def record(examined: Examined, event_id: bytes | None = None, for_older: bool = False) -> Record:
    """The report as a record. An older telemd would drop a long payload in silence: it gets the text alone, of as many
    threads as fit."""
    report, version = examined.report, 1
    if report is None:
        payload = examined.decision.text.encode()
    elif for_older:
        payload = report.text(reports.TEXT_MAX, len(report.groups))
    else:
        version, payload = reports.VERSION, report.payload()
    return Record(
        examined.classification, payload, severity=examined.severity, payload_version=version, event_id=event_id
    )


def is_older_telemd() -> bool:
    """Is only the socket of format 4 there?"""
    try:
        posix.stat(setting("telemd_socket_path"))
    except FileNotFoundError:
        pass
    except OSError:
        return False
    else:
        return False
    try:
        posix.stat(setting("socket_path"))
    except OSError:
        return False
    return True


REFUSAL = "telemd refused the report"


def _handed_over(record: Record) -> str:
    try:
        ack = send_record(record, TIMEOUT_S)
    except TelemetryError as error:
        return error.strerror
    if ack.verdict == REFUSED:
        return f"{REFUSAL} ({ack.reason_name}): see `{telemctl('status')}`"
    return ""


def fault(said: KernelSaid, places: Places, why: str) -> str:
    """Report what the kernel said of a crash that couldn't be looked at. As `send`."""
    lifted = consent.privacy_is_lifted()
    signal = SignalInfo(said.signal, 0, None, None) if said.signal else None
    decision = privacy.decide(said.path, lifted)
    subject = reports.Subject(said.comm, said.path, said.pid, signal, "", 0)
    found = reports.Report(subject, [], [why], lifted) if decision.backtrace else None
    return send(said, examine.Examined(decision, found), places, to_drop=False)


def _boot_id() -> str:
    try:
        fd = posix.open(_BOOT_ID, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, 64).decode("ascii", "replace")
    finally:
        posix.close(fd)
