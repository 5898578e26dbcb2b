# SPDX-License-Identifier: Apache-2.0
"""pstoreprobe: send what the last kernel said when it died, and what the firmware says of the last boot.

Runs once, after a boot. A file is removed only when telemd has every report that was in it; one in which there is no
report is removed, too, since it takes the room of the next. How files are put together stands in pstore, what a report
is in kernel/ and oops.
"""

from __future__ import annotations

import posix

from libtelemetry import Record, RecordError
from telemetry_probes import derivedids, offering, oops, ownstate, pstore
from telemetry_probes.consent import privacy_is_lifted
from telemetry_probes.kernel import dumpfiles, dumpreports, identity, sending
from telemetry_probes.kernel.incidents import Incidents
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Program, need_consent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.kernel.dumpfiles import File
    from telemetry_probes.pstore import Dump

BERT = "/sys/firmware/acpi/tables/data/BERT"
BERT_CLASS = "org.clearlinux/bert/debug"
BERT_BYTES_MAX = 32_768
BERT_SEVERITY = 2
REPORTS_MAX = 256
"""Of one run; the rest stays for the next."""

OPTIONS = (
    CONFIG_FILE,
    Option("d", "directory", "DIR", f"look here instead of {dumpfiles.PSTORE} and where pstoreclean puts files"),
    Option("b", "bert", "FILE", f"the firmware's record of errors, instead of {BERT}"),
    Option("k", "keep", "", "leave the files where they are"),
    HELP,
    VERSION,
)
PROGRAM = Program("pstoreprobe", "Sends what the last kernel said when it died.", OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """Send all there is. 0 when nothing is left to be sent, 1 when something is."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    need_consent()
    folder = ownstate.folder()
    places = (given["d"],) if "d" in given else (f"{folder}/pstore", dumpfiles.PSTORE)
    run = _Run(ownstate.secret(folder), "k" in given)
    for place in places:
        run.folder(place)
    run.bert(given.get("b", BERT))
    return run.end()


class _Run:
    """One run. A report that is in several dumps, as all are that come before the last, is sent once."""

    __slots__ = ("_keeps", "_left", "_lifted", "_secret", "_sent", "_why")

    def __init__(self, secret: bytes, keeps: bool) -> None:
        self._secret = secret
        self._keeps = keeps
        self._lifted = privacy_is_lifted()
        self._sent: set[bytes] = set()
        self._left = 0
        self._why = ""

    def folder(self, path: str) -> None:
        """Everything in there. OSError where it can't be read."""
        files = {each.name: each for each in dumpfiles.listed(path)}
        parts: list[pstore.Part] = []
        for each in files.values():
            try:
                part = pstore.part(each.name, each.content(), each.time_s)
            except OSError as error:
                self._leave(f"{path}/{each.name}: {error.strerror}")
                continue
            if isinstance(part, str):
                self._leave(f"{path}/{each.name}: {part}")
            else:
                parts.append(part)
        # dumps before what was on the console: they have all of it that counts, with level and time
        for dump in sorted(pstore.dumps(parts), key=lambda dump: dump.reason == "console"):
            if self._dump(dump) and not self._keeps:
                self._removed([files[name] for name in dump.names])

    def bert(self, path: str) -> None:
        """The firmware's own record of an error that it could not tell before the boot, if there is one."""
        try:
            fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
        except OSError:
            return
        try:
            content = posix.read(fd, BERT_BYTES_MAX)
        except OSError:
            return
        finally:
            posix.close(fd)
        if not content.strip(b"\0"):
            return
        from binascii import b2a_base64

        derived = derivedids.keyed(self._secret, b"bert", content)
        with Record(
            BERT_CLASS,
            b2a_base64(content, newline=False),
            severity=BERT_SEVERITY,
            record_id=derivedids.laid_out(derived),
            event_id=derived,
        ) as record:
            self._offered(record)

    def end(self) -> int:
        """The exit code; says what was left."""
        if self._left:
            return PROGRAM.failed(f"{self._left} left for the next time: {self._why}")
        return 0

    def _dump(self, dump: Dump) -> bool:
        """Is all of it at telemd?"""
        reports = dumpreports.reports(dump)
        incidents = Incidents(self._secret)
        for report in reports[:REPORTS_MAX]:
            found = oops.parse(report, self._lifted)
            event = incidents.event(report, found)
            name = identity.record_id(self._secret, found)
            if name in self._sent:
                continue
            try:
                with sending.record(found, self._secret, dump.time_s * 1_000_000, event, 0, found.kernel) as record:
                    if not self._offered(record):
                        return False
            except RecordError as error:
                self._leave(str(error))
                return False
            self._sent.add(name)
        return len(reports) <= REPORTS_MAX

    def _offered(self, record: Record) -> bool:
        """What telemd will never take counts as done: it would never leave pstore."""
        outcome, why = offering.offer(record)
        if outcome == offering.LATER:
            self._leave(why)
        elif outcome == offering.NEVER:
            PROGRAM.say(why)
        return outcome != offering.LATER

    def _leave(self, why: str) -> None:
        self._left += 1
        self._why = self._why or why

    def _removed(self, files: list[File]) -> None:
        for each in files:
            try:
                each.remove()
            except OSError as error:
                self._leave(f"{each.folder}/{each.name} can't be removed: {error.strerror}")
