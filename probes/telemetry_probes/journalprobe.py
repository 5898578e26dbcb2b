# SPDX-License-Identifier: Apache-2.0
"""journalprobe: read the journal and send what failed: units, and programs that systemd-coredump has seen crash.

With -t it runs as long as the machine does, and waits without waking up, but for systemd's watchdog. Its place in the
journal moves on only past what telemd has: killed at any point it misses nothing, and what it sends once more has the
same id. What an entry means stands in journal/.
"""

from __future__ import annotations

import posix
from time import monotonic, sleep, time

from libtelemetry import Record, RecordError, is_opted_in
from telemetry_probes import ownstate
from telemetry_probes.consent import privacy_is_lifted, since_us
from telemetry_probes.journal import fields, trusted
from telemetry_probes.journal.incidents import Incidents
from telemetry_probes.journal.lane import Lane
from telemetry_probes.journal.source import NoJournal, Source, last_boot, limit_memory
from telemetry_probes.kernel.repeats import Repeats
from telemetry_probes.notifying import Watchdog
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.patience import Patience
from telemetry_probes.program import Program, need_consent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.journal.incidents import Incident
    from telemetry_probes.journal.loud import Loud, Sieve
    from telemetry_probes.journal.source import Entry

STATE = "telemetry-journal"
"""The directory of its place and its secret."""
PLACE, LOUD_PLACE = "place", "place-messages"
LOOK_EVERY_S = 1.0
"""However often journald tells of new entries."""
FAILURES_A_LOOK, FAILURES_REACH = 2_000, 20_000
LOUD_A_LOOK, LOUD_REACH = 500, 2_000
"""Entries that are read in one look, and how many it may be behind before the oldest are passed over."""
WAITING_MAX = 32
"""Records that wait for telemd; meanwhile the journal keeps what comes after them."""
DEMANGLE_S = 1.0
"""For the names of one crash: many may be told of in one look."""
KEEP_EVERY_S = 60.0
"""How often the place is kept where nothing is sent."""
CORE_PATTERN = "/proc/sys/kernel/core_pattern"
CHAINED = b" -K %P "
"""In core_pattern: crashprobe looks at each crash itself, and then hands it on to systemd-coredump."""

