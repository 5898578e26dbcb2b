# SPDX-License-Identifier: Apache-2.0
"""What telemctl may ask of telemd as a whole (docs/protocol.md, section 7): how it is, stop, reload, limits, its id.

Each verb takes a request that it looks through, and gives an answer of bounded size, at once. What concerns single
records is in recordverbs.
"""

from __future__ import annotations

import os
import time

from telemd import __version__, machineid, recordverbs, watchverbs
from telemd.machineid import MachineIdError
from telemd.statusreport import spool_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from telemd.clock import Clock
    from telemd.config import Settings
    from telemd.control import Verb
    from telemd.inbound import Inbound
    from telemd.intake import Intake
    from telemd.outbound import Outbound
    from telemd.request import Request
    from telemd.segment import Host
    from telemd.spool import Spool

    Answer = Mapping[str, object]

    class Running(Protocol):
        """What of the daemon the verbs see."""

        clock: Clock
        inbound: Inbound
        intake: Intake
        outbound: Outbound
        started_us: int

        @property
        def settings(self) -> Settings:
            """In force."""
            ...

        @property
        def spool(self) -> Spool | None:
            """Where the owner has opted in and it can be used."""
            ...

        @property
        def host(self) -> Host | None:
            """This machine on the records of the moment."""
            ...

        @property
        def opted_in(self) -> bool:
            """The owner has, when it was looked at last."""
            ...

        @property
        def named(self) -> bool:
            """Its machine id is a lasting one."""
            ...

        def reload(self) -> str:
            """Read the configuration again; what is wrong with it."""
            ...

        def stop(self) -> None:
            """Soon."""
            ...

        def look_at_host(self) -> None:
            """The machine id may have changed."""
            ...

        def write_journal(self) -> None:
            """What was accepted since the last time."""
            ...


def table(daemon: Running) -> dict[str, Verb]:
    """All verbs, by name."""
    own = Verbs(daemon)
    return {
        "ping": own.ping,
        "status": own.status,
        "stop": own.stop,
        "reload": own.reload,
        "limits": own.limits,
        "id-rotate": own.id_rotate,
        "journal": own.journal,
        **recordverbs.table(daemon),
        **watchverbs.table(daemon),
    }


class Verbs:
    """Of one daemon."""

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon

    def ping(self, request: Request) -> Answer:
        """It is there."""
        request.done()
        return {}

    def stop(self, request: Request) -> Answer:
        """It will end; pid tells which process to wait for."""
        request.done()
        self._daemon.stop()
        return {"pid": os.getpid()}

    def reload(self, request: Request) -> Answer:
        """Whether the configuration holds now, or why not."""
        request.done()
        problem = self._daemon.reload()
        return {"reloaded": not problem, "message": problem}

    def limits(self, request: Request) -> Answer:
        """Each window with its fill."""
        request.done()
        return self._daemon.inbound.limits.report(self._daemon.clock.minute())

    def journal(self, request: Request) -> Answer:
        """The journal's file has all that was accepted before this question."""
        request.done()
        self._daemon.write_journal()
        return {}

    def id_rotate(self, request: Request) -> Answer:
        """Another machine id, from now on."""
        request.done()
        daemon = self._daemon
        if daemon.host is None:
            return {"ok": False, "message": "not opted in, so that there is no machine id: `telemctl opt-in` first"}
        before = daemon.host.machine_id.hex()
        try:
            problem = machineid.rotate(daemon.settings, time.time())
        except MachineIdError as error:
            problem = str(error)
        if problem:
            return {"ok": False, "message": problem}
        daemon.look_at_host()
        return {"before": before, "machine_id": daemon.host.machine_id.hex()}

    def status(self, request: Request) -> Answer:
        """Figures of everything."""
        request.done()
        daemon = self._daemon
        if daemon.spool is not None:
            daemon.inbound.account(daemon.spool)
        counts = daemon.intake.counts()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_us": daemon.started_us,
            "opted_in": daemon.opted_in,
            "server": daemon.settings.server,
            "spool_dir": daemon.settings.spool_dir,
            "machine_id": daemon.host.machine_id.hex() if daemon.host is not None else "",
            "named": daemon.named,
            "connections": counts.connections,
            "closed_for_room": counts.closed_for_room,
            "delivery": daemon.outbound.report(time.monotonic_ns() // 1_000_000, time.time_ns() // 1000),
            **(spool_report(daemon.spool) if daemon.spool is not None else {}),
        }
