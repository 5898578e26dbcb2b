# SPDX-License-Identifier: Apache-2.0
"""What any program said with priority 0 to 3 (emerg, alert, crit, err), where the owner lifted the privacy filters.

Everybody can write such lines, as many as he likes: one of a kind is sent a few times and then counted, and all
together have a budget. Pure: entries in, values out; time is an argument.
"""

from __future__ import annotations

import re

from telemetry_probes.journal import trusted
from telemetry_probes.kernel.repeats import Repeats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.jsontext import Value
    from telemetry_probes.journal.source import Entry

KIND = "message"
BURST, EVERY_S = 60.0, 30.0
"""Lines that are sent at once, of whatever kind, and one more every so many seconds."""
MESSAGE_CHARS_MAX = 2048
WORD_CHARS_MAX = 256
_CHANGING = re.compile(r"0x[0-9a-fA-F]+|\d+|\b[0-9a-fA-F]{8,}\b")
_NAMES = (
    ("unit", "_SYSTEMD_UNIT"), ("comm", "_COMM"), ("exe", "_EXE"), ("uid", "_UID"), ("transport", "_TRANSPORT"),
    ("said_to_be", "SYSLOG_IDENTIFIER"),
)  # fmt: skip


class Loud:
    """One line that is to be sent."""

    __slots__ = ("entry", "fields", "fingerprint", "more")

    def __init__(self, entry: Entry, fields: dict[str, Value], fingerprint: str, more: int) -> None:
        """`more`: of the same kind that were counted and not sent since the last."""
        self.entry = entry
        self.fields = fields
        self.fingerprint = fingerprint
        self.more = more


class Sieve:
    """Which of them are sent. `left_out`: how many the budget had no room for, which are in no other count."""

    __slots__ = ("_budget", "_own_pid", "_repeats", "_then_s", "left_out")

    def __init__(self, own_pid: int, now_s: float) -> None:
        """`own_pid`: of the probe, whose own complaints are told to the operator alone."""
        self._own_pid = own_pid
        self._repeats = Repeats()
        self._budget = BURST
        self._then_s = now_s
        self.left_out = 0

    def admit(self, entry: Entry, now_s: float) -> Loud | None:
        """None for what isn't sent."""
        if entry.count("_PID") == self._own_pid or told_otherwise(entry):
            return None
        message = _clean(entry.text("MESSAGE"), MESSAGE_CHARS_MAX)
        fields: dict[str, Value] = {"kind": KIND, "priority": entry.count("PRIORITY"), "message": message}
        fields.update({name: text for name, field in _NAMES if (text := _clean(entry.text(field), WORD_CHARS_MAX))})
        fingerprint = _fingerprint(fields, message)
        fields["fingerprint"] = fingerprint
        self._budget = min(BURST, self._budget + max(0.0, now_s - self._then_s) / EVERY_S)
        self._then_s = now_s
        if self._budget < 1.0:
            self.left_out += 1
            return None
        more = self._repeats.admit(fingerprint, now_s)
        if more is None:
            return None
        self._budget -= 1.0
        return Loud(entry, fields, fingerprint, more)


def told_otherwise(entry: Entry) -> bool:
    """systemd on a unit that failed, or a core: these have records of their own."""
    kind = entry.text("MESSAGE_ID")
    return entry.count("_PID") == 1 and kind in trusted.OF_UNITS or kind == trusted.DUMPED


def _fingerprint(fields: dict[str, Value], message: str) -> str:
    """Who said it, by what journald knows, and the words without numbers."""
    from _blake2 import blake2b

    who = "\n".join([str(fields.get(name, "")) for name in ("unit", "comm", "exe")])
    said = f"{who}\n{_CHANGING.sub('#', message)}"
    digest: str = blake2b(said.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return digest


def _clean(text: str, chars_max: int) -> str:
    text = text[:chars_max]
    return (
        text if text.isprintable() else "".join([char if char.isprintable() or char == "\n" else "?" for char in text])
    )
