# SPDX-License-Identifier: Apache-2.0
"""The way in: drain, judge, make durable, answer. One round of it takes whatever came while the last one synced.

Wires intake, admission and spool; keeps no rule of its own. Where the owner hasn't opted in there is no spool,
and nothing is made on disk.
"""

from __future__ import annotations

from itertools import groupby, zip_longest

from telemd import admission
from telemd.admission import Accept, Refuse
from telemd.fates import ID_LEN, REFUSALS_MAX, REFUSED, Fates
from telemd.intake import Batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.admission import Policy
    from telemd.intake import Counts, Intake, Run
    from telemd.limits import Limits
    from telemd.recordcopies import RecordCopies
    from telemd.segment import Host
    from telemd.spool import Spool
    from telemd.watch import Watch

REASON_RATE_LIMIT = 17


def _admitted(run: Run, policy: Policy) -> bool:
    match admission.judge(run.classification, run.payload_kind, run.uid, policy):
        case Accept(lane):
            run.accept(lane)
            return True
        case Refuse(reason):
            run.refuse(reason)
            return False


class Inbound:
    """Records from the sockets to the spool. batch is clear between two calls."""

    def __init__(self, intake: Intake, limits: Limits) -> None:
        self.intake = intake
        self.limits = limits
        self.refusals = Fates(REFUSALS_MAX)
        self.copies: RecordCopies | None = None  # where the owner wants some
        self.watch: Watch | None = None  # while somebody looks
        self.batch = Batch()
        self.trimmed = True
        self._counted: Counts = intake.counts()

    def round(
        self, spool: Spool | None, policy: Policy, host: Host | None, now_ms: int, now_us: int, minute: int
    ) -> int:
        """Take in and answer what has come; how many records that was. now_ms is monotonic, now_us
        the wall clock, minute a running number that never jumps."""
        count = self.intake.drain(self.batch, now_ms)
        if count == 0:
            return 0
        self.trimmed = False
        lanes: set[int] = set()
        if spool is not None:
            for index, line in enumerate(spool.ledger.lanes):
                self.limits.stand(index, line.cursor, line.next_seq)
        for run in self.batch.runs():
            if _admitted(run, policy):
                lanes.add(run.lane)
                self._limit(run, policy, minute, now_us)
        if spool is not None and host is not None:
            self._keep(spool, lanes, host, now_us)
        if self.watch is not None:
            self.watch.take(self.batch, now_us)
        self.intake.answer(self.batch)
        return count

    def take(self, spool: Spool, policy: Policy, host: Host, now_us: int) -> list[tuple[int, int]]:
        """Make durable what was added to `batch`, which came over no connection. The limits don't hold for it: it was
        accepted before. Each entry's verdict and reason, in order; the batch is clear again then."""
        self.trimmed = False
        lanes = {run.lane for run in self.batch.runs() if _admitted(run, policy)}
        self._keep(spool, lanes, host, now_us)
        results = self.batch.results()
        if self.watch is not None:
            self.watch.take(self.batch, now_us)
        self.intake.answer(self.batch)
        return results

    def _keep(self, spool: Spool, lanes: set[int], host: Host, now_us: int) -> None:
        if lanes:
            spool.append(self.batch, lanes, host, now_us)
            if self.copies is not None:
                self.copies.take(self.batch, host)
        ids, reasons = self.batch.refused()
        begin = 0
        for reason, same in groupby(reasons):
            end = begin + sum(1 for _ in same)
            self.refusals.add(ids[ID_LEN * begin : ID_LEN * end], REFUSED, now_us, reason)
            begin = end

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

    def unwatch(self, now_ms: int) -> None:
        """Nobody looks any more: forget what was kept for that."""
        if self.watch is not None and now_ms >= self.watch.due_ms:
            self.watch = None

    def trim(self) -> None:
        """Give memory back; for when nothing has come for a while."""
        if not self.trimmed:
            self.batch.trim()
            self.trimmed = True
