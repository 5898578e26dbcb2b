# SPDX-License-Identifier: Apache-2.0
"""The mark that bootprobe leaves as the machine goes down in order: which boot ended, how, and when.

One line in one small file. What is damaged is no mark. Pure: text in, values out.
"""

from __future__ import annotations

NAME = "boot-end"
"""Of the file."""
STOPPED = "stopped"
"""Not the machine ended but whoever would have left the mark: nothing is known of that boot's end."""
TARGETS = {
    "reboot.target": "reboot", "poweroff.target": "poweroff", "halt.target": "halt", "kexec.target": "kexec",
    "soft-reboot.target": "soft-reboot", "exit.target": "exit", "shutdown.target": "shutdown",
}  # fmt: skip
"""systemd.special(7); the last where it is not said what comes after."""
HOW = (*TARGETS.values(), STOPPED)


class Mark:
    """`boot`: its id; `how`: one of HOW; `time_s` since 1970."""

    __slots__ = ("boot", "how", "time_s")

    def __init__(self, boot: str, how: str, time_s: int) -> None:
        self.boot = boot
        self.how = how
        self.time_s = time_s


def how(jobs: str) -> str:
    """Of what `systemctl list-jobs` prints (number, unit, type, state): how the machine is going down, else STOPPED."""
    found = {words[1] for words in map(str.split, jobs.splitlines()) if len(words) >= 3 and words[2] == "start"}
    for target, name in TARGETS.items():
        if target in found:
            return name
    return STOPPED


def written(mark: Mark) -> bytes:
    """What is in the file."""
    return f"{mark.boot or '-'} {mark.how} {mark.time_s} end\n".encode()


def read(content: bytes) -> Mark | None:
    """What written() made."""
    words = content.decode("ascii", "replace").split()
    if len(words) != 4 or words[3] != "end" or words[1] not in HOW or not words[2].isdigit() or len(words[2]) > 12:
        return None
    return Mark("" if words[0] == "-" else words[0], words[1], int(words[2]))
