# SPDX-License-Identifier: Apache-2.0
"""One crash, from its descriptors to its record: what happens after all rights are gone."""

from __future__ import annotations

import posix

from telemetry_probes import consent
from telemetry_probes.crash import circumstances, crashloop, examine, faults, privacy, steps, wanted
from telemetry_probes.crash.live import Live
from telemetry_probes.crash.model import SignalInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.dying import Dying
    from telemetry_probes.crash.handler import Places
    from telemetry_probes.crash.jsontext import Value
    from telemetry_probes.crash.kernelsaid import KernelSaid
    from telemetry_probes.crash.model import Now
    from telemetry_probes.crash.steps import Steps

STDIN = 0
COMMAND_LINE_SENT = "opt-in-crash-command-line"
"""A file beside the opt-in: the command line of a program is sent with its crash."""
OWN_UNIT = "telemd.service"


def work(
    said: KernelSaid, found: Dying | str, now: Now, now_s: float, places: Places, progress: Steps,
    let_go: Callable[[], None],
) -> str:  # fmt: skip
    """Empty, or why the report couldn't be delivered. `found`: the process, or why it can't be had; `now_s` is the time
    of day."""
    process = found if not isinstance(found, str) else None
    executable = wanted.executable_of(said, process)
    lifted = consent.privacy_is_lifted()
    about: dict[str, Value] = {}
    cgroup = process.text("cgroup") if process is not None else b""  # now: soon it is gone
    unit = circumstances.unit(cgroup)
    doubts = [found] if isinstance(found, str) else []
    looked_at = examine.foregone(examine.Asked(executable=executable), lifted)
    if looked_at is not None:
        let_go()
    else:
        asked = examine.Asked(_name(said, process), executable, said.signal or None)
        if crashloop.turn(places.state) is None:  # held until this process ends
            let_go()
            doubts.append("more programs crashed at once than are looked at")
            looked_at = _unseen(said, asked, lifted, doubts)
        else:
            progress.at(steps.READING)
            about = _about(said, process, places)
            live = Live(process, said.pid, _is_guarded(said, process), {}, _then(let_go, progress))
            looked_at = examine.examine(STDIN, asked, lifted, now, live=live)
            let_go()
    from telemetry_probes.crash import packages, sending  # nobody waits for that any more
    from telemetry_probes.crash.report import NOT_SENT

    report = looked_at.report
    admitted = crashloop.admit(
        places.state, executable, report.fingerprint if report is not None else "", now_s, said.uid,
        not wanted.is_test(said, process),
    )  # fmt: skip
    if not admitted.send:
        return ""
    if report is not None:
        report.flags = (*report.flags, *doubts)
        report.about = about
        if privacy.RULE_GUARDED in report.flags:  # by what only the core said
            about.pop("command_line", None)
        if admitted.seen:
            about["seen_before"] = admitted.seen
        if admitted.more:
            about[NOT_SENT] = admitted.more
        package = packages.owner(executable) if _is_host_s(process, executable) else None
        if package is not None:
            about["package"] = {"manager": package.manager, "name": package.name, "version": package.version}
    progress.at(steps.SENDING)
    undelivered = sending.send(said, looked_at, places, to_drop=unit == OWN_UNIT)
    if unit and not undelivered and not circumstances.is_users(cgroup):
        faults.reported(said.pid, unit, said.signal)
    return undelivered


def _is_guarded(said: KernelSaid, process: Dying | None) -> bool:
    return said.is_guarded or (process is not None and circumstances.has_other_rights(process.text("status")))


def _name(said: KernelSaid, process: Dying | None) -> str:
    return (circumstances.name(process.text("stat")) if process is not None else "") or said.comm


def _is_host_s(process: Dying | None, executable: str) -> bool:
    """Is it the system's file of that name on the host? Services often have mounts of their own, and the same files."""
    fd = process.files.get(executable, -1) if process is not None else -1
    if fd < 0 or not privacy.is_system(executable):
        return False
    try:
        own, host = posix.fstat(fd), posix.stat(executable)
    except OSError:
        return False
    return (own.st_dev, own.st_ino) == (host.st_dev, host.st_ino)


def _then(let_go: Callable[[], None], progress: Steps) -> Callable[[], None]:
    def gone() -> None:
        let_go()
        progress.at(steps.NAMING)

    return gone


def _unseen(said: KernelSaid, asked: examine.Asked, lifted: bool, flags: list[str]) -> examine.Examined:
    """A report of what the kernel said alone."""
    from telemetry_probes.crash.report import Report, Subject

    signal = SignalInfo(said.signal, 0, None, None) if said.signal else None
    subject = Subject(asked.process, asked.executable, said.pid, signal, "", 0)
    return examine.Examined(privacy.decide(asked.executable, lifted), Report(subject, [], flags, lifted))


def _about(said: KernelSaid, process: Dying | None, places: Places) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if process is None:
        return found
    stat, cgroup = process.text("stat"), process.text("cgroup")
    unit = circumstances.unit(cgroup)
    if unit:
        found["unit"] = unit
    container = circumstances.container(cgroup)
    if container:
        found["container"] = container
    if process.own_pids:
        found["inner_pid"] = said.inner_pid
    uptime_s = circumstances.uptime_s(stat, _uptime())
    if uptime_s is not None:
        found["uptime_s"] = uptime_s
    found.update(circumstances.memory(process.text("status")))
    if not _is_guarded(said, process) and places.owner_said(COMMAND_LINE_SENT):
        found["command_line"] = circumstances.arguments(process.text("cmdline"))
    return found


def _uptime() -> bytes:
    try:
        fd = posix.open("/proc/uptime", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return posix.read(fd, 128)
    finally:
        posix.close(fd)