OPTIONS = (
    Option("t", "tail", "", "go on with what is written from now on, until it is ended"),
    Option("D", "directory", "DIR", "read the journal's files in this directory, not the system's"),
    CONFIG_FILE,
    HELP,
    VERSION,
)
PROGRAM = Program("journalprobe", "Reads the journal and sends what failed.", OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """To the end of the journal or, with -t, of the owner's consent. 0; 1 where it can't be read or something was
    left."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    need_consent()
    limit_memory()
    try:
        source = Source(given.get("D", ""), trusted.FAILURES)
    except NoJournal as error:
        return PROGRAM.failed(str(error))
    if source.is_closed_to_us:
        return PROGRAM.failed("this user sees no journal: run it as root, or as a member of the group systemd-journal")
    return _Probe(source, ownstate.folder(STATE), "t" in given).run()


class _Waiting:
    """A record that telemd has not taken yet, the first entry it came of, and of an incident that."""

    __slots__ = ("first", "incident", "is_loud", "record")

    def __init__(self, record: Record, first: Entry, incident: Incident | None, is_loud: bool) -> None:
        self.record = record
        self.first = first
        self.incident = incident
        self.is_loud = is_loud


class _Probe:
    """The journal, what is being collected of it, and what waits for telemd."""

    __slots__ = (
        "_boot", "_consent_ended", "_directory", "_folder", "_follows", "_incidents", "_kept_s", "_lane", "_loud",
        "_patience", "_repeats", "_secret", "_sieve", "_waiting", "_watchdog",
    )  # fmt: skip

    def __init__(self, source: Source, folder: str, follows: bool) -> None:
        self._directory = source.directory
        self._folder = folder
        self._follows = follows
        self._secret = ownstate.secret(folder)
        self._boot = last_boot(source.directory) or ownstate.boot_id().replace("-", "")
        self._lane = Lane(source, folder, PLACE, fields.OF_FAILURES, FAILURES_A_LOOK, FAILURES_REACH, PROGRAM.say)
        self._lane.begin(self._boot, int(time() * 1_000_000), since_us())
        self._loud: Lane | None = None
        self._sieve: Sieve | None = None
        self._incidents = Incidents()
        self._repeats = Repeats()
        self._waiting: list[_Waiting] = []
        self._patience = Patience()
        self._watchdog = Watchdog()
        self._kept_s = monotonic()
        self._consent_ended = False

    def run(self) -> int:
        """Until the end."""
        while True:
            began_s = monotonic()
            self._watchdog.work(began_s)
            at_end = self._look(int(began_s * 1_000_000))
            if at_end and not self._follows:
                break
            self._offer()
            self._keep(False)
            if self._consent_ended:
                return 0
            self._wait(at_end)
            sleep(max(0.0, began_s + LOOK_EVERY_S - monotonic()))
        for incident in self._incidents.end():
            self._failed_unit(incident)
        self._patience.lose()
        self._offer()
        self._keep(True)
        if not self._waiting:
            return 0
        return PROGRAM.failed(f"telemd didn't take all records: {len(self._waiting)} left for the next time")

    def _wait(self, at_end: bool) -> None:
        """For more of the journal, or until something else is due."""
        from select import POLLIN, poll

        waits = [] if at_end else [0.0]
        quiet_us = self._incidents.next_quiet_us()
        if quiet_us is not None:
            waits.append(quiet_us / 1_000_000 - monotonic())
        if self._waiting:
            waits.append(self._patience.until_s - monotonic())
        fed_s = self._watchdog.next_s()
        if fed_s is not None:
            waits.append(fed_s - monotonic())
        polling = poll()
        lanes = [self._lane] if self._loud is None else [self._lane, self._loud]
        if len(self._waiting) < WAITING_MAX:
            for lane in lanes:
                polling.register(lane.fd, POLLIN)
                if lane.look_again_ms >= 0:
                    waits.append(lane.look_again_ms / 1000)
        polling.poll(int(max(0.0, min(waits)) * 1000) + 1 if waits else None)
        for lane in lanes:
            lane.changed()

    # -- reading --

    def _look(self, now_us: int) -> bool:
        """Read what there is. Was that all? `now_us`: of the clock that entries have, before this."""
        lifted = privacy_is_lifted()
        for entry in self._lane.entries() if self._has_room() else ():
            if entry.text("MESSAGE_ID") == trusted.DUMPED:
                self._crash(entry, lifted)
            elif not self._is_told(entry):
                for incident in self._incidents.feed(entry):
                    self._failed_unit(incident)
            if not self._has_room():
                break
        at_end = self._lane.at_end
        if at_end and self._follows:
            for incident in self._incidents.quiet(now_us):
                self._failed_unit(incident)
        at_end = self._look_loud(lifted) and at_end
        return at_end or not self._has_room()

    def _has_room(self) -> bool:
        """For a further record. Where there is none the journal keeps what comes."""
        if len(self._waiting) >= WAITING_MAX:
            self._offer()
        return len(self._waiting) < WAITING_MAX

    def _is_told(self, entry: Entry) -> bool:
        """It was dealt with before the probe was started."""
        boot, until_us = self._lane.told.get(entry.text("UNIT"), ("", 0))
        return boot == entry.boot and entry.monotonic_us <= until_us

    def _look_loud(self, lifted: bool) -> bool:
        if not lifted:
            if self._loud is not None:
                self._loud.close()
                self._loud = self._sieve = None
                self._waiting = [waiting for waiting in self._waiting if not waiting.is_loud]
            return True
        from telemetry_probes.journal import loud

        now_s = monotonic()
        if self._loud is None or self._sieve is None:
            try:
                source = Source(self._directory, trusted.LOUD)
            except NoJournal as error:
                PROGRAM.say(str(error))
                return True
            self._loud = Lane(source, self._folder, LOUD_PLACE, fields.OF_LINES, LOUD_A_LOOK, LOUD_REACH, PROGRAM.say)
            self._loud.begin(self._boot, int(time() * 1_000_000), since_us())
            self._sieve = loud.Sieve(posix.getpid(), now_s)
        for entry in self._loud.entries() if self._has_room() else ():
            found = self._sieve.admit(entry, now_s)
            if found is not None:
                self._loud_line(found)
            if not self._has_room():
                break
        return self._loud.at_end

    # -- records --

    def _failed_unit(self, incident: Incident) -> None:
        self._watchdog.work(monotonic())  # one may take seconds, and many may come in one look
        from telemetry_probes.journal import context, failure, payload

        lifted = privacy_is_lifted()
        found = failure.Failure(incident, lifted)
        more = self._repeats.admit(found.fingerprint, monotonic(), found.failures)
        if more is None:
            self._is_dealt_with(incident)
            return
        around = context.of(found, self._directory, lifted)
        told = found.fields()
        if around.before:
            told["lines_before"] = around.before
        if around.after:
            told["lines_after"] = around.after
        first = incident.first
        content = payload.payload(told, found.sentences(), more, earlier_boot=first.boot != self._boot)
        self._record(
            failure.CLASS, failure.SEVERITY, payload.VERSION, content, first, around.event, incident=incident
        )  # fmt: skip

    def _crash(self, entry: Entry, lifted: bool) -> None:
        if _hands_on():
            return  # crashprobe has told of it
        self._watchdog.work(monotonic())
        from telemetry_probes import eventid
        from telemetry_probes.crash.demangle import Demangler
        from telemetry_probes.journal import coredump

        found = coredump.crash(entry, lifted, lambda names: Demangler().readable(names, DEMANGLE_S))
        if found is None:
            return
        more = self._repeats.admit(found.kind, monotonic())
        if more is None:
            return
        version, content = found.payload(more)
        event = eventid.of_crash(entry.boot, found.pid)
        self._record(found.classification, found.severity, version, content, entry, event)

    def _loud_line(self, found: Loud) -> None:
        from telemetry_probes.journal import failure, payload

        entry = found.entry
        text = [f"MESSAGE={found.fields['message']}"]
        content = payload.payload(found.fields, text, found.more, earlier_boot=entry.boot != self._boot)
        self._record(failure.CLASS, failure.SEVERITY, payload.VERSION, content, entry, b"", is_loud=True)

    def _record(
        self, classification: str, severity: int, version: int, content: bytes, first: Entry, event: bytes, *,
        incident: Incident | None = None, is_loud: bool = False,
    ) -> None:  # fmt: skip
        from telemetry_probes import derivedids

        cursor = first.cursor.encode()
        try:
            record = Record(
                classification, content, severity=severity, payload_version=version,
                record_id=derivedids.record_id(self._secret, b"journal record", cursor),
                event_id=event or derivedids.keyed(self._secret, b"journal event", cursor),
                created_us=max(0, first.realtime_us),
            )  # fmt: skip
        except RecordError as error:
            PROGRAM.say(str(error))
            return
        self._waiting.append(_Waiting(record, first, incident, is_loud))

    # -- what telemd has --

    def _offer(self) -> None:
        """What waits, oldest first, until telemd doesn't take one."""
        if not self._waiting or monotonic() < self._patience.until_s:
            return
        from telemetry_probes import offering

        for each in offering.dealt_with(self._waiting, self._patience, PROGRAM.say):
            self._watchdog.work(monotonic())
            if each.incident is not None:
                self._is_dealt_with(each.incident)
        if is_opted_in():
            self._keep(True)
            return
        self._consent_ended = True
        self._waiting.clear()
        PROGRAM.say("the owner has opted out: ended")

    def _is_dealt_with(self, incident: Incident) -> None:
        self._lane.told.pop(incident.unit, None)
        self._lane.told[incident.unit] = (incident.last.boot, incident.last.monotonic_us)

    def _keep(self, now: bool) -> None:
        """The place before which nothing is needed any more, on disk."""
        if self._consent_ended or not (now or monotonic() - self._kept_s >= KEEP_EVERY_S):
            return
        self._kept_s = monotonic()
        if self._sieve is not None and self._sieve.left_out:
            PROGRAM.say(f"{self._sieve.left_out} urgent messages were left out: there were too many of them")
            self._sieve.left_out = 0
        needed = [waiting.first for waiting in self._waiting if not waiting.is_loud]
        collecting = self._incidents.oldest()
        if collecting is not None:
            needed.append(collecting)
        self._lane.keep(min(needed, key=lambda entry: entry.number) if needed else None)
        if self._loud is not None:
            self._loud.keep(next((waiting.first for waiting in self._waiting if waiting.is_loud), None))


def _hands_on() -> bool:
    """Has crashprobe told of what systemd-coredump is told of?"""
    try:
        fd = posix.open(CORE_PATTERN, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        return CHAINED in posix.read(fd, 256)
    finally:
        posix.close(fd)
