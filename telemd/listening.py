# SPDX-License-Identifier: Apache-2.0
"""The sockets telemd is reached by: systemd's where it passed some, else its own.

Makes, checks and removes sockets in the file system; accepts nothing and reads nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.config import Settings

BACKLOG = 4096
PATH_MAX = 107  # bytes of sun_path without the NUL, unix(7)


class ListenError(Exception):
    """No socket can be had; the text says why and what to do."""


class Listener:
    """A listening stream socket. inherited: systemd keeps it when we leave, so that nobody is turned away."""

    __slots__ = ("inherited", "path", "socket")

    def __init__(self, listening: socket.socket, path: str, inherited: bool) -> None:
        self.socket = listening
        self.path = path
        self.inherited = inherited

    def close(self) -> None:
        """Close it; its own path goes too."""
        self.socket.close()
        if not self.inherited:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


class Sockets:
    """All three that telemd is reached by: probes with format 5, older programs with format 4, and telemctl. unknown:
    paths of those that systemd passed and no setting names; they are closed again."""

    __slots__ = ("control", "format4", "format5", "unknown")

    def __init__(self, format5: Listener, format4: Listener, control: Listener, unknown: list[str]) -> None:
        self.format5 = format5
        self.format4 = format4
        self.control = control
        self.unknown = unknown

    @property
    def inherited(self) -> bool:
        """Whoever has a record for us is heard by systemd when we have left."""
        return self.format5.inherited and self.format4.inherited

    def close(self) -> None:
        """All of them."""
        for listener in (self.format5, self.format4, self.control):
            listener.close()


def listen_at_all(settings: Settings) -> Sockets:
    """The sockets that the settings name, systemd's where it passed some. ListenError, and none is open then."""
    inherited = inherited_listeners()
    opened: list[Listener] = []
    for path, mode in (
        (settings.telemd_socket_path, 0o666),
        (settings.socket_path, 0o666),
        (settings.control_socket_path, 0o600),
    ):
        passed = inherited.pop(path, None)
        try:
            opened.append(passed if passed is not None else listen(path, mode))
        except ListenError:
            for listener in opened:
                listener.close()
            raise
    for unknown in inherited.values():
        unknown.close()
    format5, format4, control = opened
    return Sockets(format5, format4, control, list(inherited))


def inherited_listeners() -> dict[str, Listener]:
    """Sockets that systemd passed (sd_listen_fds(3)), by path. ListenError."""
    if "LISTEN_FDS" not in os.environ:
        return {}
    try:
        from systemd.daemon import listen_fds  # python-systemd; only where systemd started us
    except ImportError as error:
        raise ListenError(
            "systemd's sockets can't be had without python-systemd: install python3-systemd (by pip: systemd-python)"
        ) from error

    found = {}
    for fd in listen_fds():
        os.set_inheritable(fd, False)
        listening = socket.socket(fileno=fd)
        path = listening.getsockname()
        if listening.family == socket.AF_UNIX and isinstance(path, str):
            listening.setblocking(False)
            found[path] = Listener(listening, path, True)
        else:
            listening.close()
    return found


def listen(path: str, mode: int) -> Listener:
    """A socket of our own at path, in place of one that nobody listens on any more. ListenError."""
    if len(os.fsencode(path)) > PATH_MAX:
        raise ListenError(
            f"{path} is longer than {PATH_MAX} bytes, the most a socket path may have: shorten state_root"
        )
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        _remove_stale(path)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            made.bind(path)
            os.chmod(path, mode)
            made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise ListenError(
            f"can't listen at {path} ({error.strerror}): telemd's user must be able to write its directory"
        ) from error
    return Listener(made, path, False)


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ListenError(f"{path} is in the way and is no socket: move it")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        result = probe.connect_ex(path)
    if result in (0, errno.EAGAIN):
        raise ListenError(
            f"another telemd listens at {path}: stop it (`telemctl stop`, with its -f FILE if it has one), or give this"
            " one a state_root of its own"
        )
    os.unlink(path)
