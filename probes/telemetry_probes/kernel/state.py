# SPDX-License-Identifier: Apache-2.0
"""What the kernel's probes keep: a secret of their own, and how far the log of this boot has been read.

Three small files in one directory, each replaced whole and synced. One that is damaged counts as not there: then the
log is read from its begin, and the ids, which come of the secret, make that nothing is stored twice.
"""

from __future__ import annotations

import posix

from libtelemetry import setting

SECRET_BYTES = 32
CURSOR_BYTES_MAX = 128
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SAFELY = posix.O_NOFOLLOW | posix.O_CLOEXEC


def folder() -> str:
    """Where that is: systemd's STATE_DIRECTORY, else below state_root. Made where it isn't there. OSError."""
    path = posix.environ.get(b"STATE_DIRECTORY", b"").partition(b":")[0].decode("utf-8", "surrogateescape")
    if not path:
        path = f"{setting('state_root')}/var/lib/telemetry-kernel"
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
            _write(where, "secret", posix.urandom(SECRET_BYTES))
            continue
        try:
            found = posix.read(fd, SECRET_BYTES + 1)
        finally:
            posix.close(fd)
        if len(found) == SECRET_BYTES:
            return found
        _write(where, "secret", posix.urandom(SECRET_BYTES))
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


def cursor(where: str, boot: str) -> int:
    """The number of the first record of that boot's log that has not been dealt with; 0 where nothing is known."""
    try:
        fd = posix.open(f"{where}/cursor", posix.O_RDONLY | _SAFELY)
    except OSError:
        return 0
    try:
        words = posix.read(fd, CURSOR_BYTES_MAX).split()
    except OSError:
        return 0
    finally:
        posix.close(fd)
    if len(words) != 3 or words[2] != b"end" or words[0] != (boot.encode() or b"-"):
        return 0
    return int(words[1]) if words[1].isdigit() and len(words[1]) <= 19 else 0


def keep_cursor(where: str, boot: str, seq: int) -> None:
    """On disk when this returns. OSError."""
    _write(where, "cursor", f"{boot or '-'} {seq} end\n".encode())


def _write(where: str, name: str, content: bytes) -> None:
    unfinished = f"{where}/.{name}.{posix.getpid()}"
    fd = posix.open(unfinished, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | _SAFELY, 0o600)
    try:
        while content:
            content = content[posix.write(fd, content) :]
        posix.fsync(fd)
    finally:
        posix.close(fd)
    posix.rename(unfinished, f"{where}/{name}")
    above = posix.open(where, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(above)
    finally:
        posix.close(above)
