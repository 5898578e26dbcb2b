# SPDX-License-Identifier: Apache-2.0
"""What is known of the end of the last boot: values, each from one source, None or empty where the source is silent.

Pure: nothing is read here, and nothing is judged; that is `collecting`'s and `verdict`'s.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.boots.marks import Mark
    from telemetry_probes.boots.wtmp import Word

REASON_CHARS_MAX = 240
RELEASE_CHARS_MAX = 128
STOPPED, GOING_DOWN, CUT = "stopped", "going-down", "cut"
"""How a boot's journal ends: it was stopped, systemd was about to go, or in the middle."""


class KernelReport:
    """What a kernel said before it ended. `when_s`: when a dump was written, since 1970, or 0; `before_end_s`: how long
    before the journal's last entry, or None; `event`: 16 bytes, the same in the report's own record."""

    __slots__ = ("before_end_s", "classification", "event", "kernel", "kind", "reason", "when_s")

    def __init__(
        self, kind: str, classification: str, reason: str, kernel: str, event: bytes, when_s: int = 0,
        before_end_s: int | None = None,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.classification = classification
        self.reason = reason[:REASON_CHARS_MAX]
        self.kernel = kernel[:RELEASE_CHARS_MAX]
        self.event = event
        self.when_s = when_s
        self.before_end_s = before_end_s


class LastEntry:
    """One of the last lines of a journal. `who`: a unit without its instance, or kernel; `text` only where the privacy
    filters are lifted."""

    __slots__ = ("before_end_s", "priority", "text", "who")

    def __init__(self, who: str, priority: int, before_end_s: int, text: str) -> None:
        self.who = who
        self.priority = priority
        self.before_end_s = before_end_s
        self.text = text


class JournalEnd:
    """The end of a boot's journal. `stage`: REASON_CHARS_MAX = 240
    RELEASE_CHARS_MAX = 128
    STOPPED, GOING_DOWN or CUT; `how`: as in marks.HOW, or empty; `asleep`: the
        machine had been put to sleep and has not said that it woke up; `reports`: what the kernel said in its last
        minutes."""

    __slots__ = ("asleep", "boot", "how", "last_entries", "reports", "stage")

    def __init__(self, boot: str, stage: str, how: str) -> None:
        self.boot = boot
        self.stage = stage
        self.how = how
        self.asleep = False
        self.reports: list[KernelReport] = []
        self.last_entries: list[LastEntry] = []


class Watchdog:
    """A watchdog device. `causes`: what it says of the last reset, by the names in `watchdogs`."""

    __slots__ = ("causes", "identity")

    def __init__(self, identity: str, causes: tuple[str, ...]) -> None:
        self.identity = identity
        self.causes = causes


class Evidence:
    """All of it. `mark`: the last boot's; `watched`: bootprobe was there until that boot ended, so that a mark would
    be there after an end in order; `panics`: reports out of pstore; `dumps`: how many dumps kdump has written since
    that boot began; `reset`: the processor's own word on the last reset; `release_before`, `build_before`: of the
    kernel that ran, empty where nobody knows."""

    __slots__ = (
        "build", "build_before", "dumps", "journal", "mark", "panics", "release", "release_before", "reset",
        "watchdogs", "watched", "wtmp",
    )  # fmt: skip

    def __init__(self) -> None:
        self.mark: Mark | None = None
        self.watched = False
        self.journal: JournalEnd | None = None
        self.wtmp: Word | None = None
        self.panics: list[KernelReport] = []
        self.dumps = 0
        self.watchdogs: list[Watchdog] = []
        self.reset: list[str] = []
        self.release = ""
        self.build = ""
        self.release_before = ""
        self.build_before = ""
