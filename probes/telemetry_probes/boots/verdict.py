# SPDX-License-Identifier: Apache-2.0
"""How the last boot ended, judged by all that is known of it: a reason, how sure that is, and why in words.

The strongest evidence comes first; what contradicts it makes it less sure, and is told. Pure: evidence in, a verdict
out.
"""

from __future__ import annotations

from telemetry_probes.boots import watchdogs
from telemetry_probes.boots.evidence import CUT, GOING_DOWN, STOPPED
from telemetry_probes.boots.marks import STOPPED as UNWATCHED
from telemetry_probes.kernel.patterns import BUG, HANG, PANIC, STACK_OVERFLOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.boots.evidence import Evidence, KernelReport

CLEAN = "clean"
KERNEL_UPDATE = "kernel-update"
KERNEL_PANIC = "panic"
WATCHDOG = "watchdog"
OVERHEATED = "overheated"
SUSPEND = "suspend"
STUCK = "hang"
RESET = "reset"
POWER_LOSS = "power-loss"
UNKNOWN = "unknown"
SEVERITIES = {
    CLEAN: 1, KERNEL_UPDATE: 1, UNKNOWN: 1, POWER_LOSS: 2, RESET: 2, SUSPEND: 3, STUCK: 3, WATCHDOG: 3, OVERHEATED: 3,
    KERNEL_PANIC: 4,
}  # fmt: skip
"""Of the record, 1 (low) to 4 (critical)."""

CERTAIN, LIKELY, GUESS = "certain", "likely", "guess"
FAULT_S = 60
"""A fault that the kernel reported so short before the end may be the end's reason,"""
HANG_S = 600
"""and a hang for so long."""
CLOCK_S = 5
"""A mark and a dump of the same second may have their times in any order."""


class Verdict:
    """`reason`: one of SEVERITIES; `how`: reboot, poweroff, halt, kexec or empty; `confidence`: CERTAIN, LIKELY or
    GUESS; `because`: sentences; `event`: of the kernel's report that is told as the same event, or empty."""

    __slots__ = ("because", "confidence", "event", "how", "reason")

    def __init__(self, reason: str, confidence: str, because: list[str], how: str = "", event: bytes = b"") -> None:
        self.reason = reason
        self.confidence = confidence
        self.because = because
        self.how = how
        self.event = event


def judged(known: Evidence) -> Verdict:
    """The end of the last boot."""
    how, said = _orderly(known)
    told = _causes(known)
    return (
        _panicked(known, said)
        or _reset_by_watchdog(told, said)
        or _overheated(known, told, how)
        or (_ended(known, how, said) if said else None)
        or _asleep(known)
        or _faulted(known)
        or _cut(known, told)
        or Verdict(UNKNOWN, CERTAIN, ["nothing that is kept tells of the end of a boot before this one"])
    )


def _orderly(known: Evidence) -> tuple[str, list[str]]:
    """How the machine went down, and who says that it did so in order; nobody: no sentence."""
    how = ""
    said: list[str] = []
    if known.mark is not None and known.mark.how != UNWATCHED:
        how = known.mark.how
        said.append(f"bootprobe was told that the machine goes down ({how})")
    if known.journal is not None and known.journal.stage in (STOPPED, GOING_DOWN):
        how = how if how not in ("", "shutdown") else known.journal.how or how
        stopped = "the journal was stopped" if known.journal.stage == STOPPED else "systemd's last word was its own end"
        said.append(stopped + (f" ({known.journal.how})" if known.journal.how else ""))
    if known.wtmp is not None and known.wtmp.orderly:
        said.append("the shutdown is in wtmp")
    return how, said


def _against(known: Evidence) -> list[str]:
    """Who says that it did not end in order."""
    said: list[str] = []
    if known.watched and known.mark is None:
        said.append("bootprobe was not told of an end")
    if known.journal is not None and known.journal.stage == CUT:
        said.append("the journal ends in the middle")
    if known.wtmp is not None and not known.wtmp.orderly:
        said.append("wtmp has the boot, and no shutdown after it")
    return said


def _causes(known: Evidence) -> dict[str, str]:
    """What hardware says, and who."""
    told = dict.fromkeys(known.reset, "the processor says so")
    for each in known.watchdogs:
        told.update(dict.fromkeys(each.causes, f"{each.identity or 'a watchdog'} says so"))
    return told


