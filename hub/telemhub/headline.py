# SPDX-License-Identifier: Apache-2.0
"""What a record of our own probes says, in a line for a person: what happened, to whom, and why.

Pure: classification and payload in, words out, of bounded length and printable, whatever is in the payload. A payload
that isn't of the form that its probe gives it has no headline: it is shown as it is. The forms are those of
docs/boots.md, docs/journal-reports.md, docs/kernel-reports.md and docs/crash-reports.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WHAT_MAX: Final = 120
"""Characters."""

WHY_MAX: Final = 160
"""Characters."""

WORD_MAX: Final = 80
"""Characters of one name in there."""

FRAMES_MAX: Final = 64
"""Frames of a crash that are looked at for one with a name."""

OUR_DOMAIN: Final = "org.clearlinux/"

_ENDS: Final = {
    "clean": "in order", "kernel-update": "in order, for another kernel", "power-loss": "by a loss of power",
    "reset": "by a reset", "suspend": "while it was asleep", "hang": "by a hang", "watchdog": "by a watchdog",
    "overheated": "by overheating", "panic": "by a panic", "unknown": "in a way that nothing tells of",
}  # fmt: skip
_SAID_BY_ENDS: Final = ("exit-code", "signal", "core-dump")
"""Results of a unit that say no more than how its process ended."""


class Headline(NamedTuple):
    """what: the half that is read first. why: the rest, "" where nothing more is known."""

    what: str
    why: str


def headline(classification: str, payload: str | bytes) -> Headline | None:
    """None where there is none. classification: as in org.clearlinux/boot/end; payload: the whole of it."""
    if not classification.startswith(OUR_DOMAIN) or not isinstance(payload, str) or not payload.startswith("{"):
        return None
    probe = classification.removeprefix(OUR_DOMAIN).partition("/")[0]
    say = _SAY.get(probe)
    if say is None:
        return None
    try:
        found = say(payload.partition("\n")[0])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return None if found is None else Headline(_cut(found.what, WHAT_MAX), _cut(found.why, WHY_MAX))


# ---- boots ----------------------------------------------------------------------------------------------------------


class _End(msgspec.Struct):
    reason: str
    how: str = ""
    confidence: str = ""
    because: list[str] = []
    lasted_s: int = 0


class _Running(msgspec.Struct):
    release: str = ""
    release_before: str = ""


class _Timing(msgspec.Struct):
    total_ms: int = 0


class _Boot(msgspec.Struct):
    end: _End
    kernel: _Running = msgspec.field(default_factory=_Running)
    timing: _Timing = msgspec.field(default_factory=_Timing)


def _boot(line: str) -> Headline:
    said = msgspec.json.decode(line, type=_Boot)
    end = said.end
    what = f"The last boot ended {_ENDS.get(end.reason) or f'by {_word(end.reason)}'}"
    if end.how:
        what += f" ({_word(end.how)})"
    if end.confidence not in ("", "certain"):
        what += f", {_word(end.confidence)}"
    before, now = _word(said.kernel.release_before), _word(said.kernel.release)
    reasons = [] if end.reason in ("clean", "kernel-update") else [_cut(each, WHY_MAX) for each in end.because[:3]]
    if before and before != now:
        reasons.append(f"Linux {before} before, {now} now")
    if end.lasted_s > 0:
        reasons.append(f"it had lasted {_duration(end.lasted_s)}")
    if said.timing.total_ms > 0:
        reasons.append(f"this start took {_duration(said.timing.total_ms // 1000)}")
    return Headline(what, _sentence(reasons))


# ---- the journal ----------------------------------------------------------------------------------------------------


class _Ended(msgspec.Struct):
    command: str = ""
    code: str = ""
    status: int = 0
    signal: str = ""


class _Journal(msgspec.Struct):
    kind: str
    unit: str = ""
    failures: int = 1
    result: str = ""
    ends: list[_Ended] = []
    not_started: str = ""
    out_of_memory: bool = False
    more: int = 0
    message: str = ""
    identifier: str = ""
    comm: str = ""


def _journal(line: str) -> Headline | None:
    said = msgspec.json.decode(line, type=_Journal)
    if said.kind == "message":
        who = _word(said.identifier or said.comm or said.unit)
        return Headline(said.message, _sentence([f"said by {who}" if who else "", _more(said.more)]))
    if said.kind != "unit-failed" or not said.unit:
        return None
    often = f" {said.failures:,} times" if said.failures > 1 else ""
    reasons = [_ended(each) for each in said.ends[:2]]
    if said.result not in _SAID_BY_ENDS or not said.ends:
        reasons.append(_word(said.result))
    if said.out_of_memory and said.result != "oom-kill":
        reasons.append("out of memory")
    if said.not_started not in ("", "failed"):
        reasons.append(f"starting it: {_word(said.not_started)}")
    return Headline(f"{_word(said.unit)} failed{often}", _sentence([*reasons, _more(said.more)]))


def _ended(end: _Ended) -> str:
    command = _word(end.command) or "a process"
    if end.signal:
        return f"{command} was killed by {_word(end.signal)}{' and dumped core' if end.code == 'dumped' else ''}"
    return f"{command} {_word(end.code) or 'ended'} with status {end.status}"


# ---- the kernel -----------------------------------------------------------------------------------------------------


class _Memory(msgspec.Struct):
    victim: str = ""
    unit: str = ""
    scope: str = ""
    limit_kib: int = 0
    anon_rss_kib: int = 0


class _Kernel(msgspec.Struct):
    kind: str
    reason: str
    comm: str = ""
    at: str = ""
    source: str = ""
    kernel: str = ""
    memory: _Memory = msgspec.field(default_factory=_Memory)
    more: int = 0


def _kernel(line: str) -> Headline:
    said = msgspec.json.decode(line, type=_Kernel)
    memory = said.memory
    if said.kind == "oom" and memory.victim:
        reasons = [
            f"it had {_size(memory.anon_rss_kib)}" if memory.anon_rss_kib > 0 else "",
            f"the limit of {_word(memory.unit) or 'its group'} is {_size(memory.limit_kib)}"
            if memory.limit_kib > 0
            else "",
            "the machine had no more" if memory.scope == "machine" else "",
            f"asked for by {_word(said.comm)}" if said.comm != memory.victim else "",
        ]
        return Headline(
            f"{_word(memory.victim)} was killed for want of memory", _sentence([*reasons, _more(said.more)])
        )
    reasons = [
        f"at {_word(said.at)}" if said.at else "",
        f"in {_word(said.source)}" if said.source and not said.at else "",
        f"process {_word(said.comm)}" if said.comm else "",
        f"Linux {_word(said.kernel)}" if said.kernel else "",
    ]
    names_it = said.reason[:WHAT_MAX].lower().startswith("kernel")
    return Headline(said.reason if names_it else f"Kernel: {said.reason}", _sentence([*reasons, _more(said.more)]))


# ---- crashes --------------------------------------------------------------------------------------------------------


class _Signal(msgspec.Struct):
    number: int = 0
    name: str = ""
    reason: str = ""


class _Frame(msgspec.Struct):
    function: str = ""
    file: str = ""
    line: int = 0


class _Stack(msgspec.Struct):
    crashed: bool = False
    frames: list[_Frame] = []


class _Crash(msgspec.Struct):
    process: str
    executable: str = ""
    signal: _Signal = msgspec.field(default_factory=_Signal)
    unit: str = ""
    stacks: list[_Stack] = []
    not_sent_since: int = 0


def _crash(line: str) -> Headline:
    said = msgspec.json.decode(line, type=_Crash)
    signal = _word(said.signal.name) or (f"signal {said.signal.number}" if said.signal.number else "")
    what = f"{_word(said.executable.rpartition('/')[2] or said.process)} crashed{f': {signal}' if signal else ''}"
    frames = next((stack.frames for stack in said.stacks if stack.crashed), [])
    place = next((frame for frame in frames[:FRAMES_MAX] if frame.function), None)
    where = ""
    if place is not None:
        where = f"in {_word(place.function)}"
        if place.file:
            where += f" ({_word(place.file.rpartition('/')[2])}:{place.line})"
    unit = f"of {_word(said.unit)}" if said.unit else ""
    return Headline(what, _sentence([_cut(said.signal.reason, WORD_MAX), where, unit, _more(said.not_sent_since)]))


# ---- words ----------------------------------------------------------------------------------------------------------

_SAY: Final[dict[str, Callable[[str], Headline | None]]] = {
    "boot": _boot, "journal": _journal, "kernel": _kernel, "crash": _crash,
}  # fmt: skip


def _sentence(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)


def _more(count: int) -> str:
    return f"and {count:,} more like it" if count > 0 else ""


def _word(text: str) -> str:
    return _cut(text, WORD_MAX)


def _cut(text: str, most: int) -> str:
    """On one line and printable, at most so many characters."""
    shown = "".join(char if char.isprintable() else " " if char in "\n\t" else "?" for char in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _size(kib: int) -> str:
    for unit in ("KiB", "MiB"):
        if kib < 10_000:
            return f"{kib:,} {unit}"
        kib //= 1024
    return f"{kib:,} GiB"


def _duration(seconds: int) -> str:
    """The two largest units, as in 2 h 5 min."""
    parts: list[str] = []
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        amount, seconds = divmod(seconds, length)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount:,} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])
