# SPDX-License-Identifier: Apache-2.0
"""What of a unit's name and of systemd's words may leave the machine while the privacy filters hold: no name of a user,
a file, a container or a process, and nothing that anybody else than systemd has written.

Pure: text in, text out.
"""

from __future__ import annotations

import re

from telemetry_probes.crash import privacy

UNIT_CHARS_MAX = 128
LINE_CHARS_MAX = 256
PATH = "(path)"
NAME = "(name)"
NUMBER = "(number)"

_OF_PATHS = (".mount", ".automount", ".swap", ".device")
_SYSTEM_PLACES = frozenset((
    "-", "boot", "boot-efi", "efi", "home", "opt", "root", "srv", "tmp", "usr", "usr-local", "var", "var-cache",
    "var-lib", "var-log", "var-tmp", "swapfile", "swap.img",
))  # fmt: skip
"""Every machine's: what else is mounted where, its owner has named."""
_ID = re.compile(r"[0-9a-f]{8,}(?:-[0-9a-f]{4,})*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_PROCESS = re.compile(r"\b([Pp]rocess(?:es)?|PID|pid) \d+(?: \([^)]*\))?")
_WORD_PATH = re.compile(r"(?<![\w(/])/[^\s:;,)]*")
_QUOTED = re.compile(r"[\"'`][^\"'`]*[\"'`]")
_OWN_QUOTED = re.compile(r"^'[a-z-]{1,40}'$")
"""A result: Failed with result 'exit-code'."""
_JOB = re.compile(
    r"^(Starting|Started|Stopping|Stopped|Reloading|Reloaded|Finished|Mounting|Mounted|Dependency failed for|"
    r"Failed to (?:start|mount|listen on|activate swap for)) "
)


def unit(name: str) -> str:
    """`foo@.service` for every instance of it, `session-(number).scope`, `(path).mount`."""
    stem, dot, kind = name.rpartition(".")
    if not dot:
        stem, kind = name, ""
    if dot + kind in _OF_PATHS:
        stem = stem if stem in _SYSTEM_PLACES else PATH
    elif "@" in stem:
        stem = stem.partition("@")[0] + "@"
    if kind in ("scope", "slice"):
        stem = NAME if kind == "scope" and stem.startswith("machine-") else _DIGITS.sub(NUMBER, _ID.sub(NAME, stem))
    elif stem.startswith("run-"):
        stem = _DIGITS.sub(NUMBER, stem)  # systemd-run gave it its name
    return _printable(stem + dot + kind)[:UNIT_CHARS_MAX]


def line(text: str, name: str) -> str:
    """A line of systemd's about the unit `name`; empty where it may hold what others wrote, such as a description."""
    told = unit(name)
    head, colon, rest = text.partition(": ")
    if colon and head == name:
        return _printable(f"{told}: {_plain(rest)}")[:LINE_CHARS_MAX]
    job = _JOB.match(text)
    if job is not None and text[job.end() :].startswith(name):
        return f"{job[1]} {told}"
    return ""


def _plain(text: str) -> str:
    """Without names of processes and files, and what is quoted."""
    text = _PROCESS.sub(rf"\1 {NUMBER}", text)
    text = _QUOTED.sub(lambda found: found[0] if _OWN_QUOTED.match(found[0]) else NAME, text)
    return _WORD_PATH.sub(lambda found: found[0] if privacy.is_system(found[0]) else PATH, text)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join([char if char.isprintable() else "?" for char in text])
