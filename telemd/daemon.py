# SPDX-License-Identifier: Apache-2.0
"""The only event loop: wires the rooms, wakes each when it is due, and reads like a wiring diagram.

What a record is, whether it may come in, how it is kept and when it is sent is decided elsewhere.
"""

from __future__ import annotations

import logging
import os
import signal

from telemd import __version__, listening, optin, reloading, verbs
from telemd.admission import Policy
from telemd.clock import Clock, now_ms, now_us
from telemd.control import Control
from telemd.courierport import CourierPort, courier_command, courier_environment
from telemd.descriptors import connections_max
from telemd.destinations import NamedFiles, destination_of
from telemd.identity import Identity
from telemd.idleness import Idleness
from telemd.importer import Rooms
from telemd.inbound import Inbound
from telemd.intake import Intake
from telemd.keptstate import KeptState
from telemd.lastaccepted import LastAccepted
from telemd.limits import Limits
from telemd.outbound import Outbound
from telemd.polling import Polling
from telemd.recordcopies import RecordCopies
from telemd.servicestate import ServiceState
from telemd.signals import Signals
from telemd.spoolplace import SpoolPlace
from telemd.statusreport import status_sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Loaded, Settings
    from telemd.listening import Sockets
    from telemd.segment import Host
    from telemd.spool import Spool

log = logging.getLogger("telemd")

TICK_MS: Final = 1000  # the ledger's counters and the journal follow at most so far behind
IDLE_TICK_MS: Final = 60_000
STOP_MS: Final = 1000  # how long a stop goes on taking in what had already come


