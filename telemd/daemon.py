# SPDX-License-Identifier: Apache-2.0
"""The only event loop, clock and signal handler: wires the rooms and reads like a wiring diagram.

What a record is, whether it may come in, how it is kept and when it is sent is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import signal
import time

import libtelemetry
from telemd import (
    __version__,
    config,
    journalfile,
    limitsfile,
    listening,
    machineid,
    optin,
    recordcopies,
    retryfile,
    verbs,
)
from telemd.admission import Policy
from telemd.clock import Clock
from telemd.control import Control
from telemd.courierframes import DESTINATION_NAMES, Destination
from telemd.courierport import CourierPort, courier_command, courier_environment
from telemd.disk import Disk, SpoolDirectoryError
from telemd.importer import Importer, Rooms
from telemd.inbound import Inbound
from telemd.intake import Intake
from telemd.limits import Limits
from telemd.machineid import MachineIdError
from telemd.outbound import Outbound
from telemd.recordcopies import RecordCopies
from telemd.segment import Host
from telemd.servicestate import ServiceState
from telemd.spool import Spool
from telemd.statusreport import status_sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings
    from telemd.ledger import Ledger
    from telemd.listening import Listener

log = logging.getLogger("telemd")

TICK_MS: Final = 1000  # the ledger's counters and the journal follow at most so far behind
IDLE_TICK_MS: Final = 60_000
OPT_IN_LOOK_MS: Final = 500
TRIM_AFTER_MS: Final = 5000
LIMITS_KEEP_MS: Final = 60_000
STOP_MS: Final = 1000  # how long a stop goes on taking in what had already come
HOST_LOOK_MS: Final = 3_600_000
DESCRIPTORS_SPARE: Final = 64
CONNECTIONS_MAX: Final = 8192


def now_ms() -> int:
    """Monotonic."""
    return time.monotonic_ns() // 1_000_000


def now_us() -> int:
    """Wall clock."""
    return time.time_ns() // 1000


class Daemon:
    """One telemd. open() may raise ListenError or SpoolDirectoryError; run() returns when it was told to stop, or
    when it was idle for long enough and systemd will call it again."""

    def __init__(self, loaded: config.Loaded, config_path: str | None) -> None:
        self.loaded = loaded
        self.config_path = config_path
        self.service = ServiceState()
        self.intake = Intake(_connections_max(loaded.settings))
        self.inbound = Inbound(self.intake, Limits(loaded.settings))
        if loaded.settings.record_retention_enabled:
            self.inbound.copies = RecordCopies()
        self.outbound = self._outbound(loaded.settings)
        self.spool: Spool | None = None
        self.importer: Importer | None = None
        self.host: Host | None = None
        self._account: Ledger | None = None  # of a spool that was deleted, until there is another
        self.control: Control | None = None
        self.started_us = now_us()
        self.clock = Clock()
        self._listeners: list[Listener] = []
        self._epoll = select.epoll()
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._signals: set[int] = set()
        self._opted_in = False
        self._opt_in_due_ms = 0
        self._host_due_ms = 0
        self._limits_due_ms = 0
        self._kept_failures = 0
        self._tick_due_ms: int | None = None
        self._watchdog_due_ms: int | None = None
        self._busy_ms = now_ms()
        self._marks = 0
        self._courier_fd = -1
        self._stopping = False
        self._trouble = ""

    @property
    def settings(self) -> Settings:
        """In force."""
        return self.loaded.settings

    @property
    def opted_in(self) -> bool:
        """The owner has, when it was looked at last."""
        return self._opted_in

    # -- begin and end --

    def open(self) -> None:
        """Sockets, signals, spool; ready when it returns."""
        self._look_at_opt_in(now_ms())
        try:
            asked = self._listen()
        except listening.ListenError:
            for listener in self._listeners:
                listener.close()
            raise
        self.control = Control(asked.socket, verbs.table(self))
        self._watch_signals()
        for fd in (self.intake.fileno(), asked.socket.fileno(), self._woken):
            self._epoll.register(fd, select.EPOLLIN)
        if self.service.watchdog_ms:
            self._watchdog_due_ms = now_ms()
        self._say_notes()
        self._say_status(now_ms())
        self.service.ready()
        log.info("telemd %s is ready at %s", __version__, self.settings.telemd_socket_path)

    def _listen(self) -> Listener:
        """At all three sockets; the one that telemctl asks."""
        settings = self.settings
        inherited = listening.inherited_listeners()
        for path, record_format in ((settings.telemd_socket_path, 5), (settings.socket_path, 4)):
            listener = inherited.pop(path, None) or listening.listen(path, 0o666)
            self._listeners.append(listener)
            self.intake.listen(listener.socket.fileno(), record_format)
        path = settings.control_socket_path
        asked = inherited.pop(path, None) or listening.listen(path, 0o600)
        self._listeners.append(asked)
        for unknown in inherited.values():
            log.warning("systemd passed a socket at %s that no setting names, ignoring", unknown.path)
        return asked

    def close(self) -> None:
        """Everything that was acknowledged is on disk when this returns."""
        self.service.stopping()
        end_ms = now_ms() + STOP_MS
        while now_ms() < end_ms and self._round():
            pass  # what had reached our sockets before the end is still taken in
        if self.spool is not None:
            self._tick(now_ms())
            self._keep_limits(now_ms(), leaving=True)
        self.outbound.port.stop()
        if self.spool is not None:
            self.spool.close(now_us())
            self.spool = None
        if self.control is not None:
            self.control.close()
        for listener in self._listeners:
            listener.close()
        self.intake.close()
        log.info("telemd has stopped")

    # -- the loop --

    def run(self) -> None:
        """Until told to stop, or idle."""
        while not self._stopping:
            events = self._epoll.poll(self._timeout_s())
            now = now_ms()
            for fd, _ in events:
                self._ready(fd, now)
            self._due(now)

    def _ready(self, fd: int, now: int) -> None:
        if fd == self.intake.fileno():
            self._round()
        elif fd == self._courier_fd:
            self._courier_ready(now)
        elif fd == self._woken:
            self._handle_signals()
        elif self.control is not None and self.control.owns(fd):
            self.control.read(fd)
        elif self.control is not None:
            caller = self.control.accept(now)
            if caller is not None:
                self._epoll.register(caller, select.EPOLLIN)

    def _due(self, now: int) -> None:
        if self.intake.timeout_ms(now) == 0:
            self._round()
        if now >= self._opt_in_due_ms and self.spool is not None:
            self._look_at_opt_in(now)
        if self._tick_due_ms is not None and now >= self._tick_due_ms:
            self._tick(now)
        if self.spool is not None and now >= self._host_due_ms:
            self._look_at_host(now)
        if self.importer is not None and self._opted_in and now >= self.importer.due_ms:
            self._import(now)
        if self._watchdog_due_ms is not None and now >= self._watchdog_due_ms and self.service.watchdog_ms:
            self.service.watchdog()
            self._watchdog_due_ms = now + self.service.watchdog_ms
        if self.control is not None:
            self.control.expire(now)
        self._deliver(now)
        self._idle(now)

    def _timeout_s(self) -> float:
        now = now_ms()
        intake_ms = self.intake.timeout_ms(now)
        times = [
            now + intake_ms if intake_ms >= 0 else None,
            self._tick_due_ms,
            self._watchdog_due_ms,
            self._host_due_ms if self.spool is not None else None,
            self.importer.due_ms if self.importer is not None and self._opted_in else None,
            self.control.due_ms() if self.control is not None else None,
            self.outbound.due_ms(self.spool, now, now_us()) if self.spool is not None and self._opted_in else None,
            self._idle_due_ms(),
        ]
        due = min((each for each in times if each is not None), default=None)
        return -1 if due is None else max(0, due - now) / 1000

    def _idle_due_ms(self) -> int | None:
        times = []
        if not self.inbound.trimmed:
            times.append(self._busy_ms + TRIM_AFTER_MS)
        if self._may_leave():
            times.append(self._busy_ms + self.settings.idle_exit_s * 1000)
        return min(times, default=None)

    def _may_leave(self) -> bool:
        """systemd will start us again, and nothing here waits for being sent."""
        if not self.settings.daemon_recycling_enabled or self.settings.idle_exit_s == 0:
            return False
        if not all(listener.inherited for listener in self._listeners[:2]):
            return False
        nothing_waits = self.spool is None or self.outbound.destination is None or self.spool.pending() == 0
        nothing_lies_there = self.importer is None or self.importer.idle
        return nothing_waits and nothing_lies_there and not self.outbound.delivery.in_flight

    def _idle(self, now: int) -> None:
        if not self.inbound.trimmed and now >= self._busy_ms + TRIM_AFTER_MS:
            self.inbound.trim()
        if now >= self._busy_ms + self.settings.idle_exit_s * 1000 and self._may_leave():
            log.info("idle for %d s: telemd leaves until somebody connects", self.settings.idle_exit_s)
            self._stopping = True

    # -- records in --

    def _round(self) -> int:
        now = now_ms()
        if now >= self._opt_in_due_ms:
            self._look_at_opt_in(now)
        count = self.inbound.round(self.spool, self._policy(), self.host, now, now_us(), self.clock.minute())
        if self.spool is not None and self.spool.in_doubt:
            self._look_at_spool(now)
        if count:
            self._busy(now)
            if self.inbound.copies is not None and self.inbound.copies.full:
                self._write_journal()
        return count

    def _policy(self) -> Policy:
        return Policy(self._opted_in, frozenset((0, os.geteuid())))

    def _import(self, now: int) -> None:
        if self.importer is None or self.spool is None or self.host is None:
            return
        rooms = Rooms(self.inbound, self.spool, self._policy(), self.host, now_us())
        if self.importer.round(rooms, now):
            self._busy(now)
        for sentence in self.importer.take_notes():
            log.warning("%s", sentence)
        if count := self.importer.take_count():
            log.info("%d records that had been left as files are in the spool now", count)

    def _busy(self, now: int) -> None:
        """Something happened: the next tick is near."""
        self._busy_ms = now
        self._tick_due_ms = min(self._tick_due_ms or now + TICK_MS, now + TICK_MS)

    def _look_at_opt_in(self, now: int) -> None:
        self._opt_in_due_ms = now + OPT_IN_LOOK_MS
        self._opted_in = optin.is_opted_in(self.settings)
        if self._opted_in and self.spool is None:
            self._open_spool(now)

    def _open_spool(self, now: int) -> None:
        """At the start a spool that can't be used ends telemd; later, when somebody opts in, records are refused until
        it can be."""
        try:
            self._look_at_host(now)
            self.spool = self._spool()
            secret = machineid.load_secret(self.settings.state_dir)
            self.importer = Importer(self.settings.spool_dir, lambda message: machineid.hmac_sha256(secret, message))
            if self._account is None:
                self._recall_limits()
                self._recall_retry(now)
            else:
                self.spool.flush(now_us())
            self._account = None
            self._trouble = ""
        except (MachineIdError, OSError, SpoolDirectoryError) as error:
            if self.control is None:
                raise
            self._say_once(f"{error}; until then records are refused")

    def _spool(self) -> Spool:
        disk = Disk(self.settings.spool_dir)
        try:
            return Spool(disk, _cap_bytes(self.settings), _expiry_us(self.settings), self._account)
        except BaseException:
            disk.close()  # its lock would be in the way of the next try
            raise

    def _look_at_spool(self, now: int) -> None:
        """Where somebody has deleted it, or put another directory in its place, it is made anew, and its account goes
        on: what it held counts as damaged."""
        if self.spool is None or not self.spool.is_lost():
            return
        log.error("%s was deleted, or is another one now: the spool begins anew there", self.settings.spool_dir)
        self.inbound.account(self.spool)
        self._say_notes()
        self.outbound.forget()
        self._account = self.spool.let_go(now_us())
        self.spool = None
        self._look_at_opt_in(now)

    def _look_at_host(self, now: int) -> None:
        """Facts and machine id may change while we run: an update, a new kernel name, the rotation of the id."""
        self._host_due_ms = now + HOST_LOOK_MS
        facts = libtelemetry.host_facts()
        self.intake.set_facts(facts)
        try:
            current = machineid.current(self.settings, time.time())
        except (MachineIdError, OSError) as error:
            if self.host is None:
                raise
            self._say_once(f"{error}; the machine id stays as it is until then")
            return
        for warning in current.warnings:
            log.warning("%s", warning)
        self.host = Host(bytes.fromhex(current.machine_id), facts)
        self._host_due_ms = now + max(1000, min(HOST_LOOK_MS, int((current.valid_until_s - time.time()) * 1000)))

    def _say_once(self, sentence: str) -> None:
        if sentence != self._trouble:
            log.error("%s", sentence)
        self._trouble = sentence

    def _tick(self, now: int) -> None:
        """What may lag behind a little: counters, journal, the sentences for the log."""
        self._tick_due_ms = None
        self._look_at_spool(now)
        if self.spool is not None:
            self.inbound.account(self.spool)
            jump_us = self.clock.jumped_us()
            if jump_us:
                log.warning("the clock was set by %d s: nothing in the spool ages by that", jump_us // 1_000_000)
                self.spool.clock_jumped(jump_us)
            self.spool.expire(now_us())
            self.spool.flush(now_us())
            self._write_journal()
            self._keep_limits(now)
            self._keep_retry(now)
            if self.importer is not None and self.importer.idle:
                self.importer.due_ms = now
        self._say_notes()
        self._say_status(now)
        if self.spool is not None and self.spool.pending():
            self._tick_due_ms = now + IDLE_TICK_MS  # only to see what expires

    def _recall_limits(self) -> None:
        gone_min, kept = limitsfile.read(self.settings.state_dir, time.time())
        self.inbound.limits.load(self.clock.minute() - gone_min, kept)

    def _keep_limits(self, now: int, *, leaving: bool = False) -> None:
        """Seldom: a kill forgets the last minute's counts, no more."""
        if now < self._limits_due_ms and not leaving:
            return
        self._limits_due_ms = now + LIMITS_KEEP_MS
        try:
            limitsfile.write(self.settings.state_dir, time.time(), self.inbound.limits.dump(self.clock.minute()))
        except OSError as error:
            log.warning("the rate limits' counts can't be kept (%s), ignoring", error.strerror)

    def _recall_retry(self, now: int) -> None:
        failures, wait_s = retryfile.read(self.settings.state_dir, time.time(), self.settings.server)
        self._kept_failures = failures
        self.outbound.delivery.resume(failures, now + int(wait_s * 1000))

    def _keep_retry(self, now: int) -> None:
        """Only when it changed: most of the time there is nothing to keep."""
        delivery = self.outbound.delivery
        if delivery.failures == self._kept_failures:
            return
        self._kept_failures = delivery.failures
        if delivery.failures == 0:
            retryfile.remove(self.settings.state_dir)
            return
        wait_s = max(0, delivery.not_before_ms - now) / 1000
        try:
            retryfile.write(self.settings.state_dir, time.time(), self.settings.server, delivery.failures, wait_s)
        except OSError as error:
            log.warning("when to try the server again can't be kept (%s), ignoring", error.strerror)

    def _write_journal(self) -> None:
        self._marks, marks = self.intake.marks(self._marks)
        if not marks:
            return
        log_dir = self.settings.log_dir
        try:
            journalfile.append(log_dir, marks)
            if self.inbound.copies is not None:
                self.inbound.copies.write(self.settings.records_dir)
            recordcopies.prune(
                self.settings.records_dir, lambda: {entry.record_id for entry in journalfile.read(log_dir)}
            )
        except OSError as error:
            log.warning(
                "the journal of records, or their copies, in %s can't be written (%s), ignoring",
                log_dir,
                error.strerror,
            )

    def _say_notes(self) -> None:
        notes = self.spool.take_notes() if self.spool is not None else []
        for sentence in notes + self.outbound.notes:
            log.warning("%s", sentence)
        for sentence in self.outbound.news:
            log.info("%s", sentence)
        self.outbound.notes.clear()
        self.outbound.news.clear()

    def _say_status(self, now: int) -> None:
        self.service.status(status_sentence(self.spool, self._opted_in, self.outbound.report(now, now_us())))

    # -- records out --

    def _deliver(self, now: int) -> None:
        if self.spool is None or not self._opted_in:
            return
        self.outbound.pump(self.spool, now, now_us())
        self._watch_courier()

    def _courier_ready(self, now: int) -> None:
        if self.spool is None or not self.outbound.port.running:
            return
        if self.outbound.port.wants_to_write:
            self.outbound.port.write()
        self.outbound.readable(self.spool, now, now_us())
        self._busy(now)

    def _watch_courier(self) -> None:
        port = self.outbound.port
        if not port.running:
            if self._courier_fd >= 0:  # its socket is closed, and so no longer watched
                self._courier_fd = -1
            return
        mask = select.EPOLLIN | (select.EPOLLOUT if port.wants_to_write else 0)
        if self._courier_fd == port.fileno():
            with contextlib.suppress(FileNotFoundError):
                self._epoll.modify(self._courier_fd, mask)
                return
        self._courier_fd = port.fileno()
        self._epoll.register(self._courier_fd, mask)

    def _outbound(self, settings: Settings) -> Outbound:
        environment = courier_environment(os.environ, settings.use_environment)
        port = CourierPort(courier_command(settings.courier_linger_s), environment)
        return Outbound(port, _destination(settings), settings.delivery_batch_records, settings.retry_max_s)

    # -- signals and verbs --

    def _watch_signals(self) -> None:
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda received, _: self._signals.add(received))

    def _handle_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 512)
        received, self._signals = self._signals, set()
        if received & {signal.SIGTERM, signal.SIGINT}:
            self._stopping = True
        if signal.SIGHUP in received:
            self.reload()

    def stop(self) -> None:
        """run() returns soon."""
        self._stopping = True

    def look_at_host(self) -> None:
        """The machine id may have changed."""
        self._look_at_host(now_ms())

    def reload(self) -> str:
        """Take the configuration in force from now on, if it is valid; what is wrong with it otherwise."""
        self.service.reloading()
        try:
            loaded = config.load(self.config_path)
        except config.ConfigError as error:
            log.error("the configuration is not valid, the old one stays in force: %s", error)
            return str(error)
        finally:
            self.service.ready()
        fixed = [
            name
            for name in config.FIXED_WHILE_RUNNING
            if getattr(loaded.settings, name) != getattr(self.settings, name)
        ]
        if fixed:
            sentence = f"{', '.join(fixed)} changed: `telemctl restart` brings that into force"
            log.warning("%s; the old configuration stays in force until then", sentence)
            return sentence
        if loaded.settings.record_retention_enabled != self.settings.record_retention_enabled:
            self.inbound.copies = RecordCopies() if loaded.settings.record_retention_enabled else None
        if loaded.settings.changed(self.settings):
            kept = self.inbound.limits.dump(self.clock.minute())
            self.inbound.limits = Limits(loaded.settings)
            self.inbound.limits.load(self.clock.minute(), kept)
        self.loaded = loaded
        self.outbound.redirect(_destination(loaded.settings))
        self.outbound.records_max = loaded.settings.delivery_batch_records
        self.outbound.delivery.cap_s = loaded.settings.retry_max_s
        if self.spool is not None:
            self.spool.cap_bytes = _cap_bytes(loaded.settings)
            self.spool.expiry_us = _expiry_us(loaded.settings)
        logging.getLogger().setLevel(loaded.settings.log_level.upper())
        log.info("the configuration was read again")
        return ""


def _destination(settings: Settings) -> Destination | None:
    if not settings.server or not settings.record_server_delivery_enabled:
        return None
    values = {name: getattr(settings, name) for name in DESTINATION_NAMES}
    return Destination(**{**values, "use_environment": "yes" if settings.use_environment else ""})


def _cap_bytes(settings: Settings) -> int:
    return settings.spool_max_size * 1024 if settings.spool_max_size >= 0 else -1


def _expiry_us(settings: Settings) -> int:
    return settings.record_expiry * 60_000_000


def _connections_max(settings: Settings) -> int:
    """As many as the descriptors allow, some kept back for ourselves; the soft limit is raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = max(16, (hard if hard != resource.RLIM_INFINITY else 65536) - DESCRIPTORS_SPARE)
    return min(settings.connections_max or CONNECTIONS_MAX, allowed)
