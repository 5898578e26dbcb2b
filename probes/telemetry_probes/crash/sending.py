# SPDX-License-Identifier: Apache-2.0
"""A crash becomes a record and goes to telemd, or into the drop directory where telemd isn't there."""

from __future__ import annotations

import posix

from libtelemetry import REFUSED, Record, TelemetryError, is_opted_in, telemctl
from libtelemetry import send as send_record
from telemetry_probes import eventid
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
LIFTED = "opt-in-no-privacy-filters"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def is_lifted(places: Places) -> bool:
    """The owner's file stands beside the opt-in, and counts for nothing without that."""
    return places.owner_said(LIFTED) and is_opted_in()


def send(said: KernelSaid, examined: Examined, places: Places, to_drop: bool) -> str:
    """Hand over the report. Empty, or why nobody has it. `to_drop`: telemd is what crashed, don't ask it."""
    if examined.report is not None:
        version, payload = reports.VERSION, examined.report.payload()
    else:
        version, payload = 1, examined.decision.text.encode()
    with Record(
        examined.classification, payload, severity=examined.severity, payload_version=version,
        event_id=eventid.of_crash(_boot_id(), said.pid),
    ) as record:  # fmt: skip
        why = "telemd itself crashed" if to_drop else _handed_over(record)
        if not why or why.startswith(REFUSAL):
            return why
        left = dropbox.leave(record.encoded(), record.record_id.hex(), places.drop)
        return f"{why}; {left}" if left else ""


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
    lifted = is_lifted(places)
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
