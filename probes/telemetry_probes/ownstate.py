# SPDX-License-Identifier: Apache-2.0
"""What a probe keeps: a secret of its own, and small files such as how far it has read.

They are in one directory, each replaced whole and synced. One that is damaged counts as not there: then all is read
from its begin, and the ids, which come of the secret, make that nothing is stored twice.
"""

from __future__ import annotations

import posix

from libtelemetry import setting

SECRET_BYTES = 32
FILE_BYTES_MAX = 65_536
"""Of those that keep() writes."""
KERNEL = "telemetry-kernel"
"""The directory of the probes that tell what the kernel reports."""
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SAFELY = posix.O_NOFOLLOW | posix.O_CLOEXEC


def folder(name: str = KERNEL) -> str:
    """Where that is: systemd's STATE_DIRECTORY, else /var/lib/name below state_root. Made where it isn't there.
    OSError."""
    path = posix.environ.get(b"STATE_DIRECTORY", b"").partition(b":")[0].decode("utf-8", "surrogateescape")
    if not path:
        path = f"{setting('state_root')}/var/lib/{name}"
        parts = path.split("/")
        for end in range(2, len(parts) + 1):
            try:
                posix.mkdir("/".join(parts[:end]), 0o700 if end == len(parts) else 0o755)
            except FileExistsError:
                continue
    return path


def secret(where: str) -> bytes:
    """Random, made once, never sent. OSError."""
    path = f"{where}/secret"
    for _ in range(2):
        try:
            fd = posix.open(path, posix.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            keep(where, "secret", posix.urandom(SECRET_BYTES))
            continue
        try:
            found = posix.read(fd, SECRET_BYTES + 1)
        finally:
            posix.close(fd)
        if len(found) == SECRET_BYTES:
            return found
        keep(where, "secret", posix.urandom(SECRET_BYTES))
    raise OSError(f"{path} can't be made")


def boot_id(path: str = BOOT_ID) -> str:
    """This boot's, empty where the kernel doesn't say."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, 64).decode("ascii", "replace").strip()
    finally:
        posix.close(fd)


def kept(where: str, name: str) -> bytes:
    """What keep() wrote last; b"" where there is none, or it can't be read."""
    try:
        fd = posix.open(f"{where}/{name}", posix.O_RDONLY | posix.O_NONBLOCK | _SAFELY)
    except OSError:
        return b""
    try:
        return posix.read(fd, FILE_BYTES_MAX)
    except OSError:
        return b""
    finally:
        posix.close(fd)


def keep(where: str, name: str, content: bytes, time_s: int | None = None) -> None:
    """Replaced whole, on disk when this returns; written at time_s, as its time says, or now. OSError."""
    unfinished = f"{where}/.{name}.{posix.getpid()}"
    fd = posix.open(unfinished, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | _SAFELY, 0o600)
    try:
        while content:
            content = content[posix.write(fd, content) :]
        if time_s is not None:
            posix.utime(fd, (time_s, time_s))
        posix.fsync(fd)
    finally:
        posix.close(fd)
    posix.rename(unfinished, f"{where}/{name}")
    above = posix.open(where, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(above)
    finally:
        posix.close(above)
