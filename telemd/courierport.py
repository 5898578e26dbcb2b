# SPDX-License-Identifier: Apache-2.0
"""telemd's end of the stream to the courier, and how a courier is come by.

systemd's, where somebody listens at the courier's socket: it starts one for each connection. Else a child. Owns one
socket and one child at most; knows frames, not what is in them. Non-blocking: the daemon's loop says when to read and
write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import struct
import sys

from telemd.courierframes import READY, VERDICTS, FrameError, FrameReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemd.courierframes import Frame

COURIER_FD = 3
_UCRED_LEN = 12
UNSENT_BYTES_MAX = 8 * 1024 * 1024

ENVIRONMENT_NAMES = frozenset(
    ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle")
)
"""In lower case. What `use_environment` is about."""


def courier_command(linger_s: int) -> list[str]:
    """The courier beside this program, else by module with this interpreter."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "telemd-courier")
    command = [beside] if os.access(beside, os.X_OK) else [sys.executable, "-m", "telemd.courier"]
    return [*command, "--linger", str(linger_s)]


def courier_environment(everything: Mapping[str, str], use_it: bool) -> dict[str, str]:
    """What the courier is told of telemd's environment: next to nothing, unless the settings say to use it."""
    kept = {"PATH": everything.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    if use_it:
        kept.update((name, value) for name, value in everything.items() if name.lower() in ENVIRONMENT_NAMES)
    return kept


class CourierPort:
    """At most one courier. ready: it has said that it is there; what becomes of it then may be a record's fault."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str] | None = None, socket_path: str | None = None
    ) -> None:
        """environment: the courier's; None for next to nothing of this process's. socket_path: where systemd may listen
        for it."""
        self.ready = False
        self._command = command
        self._socket_path = socket_path
        self._environment = courier_environment(os.environ, False) if environment is None else dict(environment)
        self._socket: socket.socket | None = None
        self._reader = FrameReader((READY, VERDICTS))
        self._unsent: list[memoryview] = []
        self._unsent_bytes = 0
        self.pid = 0

    @property
    def running(self) -> bool:
        """There is a courier to talk to."""
        return self._socket is not None

    def fileno(self) -> int:
        """To be watched; only while running."""
        assert self._socket is not None
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Bytes wait for room in the socket."""
        return bool(self._unsent)

    def start(self) -> None:
        """Have a courier, by its socket where somebody listens there. OSError."""
        ours = self._connected() or self._spawned()
        ours.setblocking(False)
        self._socket = ours
        self._reader = FrameReader((READY, VERDICTS))
        self.ready = False

    def _connected(self) -> socket.socket | None:
        """A stream to systemd's; None where there is no such socket. Whoever listens there may be root or we alone:
        another one would get what was collected."""
        if self._socket_path is None:
            return None
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.setblocking(False)
            stream.connect(self._socket_path)
            listener = struct.unpack("iII", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED_LEN))[1]
            if listener in (0, os.geteuid()):
                return stream
            problem: OSError | None = PermissionError(
                errno.EPERM, f"user {listener} listens at {self._socket_path}, who is neither root nor telemd's own"
            )
        except (FileNotFoundError, ConnectionRefusedError):
            problem = None
        except OSError as error:
            problem = OSError(error.errno, f"{self._socket_path}: {error.strerror}: is telemd-courier.socket in order?")
        stream.close()
        if problem is not None:
            raise problem
        return None

    def _spawned(self) -> socket.socket:
        """The courier as a child, with one end of a new stream as fd 3."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if theirs.fileno() == COURIER_FD:  # dup2 onto itself would leave close-on-exec set
                other = socket.socket(fileno=os.dup(theirs.fileno()))
                theirs.close()
                theirs = other
            self.pid = os.posix_spawnp(
                self._command[0],
                self._command,
                self._environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), COURIER_FD)],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD],
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def send(self, *pieces: bytes) -> None:
        """Queue a frame and write what goes."""
        for piece in pieces:
            self._unsent.append(memoryview(piece))
            self._unsent_bytes += len(piece)
        if self._unsent_bytes > UNSENT_BYTES_MAX:
            raise BufferError("more batches are under way than the courier may be given")
        self.write()

    def write(self) -> None:
        """Write what waits; a courier that is gone shows when it is read."""
        assert self._socket is not None
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent[0], socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._forget_unsent()
                return
            self._unsent_bytes -= sent
            if sent < len(self._unsent[0]):
                self._unsent[0] = self._unsent[0][sent:]
            else:
                self._unsent.pop(0)

    def read(self) -> list[Frame] | None:
        """Verdicts that have come whole; None where the courier has ended or talks nonsense: the stream is closed."""
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            data = b""
        try:
            if data:
                frames = self._reader.feed(data)
                self.ready = self.ready or bool(frames)
                return [frame for frame in frames if frame.kind == VERDICTS]
        except FrameError:
            pass
        self.close()
        return None

    def close(self) -> None:
        """Hang up: the courier leaves at the end of its stream."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._forget_unsent()

    def stop(self) -> None:
        """Hang up, and end a child at once; one of systemd's leaves when it finds the stream at its end."""
        self.close()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0

    def reap(self) -> None:
        """Take the exit status of a courier that has left."""
        with contextlib.suppress(ChildProcessError):
            if self.pid and os.waitpid(self.pid, os.WNOHANG)[0] == self.pid:
                self.pid = 0

    def _forget_unsent(self) -> None:
        self._unsent.clear()
        self._unsent_bytes = 0