def _panicked(known: Evidence, orderly: list[str]) -> Verdict | None:
    panics = [each for each in known.panics if each.kind == "panic"]
    if known.journal is not None:
        panics += [each for each in known.journal.reports if each.classification == PANIC]
    for each in reversed(panics):
        ended_s = known.mark.time_s if known.mark is not None and known.mark.how != UNWATCHED else 0
        if ended_s and each.when_s and each.when_s < ended_s - CLOCK_S:
            continue  # it went on, and ended in order afterwards
        where = "pstore has its last words" if each.when_s else "its last words are in the journal"
        because = [f"{where}: {each.reason}"]
        if orderly:
            because.append("it was going down already: " + ", ".join(orderly))
        return Verdict(KERNEL_PANIC, CERTAIN, because, "", each.event)
    if known.dumps and not orderly:
        return Verdict(KERNEL_PANIC, CERTAIN, ["kdump has written the memory of a kernel that died"])
    return None


def _reset_by_watchdog(told: dict[str, str], orderly: list[str]) -> Verdict | None:
    if watchdogs.FIRED not in told:
        return None
    because = [f"it was reset by a watchdog: {told[watchdogs.FIRED]}"]
    if not orderly:
        return Verdict(WATCHDOG, CERTAIN, because)
    if len(orderly) > 1:
        return None  # some watchdogs say so after every boot
    return Verdict(WATCHDOG, LIKELY, [*because, f"it was going down already: {orderly[0]}"])


def _overheated(known: Evidence, told: dict[str, str], how: str) -> Verdict | None:
    because = [f"it was too hot: {told[watchdogs.OVERHEATED]}"] if watchdogs.OVERHEATED in told else []
    reports = known.journal.reports if known.journal is not None else []
    hot = [each for each in reports if each.kind == "thermal" and "critical" in each.reason]
    if hot:
        because.append(f"the kernel said: {hot[-1].reason}")
    if not because:
        return None
    return Verdict(OVERHEATED, CERTAIN if len(because) > 1 else LIKELY, because, how, hot[-1].event if hot else b"")


def _ended(known: Evidence, how: str, said: list[str]) -> Verdict:
    because = list(said)
    against = _against(known)
    if against:
        because.append("although " + ", ".join(against))
    marked = known.mark is not None and known.mark.how != UNWATCHED
    confidence = CERTAIN if len(said) > len(against) or (marked and len(against) == 1) else LIKELY
    if has_other_kernel(known) and how in ("", "reboot", "kexec", "shutdown"):
        because.append(
            f"another kernel runs now: {known.release}, before that {known.release_before}"
            if known.release != known.release_before
            else f"another build of {known.release} runs now"
        )
        return Verdict(KERNEL_UPDATE, confidence, because, how)
    return Verdict(CLEAN, confidence, because, how)


def has_other_kernel(known: Evidence) -> bool:
    """Does another one run than in the boot before?"""
    if not known.release or not known.release_before:
        return False
    return known.release_before != known.release or known.build_before not in ("", known.build)


def _asleep(known: Evidence) -> Verdict | None:
    if known.journal is None or not known.journal.asleep:
        return None
    because = ["it was put to sleep and did not wake up: its power may have ended, or it could not resume"]
    return Verdict(SUSPEND, LIKELY, because)


def _faulted(known: Evidence) -> Verdict | None:
    reports = known.journal.reports if known.journal is not None else []
    for each in reversed(reports):
        before_s = each.before_end_s or 0
        if each.classification in (BUG, STACK_OVERFLOW) and before_s <= FAULT_S:
            return Verdict(KERNEL_PANIC, LIKELY, [_fault(each, before_s)], "", each.event)
        if each.classification == HANG and before_s <= HANG_S:
            return Verdict(STUCK, LIKELY, [_fault(each, before_s)], "", each.event)
    return None


def _fault(report: KernelReport, before_s: int) -> str:
    return f"{before_s} s before the end, which was none in order, the kernel said: {report.reason}"


def _cut(known: Evidence, told: dict[str, str]) -> Verdict | None:
    against = _against(known)
    if watchdogs.POWER in told:
        return Verdict(POWER_LOSS, CERTAIN, [f"its power failed: {told[watchdogs.POWER]}", *against])
    for cause, what in ((watchdogs.BUTTON, "a button or a reset line"), (watchdogs.ERROR, "an error of the hardware")):
        if cause in told:
            return Verdict(RESET, CERTAIN, [f"it was reset by {what}: {told[cause]}", *against])
    if not against:
        return None
    confidence = LIKELY if len(against) > 1 else GUESS
    return Verdict(POWER_LOSS, confidence, [*against, "a reset by hand, or a kernel that hung, looks the same"])
