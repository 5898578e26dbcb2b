# SPDX-License-Identifier: Apache-2.0
"""bootprobe: one record of each boot: how the one before it ended, how long this one took, what was changed in between.

Runs once, as the machine comes up, and with --ended as it goes down, to leave a mark for the next time. What is read
and how it is judged stands in boots/.
"""

from __future__ import annotations

import posix

from libtelemetry import JSON, Record, RecordError, is_opted_in
from telemetry_probes import derivedids, offering, ownstate
from telemetry_probes.boots import marks
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Mistake, Program, need_consent, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.boots.kept import Waiting
    from telemetry_probes.boots.timing import Timing

RETRY_S, RETRY_S_MAX = 1.0, 30.0
PATIENCE_S = 300.0
"""How long telemd is offered a record; what it hasn't taken then waits for the next run."""

OPTIONS = (
    CONFIG_FILE,
    Option("e", "ended", "", "the machine is going down: leave a mark that says so"),
    Option("n", "no-post", "", "show what would be sent, and send and keep nothing"),
    Option("r", "root", "DIR", "look at the system below DIR; how long its boot took is not told"),
    HELP,
    VERSION,
)
PROGRAM = Program("bootprobe", "Sends how the last boot ended, and how this one went.", OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """Send it, or leave the mark. 0; 1 where something is left to be sent, or can't be kept."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    if "e" in given:
        return _leave_mark()
    need_consent()
    root = given.get("r", "").rstrip("/")
    if root and not _is_folder(root):
        raise Mistake(f"{root} is not a directory: name the root of a system")
    boot = ownstate.boot_id(f"{root}{ownstate.BOOT_ID}") if root else _boot_id()
    if not _is_boot_id(boot):
        raise Mistake("the kernel doesn't say which boot this is (/proc/sys/kernel/random/boot_id): is /proc mounted?")
    run = _Boot(root, boot)
    return run.show() if "n" in given else run.send()


def _leave_mark() -> int:
    """As the machine goes down; where only this unit is stopped, that is what the mark says. Where the owner has opted
    out, what is kept of boots goes."""
    from time import time

    from telemetry_probes.boots import asking, kept

    if not is_opted_in():
        if b"STATE_DIRECTORY" in posix.environ:
            kept.forget(ownstate.folder())
        return 0
    folder = ownstate.folder()
    boot = kept.read(folder).boot  # nothing has to be known of one that is not told of
    if boot:
        mark = marks.Mark(boot, marks.how(asking.jobs()), int(time()))
        ownstate.keep(folder, marks.NAME, marks.written(mark))
    return 0


class _Boot:
    """This boot, and what is kept of those before."""

    __slots__ = ("_boot", "_folder", "_root", "_secret", "_unkept")

    def __init__(self, root: str, boot: str) -> None:
        self._root = root
        self._boot = boot
        self._folder = ownstate.folder()
        self._secret = ownstate.secret(self._folder)
        self._unkept = ""

    def show(self) -> int:
        """What would be sent, on standard output."""
        from telemetry_probes.boots import asking, kept
        from telemetry_probes.crash import jsontext

        one = self._made()
        self._time(one, None if self._root else asking.started())
        if kept.read(self._folder).boot == self._boot:
            PROGRAM.say(
                "this boot's record was sent already; this one is made without what was kept of the boot before"
            )
        output(jsontext.write(one.payload).encode() + b"\n")
        return 0

    def send(self) -> int:
        """This boot's record, where it hasn't been sent, and those that wait."""
        from telemetry_probes.boots import asking, kept

        self._watch()
        waiting = kept.waiting(self._folder)
        if kept.read(self._folder).boot != self._boot:
            made = self._made()
            waiting = [one for one in waiting if one.boot != self._boot] + [made]
            self._keep_waiting(made)
            self._remember(made)
        _ready()
        for one in waiting:
            if one.boot == self._boot and not one.timed:
                self._time(one, None if self._root else asking.started())
                self._keep_waiting(one)
        left = self._offer(waiting)
        if left:
            # a failed unit is not asked at the end: nothing must follow from a mark that isn't there
            self._keep_mark(marks.STOPPED)
            return PROGRAM.failed(f"{len(left)} left for the next time: {left[0]}")
        return PROGRAM.failed(self._unkept) if self._unkept else 0

    def _made(self) -> Waiting:
        from time import time

        from telemetry_probes.boots import collecting, kept, payload, verdict
        from telemetry_probes.consent import privacy_is_lifted

        lifted, now_s = privacy_is_lifted(), int(time())
        before = kept.read(self._folder)
        if before.boot == self._boot:  # told already: of the boot before nothing is kept any more
            before = kept.Kept()
        found = collecting.collected(self._root, self._folder, self._secret, self._boot, before, lifted, now_s)
        judged = verdict.judged(found.evidence)
        event_id = judged.event or derivedids.keyed(self._secret, b"boot event", self._boot.encode())
        fields = payload.fields(found, judged, before, lifted)
        return kept.Waiting(
            self._boot, event_id, verdict.SEVERITIES[judged.reason], now_s * 1_000_000, bool(self._root), fields
        )

    def _remember(self, made: Waiting) -> None:
        """What the next boot is compared with."""
        from telemetry_probes.boots import kept

        now = kept.Kept()
        kernel, line = made.payload["kernel"], made.payload["command_line"]
        now.boot = self._boot
        now.told_s = made.created_us // 1_000_000
        now.release, now.build = kernel["release"], kernel["build"]
        now.line_hash, now.words = line["hash"], line["words"]
        try:
            kept.keep(self._folder, now)
        except OSError as error:
            self._failed_to_keep(error)

    def _time(self, one: Waiting, taken: Timing | None) -> None:
        """How long the start took, where that is known."""
        from telemetry_probes.boots import payload

        if taken is not None:
            one.payload = payload.timed(one.payload, taken)
        one.timed = True

    def _offer(self, waiting: list[Waiting]) -> list[str]:
        """Why each of those is left that telemd hasn't taken; the others are gone."""
        from time import monotonic, sleep

        from telemetry_probes.boots import kept

        until_s, pause_s = monotonic() + PATIENCE_S, RETRY_S
        left: list[str] = []
        for one in waiting:
            outcome, why = self._offered(one)
            while outcome == offering.LATER and is_opted_in() and monotonic() + pause_s < until_s:
                sleep(pause_s)
                pause_s = min(RETRY_S_MAX, pause_s * 2)
                outcome, why = self._offered(one)
            if outcome == offering.LATER:
                left.append(why)
                continue
            if outcome == offering.NEVER:
                PROGRAM.say(why)
            kept.remove(self._folder, one.boot)
        return left

    def _offered(self, one: Waiting) -> tuple[int, str]:
        from telemetry_probes.boots import payload
        from telemetry_probes.crash import jsontext

        try:
            with Record(
                payload.CLASSIFICATION,
                jsontext.write(one.payload),
                severity=one.severity,
                payload_version=payload.VERSION,
                payload_kind=JSON,
                record_id=derivedids.record_id(self._secret, b"boot record", one.boot.encode()),
                event_id=one.event_id,
                created_us=one.created_us,
            ) as record:
                return offering.offer(record)
        except RecordError as error:
            return offering.NEVER, str(error)

    def _watch(self) -> None:
        """From now on an end without a mark is one that was not in order."""
        mark = marks.read(ownstate.kept(self._folder, marks.NAME))
        if mark is not None and mark.boot == self._boot:
            try:
                posix.unlink(f"{self._folder}/{marks.NAME}")
            except OSError as error:
                self._failed_to_keep(error)

    def _keep_mark(self, how: str) -> None:
        from time import time

        try:
            ownstate.keep(self._folder, marks.NAME, marks.written(marks.Mark(self._boot, how, int(time()))))
        except OSError as error:
            self._failed_to_keep(error)

    def _keep_waiting(self, one: Waiting) -> None:
        from telemetry_probes.boots import kept

        try:
            kept.keep_waiting(self._folder, one)
        except OSError as error:
            self._failed_to_keep(error)

    def _failed_to_keep(self, error: OSError) -> None:
        self._unkept = f"{self._folder} can't be written ({error.strerror}): the next run sends the record again"


def _ready() -> None:
    """systemd starts what has to come after what has been read."""
    from telemetry_probes import notifying

    if why := notifying.tell(b"READY=1"):
        PROGRAM.say(f"systemd can't be told that it may go on: {why}")


def _boot_id() -> str:
    """This boot's: as systemd knows it, else as the kernel does."""
    given = posix.environ.get(b"CREDENTIALS_DIRECTORY", b"").decode("utf-8", "surrogateescape")
    told = ownstate.boot_id(f"{given}/boot-id") if given else ""
    return told if _is_boot_id(told) else ownstate.boot_id()


def _is_folder(path: str) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except (OSError, ValueError):
        return False


def _is_boot_id(text: str) -> bool:
    return len(text) == 36 and not set(text) - set("0123456789abcdef-")
