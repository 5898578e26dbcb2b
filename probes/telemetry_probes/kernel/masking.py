# SPDX-License-Identifier: Apache-2.0
"""What of a report may leave the machine while the privacy filters hold: no address, no value of a register, no number
of a process or a user, no name of a file.

Pure: text in, text out. What the owner's file opt-in-no-privacy-filters lifts is the caller's decision.
"""

from __future__ import annotations

import re

TEXT_CHARS_MAX = 512
ADDRESS = "(address)"
SMALL_MAX = 4095
"""An address within the first page tells which member of a structure was meant, and nothing of this machine."""

_PREFIXED = re.compile(r"\b0x([0-9a-fA-F]{8,16})\b")
_BARE = re.compile(r"\b(?=[0-9]*[a-f]|0)([0-9a-f]{16}|[0-9a-f]{8})\b")
_PLACE = re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+")
_WHERE = re.compile(r"\bCPU: \d+ (?:UID: \d+ )?PID: \d+ (?:Comm: \S+ )?at ")
_TASK = re.compile(r"\[([^\]\[]{1,40}):\d+\]")
_HUNG = re.compile(r"^(INFO: task .{1,32}):\d+ blocked")
_ATOMIC = re.compile(r"(while atomic: .{1,32})/\d+/")
_CRASHED = re.compile(r"^(?:coredump: |Pid )\d+\(.*\):?(?= over core_pipe_limit)")
_NUMBER = re.compile(r"\b(pid|PID|tgid|uid|UID|tid)([:= ]\s?)\d+")
_BY_TASK = re.compile(r"\b(by task [^/\s]{1,32})/\d+")
_USER_UNIT = re.compile(r"(user[@-])\d+")
_SCOPE = re.compile(r"-\d+(\.scope)$")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def reason(line: str, lifted: bool, names_files: bool) -> str:
    """The line that tells what a report is. `names_files`: it comes from a file system or a disk, which quote names."""
    text = _WHERE.sub("at ", line)
    if lifted:
        return text[:TEXT_CHARS_MAX]
    text = _CRASHED.sub("a process that crashed was", text)
    text = _HUNG.sub(r"\1 blocked", text)
    text = _ATOMIC.sub(r"\1/", text)
    text = _TASK.sub(r"[\1]", text)
    text = _BY_TASK.sub(r"\1", text)
    text = _NUMBER.sub(r"\1\2(number)", text)
    if names_files:
        text = _QUOTED.sub("(name)", text)
    return without_addresses(text)[:TEXT_CHARS_MAX]


def without_addresses(text: str) -> str:
    """Small ones stay, and so do offsets in functions."""
    places: list[str] = []

    def kept(found: re.Match[str]) -> str:
        places.append(found[0])
        return "\0"

    plain = _PLACE.sub(kept, text)
    plain = _BARE.sub(_masked, _PREFIXED.sub(_masked, plain))
    for place in places:
        plain = plain.replace("\0", place, 1)
    return plain


def _masked(found: re.Match[str]) -> str:
    value = int(found[1], 16)
    return f"0x{value:x}" if value <= SMALL_MAX else ADDRESS


def unit(cgroup: str) -> str:
    """A control group's unit, as its last part that is one, without the numbers of users and processes."""
    parts = [part for part in cgroup.split("/") if part.endswith((".service", ".scope", ".slice"))]
    return _SCOPE.sub(r"\1", _USER_UNIT.sub(r"\1", parts[-1]))[:TEXT_CHARS_MAX] if parts else ""
