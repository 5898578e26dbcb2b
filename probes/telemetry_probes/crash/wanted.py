# SPDX-License-Identifier: Apache-2.0
"""Is a crash looked at, by its core limit and by how often its program crashes? Asked first, and imports little: of a
program that dies again and again nothing else is done.
"""

from __future__ import annotations

from telemetry_probes.crash import circumstances, crashloop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.dying import Dying
    from telemetry_probes.crash.handler import Places
    from telemetry_probes.crash.kernelsaid import KernelSaid

NO_LIMIT_HEEDED = "crash-ignore-core-limit"
"""Files beside the opt-in: no core limit is an opt-out, ..."""
SOFT_LIMIT_HEEDED = "crash-heed-soft-core-limit"
"""... a soft one of 0 is one, too."""

TEST_NAME = "telemctl-test"
"""What a process calls itself that `telemctl crash test` made."""


def executable_of(said: KernelSaid, process: Dying | None) -> str:
    """Its path; empty where nobody knows."""
    return (process.executable if process is not None else "") or said.path


def is_wanted(said: KernelSaid, process: Dying | None, places: Places, now_s: float) -> bool:
    """Counts it, unless it is none of our business."""
    if _is_opt_out(said, process, places):
        return False
    limited = not is_test(said, process)
    return crashloop.enter(places.state, executable_of(said, process), now_s, said.uid, limited).send


def is_test(said: KernelSaid, process: Dying | None) -> bool:
    """The owner of this machine had it crash, to see its report: that is counted, and never one too many. In a
    container anybody may be root."""
    on_host = process is not None and not process.own_root and not process.own_pids
    return on_host and said.uid == 0 and said.comm == TEST_NAME


def _is_opt_out(said: KernelSaid, process: Dying | None, places: Places) -> bool:
    """Its core limit says that nothing of it is to be kept. A soft limit of 0 is what every login has."""
    if places.owner_said(NO_LIMIT_HEEDED):
        return False
    if said.core_limit == 0 and places.owner_said(SOFT_LIMIT_HEEDED):
        return True
    return process is not None and circumstances.hard_core_limit(process.text("limits")) == 0