class Daemon:
    """One telemd. open() may raise ListenError, MachineIdError, OSError or SpoolDirectoryError; run() returns when it
    was told to stop, or when it was idle for long enough and systemd will call it again."""

    def __init__(self, loaded: Loaded, config_path: str | None) -> None:
        self.loaded = loaded
        self.config_path = config_path
        self.started_us = now_us()
        self.clock = Clock()
        self.service = ServiceState()
        self.intake = Intake(connections_max(loaded.settings))
        self.inbound = Inbound(self.intake, Limits(loaded.settings))
        self.inbound.copies = RecordCopies() if loaded.settings.record_retention_enabled else None
        self.outbound = _outbound(loaded.settings)
        self.control: Control | None = None
        self._identity = Identity(self.intake)
        self._place = SpoolPlace(self._identity, optin.how_to(config_path))
        self._idleness = Idleness(self.inbound, self.outbound, self._place, now_ms())
        self._kept = KeptState(self.inbound, self.outbound, self.clock)
        self._last_accepted = LastAccepted(self.inbound)
        self._signals = Signals()
        self._sockets: Sockets | None = None
        self._polling = Polling()
        self._tick_due_ms: int | None = None
        self._watchdog_due_ms: int | None = None
        self._stopping = False

    @property
    def settings(self) -> Settings:
        """In force."""
        return self.loaded.settings

    @property
    def spool(self) -> Spool | None:
        """Where the owner has opted in and it can be used."""
        return self._place.spool

    @property
    def host(self) -> Host | None:
        """This machine on the records of the moment."""
        return self._identity.host

    @property
    def opted_in(self) -> bool:
        """The owner has, when it was looked at last."""
        return self._place.opted_in

    @property
    def named(self) -> bool:
        """The machine id is a lasting one: only then it sends metrics."""
        return self._identity.named

    # -- begin and end --

    def open(self) -> None:
        """Sockets, signals, spool; ready when it returns."""
        if self._place.enter(self.settings, now_ms(), now_us()):
            self._spool_opened(now_ms())
        sockets = self._sockets = listening.listen_at_all(self.settings)
        for path in sockets.unknown:
            log.warning("systemd passed a socket at %s that no setting names, ignoring", path)
        self.intake.listen(sockets.format5.socket.fileno(), 5)
        self.intake.listen(sockets.format4.socket.fileno(), 4)
        self.control = Control(sockets.control.socket, verbs.table(self))
        self._idleness.called_again = sockets.inherited
        self._signals.watch()
        for fd in (self.intake.fileno(), sockets.control.socket.fileno(), self._signals.fileno()):
            self._polling.watch(fd)
        if self.service.watchdog_ms:
            self._watchdog_due_ms = now_ms()
        self._say_notes()
        self._say_status(now_ms())
        self.service.ready()
        log.info("telemd %s is ready at %s", __version__, self.settings.telemd_socket_path)
        if not self.opted_in:
            log.warning("%s", optin.how_to(self.config_path))

    def stop(self) -> None:
        """run() returns soon."""
        self._stopping = True

    def close(self) -> None:
        """Everything that was acknowledged is on disk when this returns."""
        self.service.stopping()
        end_ms = now_ms() + STOP_MS
        while now_ms() < end_ms and self._round():
            pass  # what had reached our sockets before the end is still taken in
        if self.spool is not None:
            self._tick(now_ms())
            self._kept.keep_limits(self.settings, now_ms(), now_us())
            if self.service.listens:
                self._idleness.mark_left(self.settings)
        self.outbound.port.stop()
        self._place.close(now_us())
        if self.control is not None:
            self.control.close()
        if self._sockets is not None:
            self._sockets.close()
        self.intake.close()
        log.info("telemd has stopped")

    # -- the loop --

    def run(self) -> None:
        """Until told to stop, or idle."""
        while not self._stopping:
            ready = self._polling.wait(self._timeout_s())
            now = now_ms()
            for fd in ready:
                self._ready(fd, now)
            self._due(now)

    def _ready(self, fd: int, now: int) -> None:
        if fd == self.intake.fileno():
            self._round()
        elif fd == self._polling.courier_fd:
            self._courier_ready(now)
        elif fd == self._signals.fileno():
            self._handle(self._signals.take())
        elif self.control is not None and self.control.owns(fd):
            self.control.read(fd)
        elif self.control is not None and (caller := self.control.accept(now)) is not None:
            self._polling.watch(caller)

    def _due(self, now: int) -> None:
        if self.intake.timeout_ms(now) == 0:
            self._round()
        if now >= self._place.due_ms and self.spool is not None:
            self._look_at_opt_in(now)
        if self._tick_due_ms is not None and now >= self._tick_due_ms:
            self._tick(now)
        if self.spool is not None and now >= self._identity.due_ms:
            self._identity.look(self.settings, now, now_us())
        if self._place.importer is not None and self.opted_in and now >= self._place.importer.due_ms:
            self._import(now)
        if self._watchdog_due_ms is not None and now >= self._watchdog_due_ms and self.service.watchdog_ms:
            self.service.watchdog()
            self._watchdog_due_ms = now + self.service.watchdog_ms
        if self.control is not None:
            self.control.expire(now)
        self.inbound.unwatch(now)
        if self.spool is not None and self.opted_in:
            self.outbound.pump(self.spool, now, now_us())
            self._polling.watch_courier(self.outbound.port)
        if self._idleness.look(self.settings, now):
            log.info("idle for %d s: telemd leaves until somebody connects", self.settings.idle_exit_s)
            self._stopping = True

    def _timeout_s(self) -> float:
        now = now_ms()
        spool, importer = self.spool, self._place.importer
        intake_ms = self.intake.timeout_ms(now)
        times = [
            now + intake_ms if intake_ms >= 0 else None,
            self._tick_due_ms,
            self._watchdog_due_ms,
            self._identity.due_ms if spool is not None else None,
            importer.due_ms if importer is not None and self.opted_in else None,
            self.control.due_ms() if self.control is not None else None,
            self.inbound.watch.due_ms if self.inbound.watch is not None else None,
            self.outbound.due_ms(spool, now, now_us()) if spool is not None and self.opted_in else None,
            self._idleness.due_ms(self.settings),
        ]
        due = min((each for each in times if each is not None), default=None)
        return -1 if due is None else max(0, due - now) / 1000

    def _busy(self, now: int) -> None:
        """Something happened: the next tick is near."""
        self._idleness.busy_ms = now
        self._tick_due_ms = min(self._tick_due_ms or now + TICK_MS, now + TICK_MS)

    def _tick(self, now: int) -> None:
        """What may lag behind a little: counters, journal, the sentences for the log."""
        self._tick_due_ms = None
        self._look_at_spool(now)
        if self.spool is not None:
            self.inbound.account(self.spool)
            if jump_us := self.clock.jumped_us():
                log.warning("the clock was set by %d s: nothing in the spool ages by that", jump_us // 1_000_000)
                self.spool.clock_jumped(jump_us)
            self.spool.expire(now_us())
            self.spool.flush(now_us())
            self.write_journal()
            self._kept.keep(self.settings, now, now_us())
            if self._place.importer is not None and self._place.importer.idle:
                self._place.importer.due_ms = now
        self._say_notes()
        self._say_status(now)
        if self.spool is not None and self.spool.pending():
            self._tick_due_ms = now + IDLE_TICK_MS  # only to see what expires

    def _say_notes(self) -> None:
        notes = self.spool.take_notes() if self.spool is not None else []
        for sentence in notes + self.outbound.notes:
            log.warning("%s", sentence)
        for sentence in self.outbound.news:
            log.info("%s", sentence)
        self.outbound.notes.clear()
        self.outbound.news.clear()

    def _say_status(self, now: int) -> None:
        self.service.status(status_sentence(self.spool, self.opted_in, self.outbound.report(now, now_us())))

    # -- the spool's place --

    def _look_at_opt_in(self, now: int) -> None:
        if self._place.look(self.settings, now, now_us()):
            self._spool_opened(now)

    def _spool_opened(self, now: int) -> None:
        self._kept.recall(self.settings, now, now_us())
        if self.service.listens:
            self._idleness.mark_begun(self.settings)

    def _look_at_spool(self, now: int) -> None:
        """Where somebody has deleted it, or put another directory in its place, it is made anew."""
        if self.spool is None or not self.spool.is_lost():
            return
        log.error("%s was deleted, or is another one now: the spool begins anew there", self.settings.spool_dir)
        self.inbound.account(self.spool)
        self._say_notes()
        self.outbound.forget()
        self._place.leave_lost(now_us())
        self._look_at_opt_in(now)

    # -- records in --

    def _round(self) -> int:
        now = now_ms()
        if now >= self._place.due_ms:
            self._look_at_opt_in(now)
        count = self.inbound.round(self.spool, self._policy(), self.host, now, now_us(), self.clock.minute())
        if self.spool is not None and self.spool.trouble.in_doubt:
            self._look_at_spool(now)
        if count:
            self._busy(now)
            if self.inbound.copies is not None and self.inbound.copies.full:
                self.write_journal()
        return count

    def _policy(self) -> Policy:
        return Policy(self.opted_in, frozenset((0, os.geteuid())), self.named)

    def _import(self, now: int) -> None:
        importer = self._place.importer
        if importer is None or self.spool is None or self.host is None:
            return
        rooms = Rooms(self.inbound, self.spool, self._policy(), self.host, now_us())
        if importer.round(rooms, now):
            self._busy(now)
        for sentence in importer.take_notes():
            log.warning("%s", sentence)
        if count := importer.take_count():
            log.info("%d records that had been left as files are in the spool now", count)

    def write_journal(self) -> None:
        """What was accepted since the last time, for people to look at."""
        self._last_accepted.write(self.settings)

    # -- records out --

    def _courier_ready(self, now: int) -> None:
        if self.spool is None or not self.outbound.port.running:
            return
        if self.outbound.port.wants_to_write:
            self.outbound.port.write()
        self.outbound.readable(self.spool, now, now_us())
        self._busy(now)

    # -- signals and verbs --

    def _handle(self, signals: set[int]) -> None:
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self.stop()
        if signal.SIGHUP in signals:
            self.reload()

    def look_at_host(self) -> None:
        """The machine id may have changed."""
        self._identity.look(self.settings, now_ms(), now_us())

    def reload(self) -> str:
        """Take the configuration in force from now on, if it is valid; what is wrong with it otherwise."""
        self.service.reloading()
        loaded = reloading.read(self.config_path, self.settings)
        self.service.ready()
        if isinstance(loaded, str):
            return loaded
        settings, old, self.loaded = loaded.settings, self.settings, loaded
        reloading.take_up_inbound(settings, old, self.inbound, self.clock)
        reloading.take_up_outbound(settings, self.outbound)
        self._place.take_up(settings)
        if self.spool is not None:
            self.look_at_host()  # the owner may have given it a lasting id
        logging.getLogger().setLevel(settings.log_level.upper())
        log.info("the configuration was read again")
        return ""


def _outbound(settings: Settings) -> Outbound:
    environment = courier_environment(os.environ, settings.use_environment)
    port = CourierPort(courier_command(settings.courier_linger_s), environment, settings.courier_socket_path)
    files = NamedFiles((0, os.geteuid()), settings.owners_folder)
    return Outbound(port, destination_of(settings), settings.delivery_batch_records, settings.retry_max_s, files)
