# SPDX-License-Identifier: Apache-2.0
"""klogscanner: follow the kernel's log and send what it reports.

Runs as long as the machine does, and waits without waking up, but for systemd's watchdog. Its place in the log moves on
only past reports that telemd has: killed at any point it misses none, and what it sends once more has the same id. What
a report is and says stands in kernel/ and oops.
"""

from __future__ import annotations

from time import monotonic, sleep, time

from libtelemetry import RecordError, is_opted_in, telemctl
from telemetry_probes import kmsg, ownstate
from telemetry_probes.kernel import cursor
from telemetry_probes.kernel.assembly import GAP_US, Assembler, Line, Report
from telemetry_probes.kernel.incidents import Incidents
from telemetry_probes.kernel.repeats import Repeats
from telemetry_probes.notifying import Watchdog
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.patience import Patience
from telemetry_probes.program import Program, need_consent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libtelemetry import Record

BATCH = 1024
"""Records of the log that are read at a time."""
LINES_PER_S = 50_000
"""Read on average; the log's ring holds what comes faster for a while, and what is overwritten there is counted."""
WAITING_MAX = 32
"""Reports that wait for telemd; of more the newest are dropped, and that is said."""
CURSOR_EVERY_S = 60.0
"""How often the place is kept where nothing is reported."""

