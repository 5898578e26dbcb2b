# SPDX-License-Identifier: Apache-2.0
"""The kernel calls: a process died and still exists, its core begins on standard input (core(5)).

Two processes. One opens what needs root, gives up all rights, looks, lets the dead process go, and sends. The other
gives up all rights at once and only waits: what the first one died of becomes a record and a line in the journal.
Never in here: how a core is looked at (`examine`), what may be told (`privacy`, `report`).
"""

from __future__ import annotations

import posix
from time import time

from libtelemetry import TelemetryError, setting
from telemetry_probes.crash import dying, faults, leastprivilege, steps, wanted
from telemetry_probes.crash.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.kernelsaid import KernelSaid
    from telemetry_probes.crash.leastprivilege import Account
    from telemetry_probes.crash.model import Now
    from telemetry_probes.crash.steps import AtStep

SECONDS_MAX = 30
"""For all of it; looking at the core has 10 of them, waiting for a turn 5."""
STDIN = 0
ENDED_WELL, FAILED, NOT_DELIVERED = 0, 1, 2
NOBODY_S = "telemetrics-nobody"
"""A folder in /run: there the limits are kept, up to the next boot, while there is no user telemetry."""


class Places:
    """Where things are on this machine, or below the state root of a configuration of its own."""

    __slots__ = ("drop", "kept", "owners_folder", "run", "spool", "state")

    def __init__(self) -> None:
        """TelemetryError where the configuration is no use."""
        root = setting("state_root")
        self.owners_folder = setting("opt_in_path").rpartition("/")[0]
        self.spool = setting("spool_dir")
        self.run = f"{root}/run"
        self.state = f"{root}/var/lib/telemetry"
        self.drop = f"{self.spool}/drop"
        self.kept = self.state

    def writable(self) -> tuple[str, ...]:
        """What a handler writes to: the limits, the drop directory (or where that is to be made), and nothing."""
        try:
            posix.lstat(self.drop)
        except OSError:
            return self.state, self.spool, "/dev/null"
        return self.state, self.drop, "/dev/null"

    def make_nobody_s(self, who: Account) -> bool:
        """As root: a folder in which nobody can keep the limits. False where that can't be, or wouldn't be safe."""
        try:
            above = posix.open(self.run, posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
        except OSError:
            return False
        try:
            about = posix.fstat(above)
            if about.st_uid != 0 or about.st_mode & 0o022:
                return False
            try:
                posix.mkdir(NOBODY_S, 0o700, dir_fd=above)
            except FileExistsError:
                pass
            posix.chown(NOBODY_S, who.uid, who.gid, dir_fd=above, follow_symlinks=False)
        except OSError:
            return False
        finally:
            posix.close(above)
        self.state = f"{self.run}/{NOBODY_S}"
        self.kept = ""  # nobody would look there, and no opt-out delete it
        return True

    def owner_said(self, name: str) -> bool:
        """Whether the owner of the machine made that file beside the opt-in."""
        try:
            posix.stat(f"{self.owners_folder}/{name}")
        except OSError:
            return False
        return True


def handle(said: KernelSaid, now: Now, at_step: AtStep | None = None) -> int:
    """Report one crash. 0 when that was done or isn't wanted; every fault is told here."""
    log = faults.kernel_log()
    try:
        places = Places()
    except TelemetryError as error:
        faults.tell(f"process {said.pid} crashed and is not reported: {error.strerror}", faults.ERROR, log)
        return FAILED
    who = leastprivilege.account(places.state)
    is_limited = who.is_known or places.make_nobody_s(who)
    called = dying.own_start()
    try:
        reading, writing = posix.pipe()
        worker = posix.fork()
    except OSError as error:
        faults.tell(f"process {said.pid} crashed: no process to look at it ({error.strerror})", faults.ERROR, log)
        return FAILED
    if worker == 0:
        posix._exit(_worker(said, called, now, places, who, Steps(writing, at_step)))
    posix.close(writing)
    _let_go()
    try:
        leastprivilege.drop(who, places.writable())
    except OSError:
        # There is nothing left to be done as root but to wait and to say one line.
        posix.waitpid(worker, 0)
        faults.tell(
            f"process {said.pid} crashed: rights couldn't be given up ({faults.of_exception()})", faults.ERROR, log
        )
        return FAILED
    if not who.is_known:
        limits = "" if is_limited else f", without limits ({places.run} is no place to keep them in)"
        faults.tell(
            f"there is no user {leastprivilege.USER}, crashes are looked at as nobody{limits}: run `systemd-sysusers`",
            faults.WARNING, log,
        )  # fmt: skip
    _, status = posix.waitpid(worker, 0)
    if status == 0:
        return ENDED_WELL
    return _failed(said, places, status, reading, log)


def _failed(said: KernelSaid, places: Places, status: int, reading: int, log: int) -> int:
    """Tell of a worker that didn't end well, and report what the kernel said, unless nothing could be delivered. Where
    the worker was ended as it sent its report, that may be there too, with the same event id."""
    step, fault = steps.read(reading)
    fault = fault or faults.of_status(status)
    text = f"process {said.pid} crashed; while {step}: {fault}"
    sent = ""
    if posix.WIFSIGNALED(status) or posix.WEXITSTATUS(status) != NOT_DELIVERED:
        try:
            from telemetry_probes.crash import sending

            sent = sending.fault(said, places, f"the crash handler failed while {step}: {fault}")
        except Exception:
            sent = faults.of_exception()
    faults.tell(f"{text}; {sent}" if sent else text, faults.ERROR, log)
    return FAILED


def _worker(
    said: KernelSaid, called: int | None, now: Now, places: Places, who: Account, progress: Steps
) -> int:  # fmt: skip
    try:
        leastprivilege.end_after(SECONDS_MAX)
        progress.at(steps.OPENING)
        process = dying.opened(said, called)
        progress.at(steps.GIVING_UP)
        leastprivilege.limit()
        leastprivilege.drop(who, places.writable())
        progress.at(steps.COUNTING)
        now_s = time()
        if not wanted.is_wanted(said, process if not isinstance(process, str) else None, places, now_s):
            progress.at(steps.DONE)
            return ENDED_WELL
        from telemetry_probes.crash.atwork import work

        undelivered = work(said, process, now, now_s, places, progress, _let_go)
        if undelivered:
            progress.fault(undelivered)
            return NOT_DELIVERED
        progress.at(steps.DONE)
        return ENDED_WELL
    except BaseException:
        try:
            progress.fault(faults.of_exception())
        except OSError:
            pass  # nobody waits any more
        return FAILED


def _let_go() -> None:
    """The kernel ends the process when nobody has the pipe any more. Descriptor 0 stays taken, by nothing."""
    nothing = posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)
    posix.dup2(nothing, STDIN)
    posix.close(nothing)


def have_descriptors() -> None:
    """The kernel gives a handler standard input alone: what is opened next must not become its output."""
    while True:
        fd = posix.open("/dev/null", posix.O_RDWR)
        if fd > 2:
            posix.close(fd)
            return
