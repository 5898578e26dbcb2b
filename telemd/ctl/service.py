# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping telemd: by systemd where that runs it, else as a process of our own.

Says how it went and what to do; whether it ought to run is the verbs' affair. Every wait has an end.
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
import sys
import time

from telemd import controlclient
from telemd.controlclient import NOT_RUNNING, Unavailable
from telemd.ctl import units
from telemd.ctl.call import Result
from telemd.ctl.words import plain_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subprocess import Popen
    from typing import Final

    from telemd.config import Settings
    from telemd.ctl.call import Call

WAIT_S: Final = 10.0
"""For telemd to be ready, and for it to have ended."""

POLL_S: Final = 0.02

LOG_BYTES_MAX: Final = 1 << 20
"""A log that is larger when telemd is started makes room for a new one; the one before is kept."""

LOG_SHOWN_BYTES: Final = 2000

# What a service manager tells the process it started, which telemd would take for itself.
_NOT_INHERITED: Final = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
)


def is_active(call: Call) -> bool:
    """telemd runs, or systemd will start it for the next record."""
    if units.present(call):
        return units.is_active()
    answer = controlclient.ask(call.settings.control_socket_path, "ping")
    if isinstance(answer, Unavailable) and answer.kind == controlclient.NOT_ALLOWED:
        return _takes_records(call.settings.telemd_socket_path)
    return not isinstance(answer, Unavailable)


def _takes_records(path: str) -> bool:
    """Somebody listens where anybody may send: all that a user who mayn't ask telemd can see."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        return asking.connect_ex(path) in (0, errno.EAGAIN)


def start(call: Call) -> Result:
    """Until it is ready."""
    if units.present(call):
        return units.start()
    if is_active(call):
        return Result(True, "telemd is running already")
    return _start_directly(call)


def stop(call: Call) -> Result:
    """Until it has ended; what it had acknowledged is on disk."""
    if units.present(call):
        return units.stop()
    return _stop_directly(call.settings)


def restart(call: Call) -> Result:
    """Until it is ready again, with the configuration as it is now."""
    if units.present(call):
        return units.restart()
    stopped = _stop_directly(call.settings)
    if not stopped.good:
        return stopped
    started = _start_directly(call)
    return Result(started.good, f"{stopped.text}\n{started.text}")


# ---- a process of our own -------------------------------------------------------------------------------------------


def program(name: str) -> str | None:
    """The program of that name beside telemctl itself, else on the search path."""
    own = shutil.which(sys.argv[0]) or sys.argv[0]
    beside = os.path.join(os.path.dirname(os.path.abspath(own)), name)
    return beside if os.access(beside, os.X_OK) else shutil.which(name)


def _start_directly(call: Call) -> Result:
    from subprocess import DEVNULL, STDOUT, Popen

    settings = call.settings
    telemd = program("telemd")
    if telemd is None:
        return Result(False, "there is no program telemd beside telemctl or on PATH: install telemetrics as a whole")
    command = [telemd] if call.config_file is None else [telemd, "-f", call.config_file]
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    try:
        log = _open_log(settings)
    except OSError as error:
        return Result(
            False, f"{settings.daemon_log_path} can't be written ({error.strerror}): make its directory writable"
        )
    try:
        begin = os.lseek(log, 0, os.SEEK_END)
        started = Popen(
            command, stdin=DEVNULL, stdout=log, stderr=STDOUT, cwd="/", env=environment, start_new_session=True
        )
    except OSError as error:
        return Result(False, f"{telemd} can't be started: {error.strerror}")
    finally:
        os.close(log)
    return _wait_until_ready(started, settings, begin)


def _wait_until_ready(started: Popen[bytes], settings: Settings, log_begin: int) -> Result:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        answer = controlclient.ask(settings.control_socket_path, "ping", max(POLL_S, deadline - time.monotonic()))
        if not isinstance(answer, Unavailable):
            return Result(True, f"telemd was started; it writes to {settings.daemon_log_path}")
        if answer.kind == controlclient.NOT_ALLOWED:
            return Result(False, answer.text)
        if started.poll() is not None:
            text = _log_since(settings.daemon_log_path, log_begin)
            why = f":\n{text}" if text else f" with exit code {started.returncode}"
            return Result(False, f"telemd ended at once{why}\nAll it says is in {settings.daemon_log_path}")
        time.sleep(POLL_S)
    return Result(
        False,
        f"telemd (pid {started.pid}) doesn't answer within {WAIT_S:g} s of its start: see {settings.daemon_log_path}",
    )


def _open_log(settings: Settings) -> int:
    path = settings.daemon_log_path
    os.makedirs(settings.log_dir, 0o755, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    log = os.open(path, flags, 0o640)
    if os.fstat(log).st_size > LOG_BYTES_MAX:
        os.close(log)
        os.rename(path, f"{path}.1")
        log = os.open(path, flags, 0o640)
    return log


def _log_since(path: str, begin: int) -> str:
    try:
        with open(path, "rb") as log:
            log.seek(max(begin, os.fstat(log.fileno()).st_size - LOG_SHOWN_BYTES))
            return plain_lines(log.read(LOG_SHOWN_BYTES).decode("utf-8", "replace")).rstrip()
    except OSError:
        return ""


def _stop_directly(settings: Settings) -> Result:
    answer = controlclient.ask(settings.control_socket_path, "stop")
    if isinstance(answer, Unavailable):
        if answer.kind == NOT_RUNNING:
            return Result(True, "telemd is not running")
        return Result(False, answer.text)
    pid = answer.get("pid")
    if _wait_until_ended(pid if isinstance(pid, int) else 0, settings.control_socket_path):
        return Result(True, "telemd was stopped")
    return Result(
        False,
        f"telemd (pid {pid}) was told to stop and still runs after {WAIT_S:g} s: see {settings.daemon_log_path}. "
        f"`kill {pid}` ends it; what it has acknowledged is on disk",
    )


def _wait_until_ended(pid: int, socket_path: str) -> bool:
    deadline = time.monotonic() + WAIT_S
    try:
        process = os.pidfd_open(pid) if pid > 1 else -1
    except ProcessLookupError:
        return True  # it has ended already
    except OSError:
        process = -1  # it is in a pid namespace of its own, or the kernel is too old
    if process >= 0:
        try:
            watch = select.poll()
            watch.register(process, select.POLLIN)
            return bool(watch.poll(WAIT_S * 1000))
        finally:
            os.close(process)
    while time.monotonic() < deadline:
        answer = controlclient.ask(socket_path, "ping", max(POLL_S, deadline - time.monotonic()))
        if isinstance(answer, Unavailable) and answer.kind == NOT_RUNNING:
            return True
        time.sleep(POLL_S)
    return False
