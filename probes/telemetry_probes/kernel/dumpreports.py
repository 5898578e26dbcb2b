# SPDX-License-Identifier: Apache-2.0
"""The reports in what a kernel left in pstore. Pure: a dump's text in, reports out."""

from __future__ import annotations

from telemetry_probes.kernel import lines
from telemetry_probes.kernel.assembly import Assembler, Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.kernel.assembly import Report
    from telemetry_probes.pstore import Dump


def reports(dump: Dump) -> list[Report]:
    """All of them, in their order; a line without a time has that of the one before."""
    assembler = Assembler()
    found: list[Report] = []
    now_us = 0
    for seq, written in enumerate(dump.text.splitlines()):
        time_us, caller, text = lines.unprefixed(written)
        now_us = now_us if time_us is None else time_us
        found += assembler.feed(Line(text, now_us, seq, caller))
    return found + assembler.flush()