OPTIONS = (
    CONFIG_FILE,
    Option("k", "kmsg", "FILE", f"read this, not {kmsg.DEVICE}: a saved log, or the number of an open descriptor"),
    HELP,
    VERSION,
)
PROGRAM = Program("klogscanner", "Follows the kernel's log and sends what it reports.", OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """Follow the log until the end of it, or of the owner's consent. 0; 1 where it can't be read."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    need_consent()
    source = given.get("k", kmsg.DEVICE)
    try:
        reader = kmsg.opened(source)
    except OSError as error:
        todo = ": run it as root, or with CAP_SYSLOG" if isinstance(error, PermissionError) else ""
        return PROGRAM.failed(f"{source} can't be read ({error.strerror}){todo}")
    return _Scanner(reader, ownstate.folder()).run()


class _Waiting:
    """A record that telemd has not taken yet, and the first line it came of."""

    __slots__ = ("first_seq", "record")

    def __init__(self, first_seq: int, record: Record) -> None:
        self.first_seq = first_seq
        self.record = record


class _Scanner:
    """The log, what is being collected of it, and what waits for telemd."""

    __slots__ = (
        "_assembler", "_boot", "_consent_ended", "_cursor_failed", "_done_seq", "_folder", "_incidents", "_kept_s",
        "_kept_seq", "_lost_said", "_patience", "_reader", "_repeats", "_secret", "_waiting", "_watchdog",
    )  # fmt: skip

    def __init__(self, reader: kmsg.Reader, folder: str) -> None:
        self._reader = reader
        self._folder = folder
        self._secret = ownstate.secret(folder)
        self._boot = ownstate.boot_id()
        self._kept_seq = 0 if reader.is_saved else cursor.kept(folder, self._boot)
        self._done_seq = self._kept_seq
        self._kept_s = monotonic()
        self._assembler = Assembler()
        self._repeats = Repeats()
        self._waiting: list[_Waiting] = []
        self._patience = Patience()
        self._watchdog = Watchdog()
        self._incidents = Incidents(self._secret, self._boot)
        self._lost_said = 0
        self._consent_ended = False
        self._cursor_failed = False

    def run(self) -> int:
        """Until the end."""
        from select import POLLIN, poll

        polling = poll()
        polling.register(self._reader.fd, POLLIN)
        while self._goes_on():
            began_s = monotonic()
            self._watchdog.work(began_s)
            entries = self._reader.read(BATCH)
            for entry in entries:
                self._entry(entry)
            self._done_seq = max(self._done_seq, self._reader.next_seq)
            if not entries:
                self._now_quiet()
            self._offer()
            self._keep(False)
            if len(entries) == BATCH:
                sleep(max(0.0, BATCH / LINES_PER_S - (monotonic() - began_s)))
            elif self._goes_on():
                polling.poll(self._patience_ms())
        if not self._consent_ended:
            self._finished(self._assembler.flush())
            self._patience.lose()
            self._offer()
            self._keep(True)
        return 0 if not self._waiting else PROGRAM.failed(f"telemd didn't take all reports: {len(self._waiting)} left")

    def _goes_on(self) -> bool:
        return not (self._reader.ended or self._consent_ended)

    def _patience_ms(self) -> int | None:
        """How long to wait for a line at most; None for ever."""
        waits: list[float] = []
        if self._assembler.oldest_seq() is not None:
            waits.append(GAP_US / 1_000_000 / 4)
        if self._waiting:
            waits.append(max(0.05, self._patience.until_s - monotonic()))
        fed_s = self._watchdog.next_s()
        if fed_s is not None:
            waits.append(max(0.0, fed_s - monotonic()))
        return int(min(waits) * 1000) + 1 if waits else None

    def _entry(self, entry: kmsg.Entry) -> None:
        if entry.seq < self._done_seq and not self._reader.is_saved:
            return
        first = True
        for text in entry.lines():
            line = Line(text, entry.time_us, entry.seq, entry.caller, first and not entry.goes_on)
            self._finished(self._assembler.feed(line))
            first = False
        self._done_seq = entry.seq + 1

    def _now_quiet(self) -> None:
        """The kernel's clock is the monotonic one, near enough."""
        if self._assembler.oldest_seq() is not None:
            self._finished(self._assembler.quiet(int(monotonic() * 1_000_000)))

    def _finished(self, reports: list[Report]) -> None:
        for report in reports:
            self._report(report)
        if reports:
            self._offer()

    def _report(self, report: Report) -> None:
        from telemetry_probes import oops as reading
        from telemetry_probes.consent import privacy_is_lifted
        from telemetry_probes.kernel import sending

        found = reading.parse(report, privacy_is_lifted())
        event = self._incidents.event(report, found)
        more = self._repeats.admit(found.fingerprint, monotonic())
        if more is None:
            return
        if len(self._waiting) >= WAITING_MAX:
            PROGRAM.say(f"{WAITING_MAX} reports wait for telemd: this one is left out; see `{telemctl('status')}`")
            return
        age_us = 0 if self._reader.is_saved else max(0, int(monotonic() * 1_000_000) - report.time_us)
        created_us = int(time() * 1_000_000) - age_us
        try:
            record = sending.record(found, self._secret, created_us, event, more)
        except RecordError as error:
            PROGRAM.say(str(error))
            return
        self._waiting.append(_Waiting(report.first_seq, record))

    def _offer(self) -> None:
        """What waits, oldest first, until telemd doesn't take one."""
        if not self._waiting or monotonic() < self._patience.until_s:
            return
        from telemetry_probes import offering

        for _ in offering.dealt_with(self._waiting, self._patience, PROGRAM.say):
            self._watchdog.work(monotonic())
            self._keep(True)
        if not is_opted_in():
            self._consent_ended = True
            self._waiting.clear()
            PROGRAM.say("the owner has opted out: ended")

    def _keep(self, now: bool) -> None:
        """The place before which nothing is needed any more, on disk."""
        if self._consent_ended or self._reader.is_saved or not (now or monotonic() - self._kept_s >= CURSOR_EVERY_S):
            return
        needed = [waiting.first_seq for waiting in self._waiting]
        collecting = self._assembler.oldest_seq()
        if collecting is not None:
            needed.append(collecting)
        place = min([*needed, self._done_seq])
        self._kept_s = monotonic()
        if self._reader.lost > self._lost_said:
            PROGRAM.say(
                f"{self._reader.lost - self._lost_said} records of the log were overwritten before they were read"
            )
            self._lost_said = self._reader.lost
        if place > self._kept_seq:
            try:
                cursor.keep(self._folder, self._boot, place)
            except OSError as error:
                # what is read again after a restart has the same ids
                if not self._cursor_failed:
                    PROGRAM.say(
                        f"{self._folder}/cursor can't be written ({error.strerror}): a restart reads the log again"
                    )
                self._cursor_failed = True
                return
            self._kept_seq = place
            self._cursor_failed = False
