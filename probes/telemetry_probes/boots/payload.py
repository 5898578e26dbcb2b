# SPDX-License-Identifier: Apache-2.0
"""What is sent of a boot: one JSON object, docs/boots.md. Pure: values in, values out."""

from __future__ import annotations

from telemetry_probes.boots import commandline, verdict
from telemetry_probes.crash import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from telemetry_probes.boots.collecting import Found
    from telemetry_probes.boots.evidence import Evidence, JournalEnd, KernelReport
    from telemetry_probes.boots.kept import Kept
    from telemetry_probes.boots.timing import Timing
    from telemetry_probes.boots.verdict import Verdict

VERSION = 1
BYTES_MAX = 48 * 1024
CLASSIFICATION = "org.clearlinux/boot/end"


def fields(found: Found, judged: Verdict, kept: Kept, lifted: bool) -> dict[str, Any]:
    """All but the timing, which comes later."""
    known = found.evidence
    said: dict[str, Any] = {
        "version": VERSION,
        "end": _end(found, judged),
        "evidence": _evidence(known),
        "began_s": found.began_s,
        "kernel": _kernel(known),
        "command_line": _command_line(found, kept, lifted),
        "packages": _packages(found),
    }
    if found.unread:
        said["unread"] = list(found.unread)
    return _fitted(said)


def _fitted(said: dict[str, Any]) -> dict[str, Any]:
    """At most BYTES_MAX bytes of JSON: the oldest changes of packages go first."""
    packages = said["packages"]
    while packages["changes"] and len(jsontext.write(said)) > BYTES_MAX:
        gone = -(-len(packages["changes"]) // 4)
        packages["left_out"] = packages.get("left_out", 0) + gone
        del packages["changes"][:gone]
    if len(jsontext.write(said)) > BYTES_MAX:
        said["evidence"] = {"left_out": True}
    return said


def timed(said: dict[str, Any], timing: Timing) -> dict[str, Any]:
    """With the timing."""
    told: dict[str, Any] = {f"{name}_ms": value for name, value in timing.phases.items()}
    if timing.state:
        told["state"] = timing.state
    if timing.failed is not None:
        told["failed_units"] = timing.failed
    return {**said, "timing": told}


def _end(found: Found, judged: Verdict) -> dict[str, Any]:
    said: dict[str, Any] = {"reason": judged.reason}
    if judged.how:
        said["how"] = judged.how
    said["confidence"] = judged.confidence
    said["because"] = judged.because
    if found.last_seen_s:
        said["last_seen_s"] = found.last_seen_s
        said["lasted_s"] = found.lasted_s
        if found.began_s >= found.last_seen_s:
            said["away_s"] = found.began_s - found.last_seen_s
    return said


def _evidence(known: Evidence) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if known.mark is not None:
        said["mark"] = known.mark.how
    elif known.watched:
        said["mark"] = "none"
    if known.journal is not None:
        said["journal"] = _journal(known.journal)
    if known.wtmp is not None:
        said["wtmp"] = "shutdown" if known.wtmp.orderly else "boot alone"
    if known.panics:
        said["pstore"] = [_report(each) for each in known.panics]
    if known.dumps:
        said["kdump"] = known.dumps
    if known.watchdogs:
        said["watchdogs"] = [{"identity": each.identity, "causes": list(each.causes)} for each in known.watchdogs]
    if known.reset:
        said["processor"] = list(known.reset)
    return said


def _journal(end: JournalEnd) -> dict[str, Any]:
    said: dict[str, Any] = {"stage": end.stage}
    if end.how:
        said["how"] = end.how
    if end.asleep:
        said["asleep"] = True
    if end.reports:
        said["kernel"] = [_report(each) for each in end.reports]
    said["last"] = [
        {
            "before_end_s": each.before_end_s,
            "who": each.who,
            "priority": each.priority,
            **({"text": each.text} if each.text else {}),
        }
        for each in end.last_entries
    ]
    return said


def _report(each: KernelReport) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": each.kind, "reason": each.reason, "event_id": each.event.hex()}
    if each.kernel:
        said["kernel"] = each.kernel
    if each.when_s:
        said["at_s"] = each.when_s
    if each.before_end_s is not None:
        said["before_end_s"] = each.before_end_s
    return said


def _kernel(known: Evidence) -> dict[str, Any]:
    said: dict[str, Any] = {"release": known.release, "build": known.build}
    if known.release_before:
        said["changed"] = verdict.has_other_kernel(known)
        if said["changed"]:
            said["release_before"] = known.release_before
            if known.build_before:
                said["build_before"] = known.build_before
    return said


def _command_line(found: Found, kept: Kept, lifted: bool) -> dict[str, Any]:
    words = commandline.words(found.line)
    said: dict[str, Any] = {"hash": found.line_hash, "words": words, "others": commandline.others(found.line)}
    if kept.line_hash:
        came, went = commandline.changes(kept.words, words)
        said["changed"] = kept.line_hash != found.line_hash
        if came:
            said["came"] = came
        if went:
            said["went"] = went
    if lifted:
        said["text"] = found.line
    return said


def _packages(found: Found) -> dict[str, Any]:
    told: list[dict[str, Any]] = []
    for each in found.changes:
        change: dict[str, Any] = {"at_s": each.at_s, "manager": each.manager, "what": each.what, "name": each.name}
        if each.before:
            change["before"] = each.before
        if each.after:
            change["after"] = each.after
        told.append(change)
    said: dict[str, Any] = {"since_s": found.since_s, "changes": told}
    if found.changes_left_out:
        said["left_out"] = found.changes_left_out
    return said
