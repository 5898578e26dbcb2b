# SPDX-License-Identifier: Apache-2.0
"""The way in: drain, judge, make durable, answer. One round of it takes whatever came while the last one synced.

Wires intake, admission and spool; keeps no rule of its own. Where the owner hasn't opted in there is no spool,
and nothing is made on disk.
"""

from __future__ import annotations

from itertools import zip_longest

from telemd import admission
from telemd.admission import Accept, Refuse
from telemd.intake import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.admission import Policy
    from telemd.intake import Counts, Intake, Run
    from telemd.limits import Limits
    from telemd.segment import Host
    from telemd.spool import Spool

REASON_RATE_LIMIT = 17


class Inbound:
    """Records from the sockets to the spool."""

    def __init__(self, intake: Intake, limits: Limits) -> None:
        self.intake = intake
        self.limits = limits
        self._batch = Batch()
        self.trimmed = True
        self._counted: Counts = intake.counts()

    def round(
        self, spool: Spool | None, policy: Policy, host: Host | None, now_ms: int, now_us: int, minute: int
    ) -> int:
        """Take in and answer what has come; how many records that was. now_ms is monotonic, now_us
        the wall clock, minute a running number that never jumps."""
        count = self.intake.drain(self._batch, now_ms)
        if count == 0:
            return 0
        self.trimmed = False
        lanes: set[int] = set()
        for run in self._batch.runs():
            match admission.judge(run.classification, run.payload_kind, run.uid, policy):
                case Accept(lane):
                    run.accept(lane)
                    lanes.add(lane)
                    self._limit(run, policy, minute, now_us)
                case Refuse(reason):
                    run.refuse(reason)
        if spool is not None and host is not None and lanes:
            spool.append(self._batch, lanes, host, now_us)
        self.intake.answer(self._batch)
        return count

    def _limit(self, run: Run, policy: Policy, minute: int, now_us: int) -> None:
        """Defer or refuse what is above a limit; nothing is done record by record where all may pass."""
        source = None if run.uid in policy.privileged_uids else run.uid
        grants = self.limits.admit(
            run.lane, source, minute, run.count, run.total_bytes, lambda: [entry.length for entry in run.entries()]
        )
        if len(grants) == 1 and grants[0].count == run.count and grants[0].wait_min == 0:
            return
        if not grants:
            run.refuse(REASON_RATE_LIMIT)
            return
        waits = [grant.wait_min for grant in grants for _ in range(grant.count)]
        for entry, wait_min in zip_longest(run.entries(), waits):
            if wait_min is None:
                entry.refuse(REASON_RATE_LIMIT)
            elif wait_min:
                entry.defer(now_us + wait_min * 60_000_000)

    def account(self, spool: Spool) -> None:
        """Hand the counts since the last call to the spool's ledger."""
        counts, before = self.intake.counts(), self._counted
        refused = [now - then for now, then in zip(counts.refused, before.refused, strict=True)]
        duplicate = counts.duplicate - before.duplicate
        received = counts.durable - before.durable + duplicate + sum(refused)
        self._counted = counts
        spool.count_intake(received, refused, duplicate)

    def trim(self) -> None:
        """Give memory back; for when nothing has come for a while."""
        if not self.trimmed:
            self._batch.trim()
            self.trimmed = True
