# SPDX-License-Identifier: Apache-2.0
"""Holds telemd's sockets as systemd would and starts it when somebody knocks (source: sd_listen_fds(3)).

So that the row "no process at all" can be measured without root and without a booted systemd. It measures nothing.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import time
from pathlib import Path
from types import TracebackType

from bench.daemon import StateRoot
from bench.place import BenchError

BACKLOG = 4096
FIRST_FD = 3
POLL_S = 0.002


class Activator:
    """Two listening sockets and at most one telemd."""

    def __init__(self, program: Path, root: StateRoot) -> None:
        self._program = program
        self._root = root
        self._listeners = [_listen(root.format4_socket), _listen(root.telemd_socket)]
        self._pid = 0

    def __enter__(self) -> Activator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)
            os.waitpid(self._pid, 0)
        for listener in self._listeners:
            listener.close()

    def start_when_knocked(self, timeout_s: float) -> None:
        """Wait for a connection and start telemd, which accepts it. BenchError where none comes."""
        ready, _, _ = select.select(self._listeners, [], [], timeout_s)
        if not ready:
            raise BenchError(f"nobody knocked within {timeout_s:.0f} s: is this machine busy?")
        # LISTEN_PID has to be the daemon's own, which only the new process knows.
        command = ["/bin/sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"', "sh"]
        command += [str(self._program), "-f", str(self._root.config)]
        environment = {**os.environ, "LISTEN_FDS": str(len(self._listeners)), "LISTEN_FDNAMES": "telem-0:telemd"}
        log = os.open(self._root.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            actions: list[tuple[int, int, int]] = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            for target, listener in enumerate(self._listeners, FIRST_FD):
                actions.append((os.POSIX_SPAWN_DUP2, listener.fileno(), target))
            self._pid = os.posix_spawn(command[0], command, environment, file_actions=actions)
        finally:
            os.close(log)

    def wait_gone(self, timeout_s: float) -> float:
        """How many seconds it took from now until telemd left of itself, with 0. BenchError where it stays."""
        start_s = time.monotonic()
        while time.monotonic() - start_s < timeout_s:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                code = os.waitstatus_to_exitcode(status)
                if code != 0:
                    raise BenchError(f"telemd ended with {code}:\n{self._root.log_tail()}")
                return time.monotonic() - start_s
            time.sleep(POLL_S)
        raise BenchError(f"telemd is idle and still there after {timeout_s:.0f} s:\n{self._root.log_tail()}")


def _listen(path: Path) -> socket.socket:
    """Its descriptor is above those that telemd is given, which dup2 would overwrite otherwise."""
    low = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    low.bind(os.fspath(path))
    low.listen(BACKLOG)
    low.setblocking(False)
    high = fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST_FD + 8)
    low.close()
    return socket.socket(fileno=high)
