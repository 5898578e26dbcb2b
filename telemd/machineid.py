# SPDX-License-Identifier: Apache-2.0
"""The machine's identity: an id that changes every three days and tells nothing of the one before, or a lasting one.

The changing id is HMAC-SHA256 of a secret that never leaves the state directory: its owner can name the past ones,
nobody else can. One that telemetrics-client has left goes on until it has had its three days (formerid). None may ever
be derived from hardware, host names or /etc/machine-id. Time is an argument.
"""

from __future__ import annotations

import errno
import os
import stat

from telemd import formerid, rotations, syncedfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from hashlib import _Hash
    from typing import Final

    from telemd.config import Settings
    from telemd.formerid import Former

EPOCH_S: Final = 3 * 24 * 3600
"""How long an id holds."""

SECRET_BYTES: Final = 32

PAST_IDS_MAX: Final = 4000
"""33 years of them."""

NEVER_ROTATED: Final[Mapping[int, int]] = {}

_CONTEXT: Final = b"telemetrics machine id"
_SHIFT_CONTEXT: Final = b"telemetrics machine id epoch shift"
_NOW_MAX_S: Final = 1 << 53
_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class MachineIdError(Exception):
    """The state directory can't be used; the text says why and what to do."""


def _builtin_sha256() -> Callable[[bytes], _Hash]:
    """The interpreter's own, 70 KB: hashlib would bring OpenSSL, 3.8 MB."""
    for name in ("_sha2", "_sha256"):  # since and before Python 3.12
        try:
            found: Callable[[bytes], _Hash] = __import__(name).sha256
            return found
        except ImportError:
            continue
    from hashlib import sha256

    return sha256


_sha256: Final = _builtin_sha256()


# ---- pure -----------------------------------------------------------------------------------------------------------


def hmac_sha256(secret: bytes, message: bytes) -> bytes:
    """RFC 2104, for a key of at most 64 bytes: the module hmac would bring OpenSSL."""
    assert len(secret) <= _BLOCK
    block = secret.ljust(_BLOCK, b"\0")
    inner = _sha256(block.translate(_INNER) + message).digest()
    return _sha256(block.translate(_OUTER) + inner).digest()


def machine_id(secret: bytes, now_s: float, turns: Mapping[int, int] = NEVER_ROTATED) -> tuple[str, float]:
    """The id at that time as 32 hex digits, and when it ends (seconds since 1970, later than now_s).

    The turn of the epoch is shifted by a time of the machine's own: a fleet doesn't change at one instant. A clock
    before 1970 counts as 1970. turns: how often the owner has asked for another id, by epoch.
    """
    epoch = epoch_of(secret, now_s)
    return _id_of(secret, epoch, turns.get(epoch, 0)), float((epoch + 1) * EPOCH_S - _shift_s(secret))


def past_ids(
    secret: bytes,
    now_s: float,
    count: int,
    turns: Mapping[int, int] = NEVER_ROTATED,
    former: Former | None = None,
) -> list[str]:
    """The id at that time and those before it, newest first: at most count and PAST_IDS_MAX, and none before 1970.
    former: the one of telemetrics-client, which stands behind those that followed it."""
    count = min(count, PAST_IDS_MAX)
    found: list[str] = []
    epoch = epoch_of(secret, now_s)
    if former is not None and former.holds(now_s):
        found.append(former.machine_id)
        former = None
        epoch -= 1  # its own id has never been used
    former_epoch = epoch_of(secret, former.until_s) if former is not None else -1
    while epoch >= 0 and len(found) < count:
        found += [_id_of(secret, epoch, turn) for turn in range(turns.get(epoch, 0), -1, -1)]
        if former is not None and epoch == former_epoch:
            found.append(former.machine_id)
        epoch -= 1
    return found[:count]


def static_id(text: str) -> str | None:
    """The id that text begins with: 32 hex digits; None where it doesn't."""
    candidate = text[:32].lower()
    return candidate if formerid.is_id(candidate) else None


def _shift_s(secret: bytes) -> int:
    return int.from_bytes(hmac_sha256(secret, _SHIFT_CONTEXT)[:8], "little") % EPOCH_S


def epoch_of(secret: bytes, now_s: float) -> int:
    """The number of the epoch of that time."""
    return (int(min(max(now_s, 0.0), _NOW_MAX_S)) + _shift_s(secret)) // EPOCH_S


def _id_of(secret: bytes, epoch: int, turn: int) -> str:
    """turn 0 is the epoch's own id, each higher one another that the owner asked for."""
    more = turn.to_bytes(4, "little") if turn else b""
    return hmac_sha256(secret, _CONTEXT + epoch.to_bytes(8, "little") + more)[:16].hex()


# ---- the state directory --------------------------------------------------------------------------------------------


class Current:
    """Who this machine is now: 32 hex digits, and until when (seconds since 1970). static: by the owner's file, for as
    long as that says so. warnings: whole sentences."""

    __slots__ = ("machine_id", "static", "valid_until_s", "warnings")

    def __init__(self, machine_id: str, valid_until_s: float, static: bool, warnings: list[str]) -> None:
        self.machine_id = machine_id
        self.valid_until_s = valid_until_s
        self.static = static
        self.warnings = warnings


def current(settings: Settings, now_s: float) -> Current:
    """The id in force, written to state_dir/machine_id where it has changed; the owner's lasting one goes first.

    MachineIdError: the secret can't be had.
    """
    warnings: list[str] = []
    static = _read_static(settings.static_machine_id_path, warnings)
    secret = load_secret(settings.state_dir, lambda directory: formerid.take_over(directory, now_s, static))
    found = _current(settings.state_dir, secret, now_s, static, warnings)
    try:
        if read_machine_id(settings.state_dir) != found.machine_id:
            write_machine_id(settings.state_dir, found.machine_id)
    except OSError as error:
        warnings.append(f"{settings.state_dir}/machine_id can't be written ({error.strerror}), ignoring")
    return found


def look(settings: Settings, now_s: float) -> Current | None:
    """As current(), but nothing is made or written: None where this machine has no id yet. MachineIdError."""
    warnings: list[str] = []
    static = _read_static(settings.static_machine_id_path, warnings)
    secret = read_secret(settings.state_dir)
    if secret is None:
        return Current(static, 0.0, True, warnings) if static is not None else None
    return _current(settings.state_dir, secret, now_s, static, warnings)


def _current(state_dir: str, secret: bytes, now_s: float, static: str | None, warnings: list[str]) -> Current:
    changing, until_s = machine_id(secret, now_s, rotations.read(state_dir))
    former = formerid.read(state_dir)
    if former is not None and former.holds(now_s):
        changing, until_s = former.machine_id, float(former.until_s)
    return Current(static or changing, until_s, static is not None, warnings)


def rotate(settings: Settings, now_s: float) -> str:
    """From now on the machine has another id, and the one before stays nameable: ""; or why it has not.
    MachineIdError."""
    if _read_static(settings.static_machine_id_path, []) is not None:
        return f"the machine id is a lasting one: remove {settings.static_machine_id_path}, and it changes again"
    former = formerid.read(settings.state_dir)
    if former is not None and former.holds(now_s):
        return _former_ended(settings.state_dir, former, now_s)
    secret = load_secret(settings.state_dir)
    turns = rotations.once_more(rotations.read(settings.state_dir), epoch_of(secret, now_s))
    if turns is None:
        return (
            f"the machine id was changed {rotations.TURNS_MAX} times within {EPOCH_S // 86_400} days: wait for the next"
        )
    try:
        rotations.write(settings.state_dir, turns)
    except OSError as error:
        return f"{settings.state_dir}/{rotations.NAME} can't be written ({error.strerror}): nothing has changed"
    return ""


def _former_ended(state_dir: str, former: Former, now_s: float) -> str:
    """The id of the epoch follows: none has been sent under it."""
    try:
        formerid.end(state_dir, former, now_s)
    except OSError as error:
        return f"{state_dir}/{formerid.NAME} can't be written ({error.strerror}): nothing has changed"
    return ""


def read_secret(state_dir: str) -> bytes | None:
    """state_dir/secret; None where there is none. MachineIdError."""
    directory = -1
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return _read_secret(directory, state_dir)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MachineIdError(f"{state_dir}/secret can't be read ({error.strerror}): run as root") from error
    finally:
        if directory >= 0:
            os.close(directory)


def load_secret(state_dir: str, before_first: Callable[[int], None] | None = None) -> bytes:
    """state_dir/secret, made where it is missing: complete and synced before it has that name. before_first: is called
    with the open directory before one is made."""
    try:
        os.makedirs(state_dir, 0o755, exist_ok=True)
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise MachineIdError(
            f"the state directory {state_dir} can't be used ({error.strerror}): create it for telemd's user"
        ) from error
    try:
        status = os.fstat(directory)
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise MachineIdError(
                f"the state directory {state_dir} is another user's, or may be written by others: "
                "chown it to telemd's user, chmod it to 0755"
            )
        try:
            return _read_secret(directory, state_dir)
        except FileNotFoundError:
            if before_first is not None:
                before_first(directory)
            _create_secret(directory)
            return _read_secret(directory, state_dir)
    except OSError as error:
        raise MachineIdError(
            f"{state_dir}/secret can't be read or made ({error.strerror}): telemd's user must be able to write there"
        ) from error
    finally:
        os.close(directory)


def _read_secret(directory: int, state_dir: str) -> bytes:
    wrong = f"{state_dir}/secret"
    remedy = "remove it, and a new one is made (the machine gets a new id)"
    try:
        fd = os.open("secret", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise MachineIdError(f"{wrong} is a symbolic link: {remedy}") from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise MachineIdError(f"{wrong} is not a regular file: {remedy}")
        if status.st_uid not in (0, os.geteuid(), os.fstat(directory).st_uid):  # root looks at what is telemd's
            raise MachineIdError(f"{wrong} belongs to another user: {remedy}")
        if status.st_mode & 0o077:
            raise MachineIdError(f"{wrong} may be read or written by others: {remedy}")
        secret = os.read(fd, SECRET_BYTES + 1)
        if len(secret) != SECRET_BYTES:
            raise MachineIdError(f"{wrong} is not {SECRET_BYTES} bytes long: {remedy}")
        return secret
    finally:
        os.close(fd)


def _create_secret(directory: int) -> None:
    """A name of its own first, then a link: a kill in the middle leaves no half secret, and of two makers one wins."""
    temporary = f"secret.{os.getpid()}"
    syncedfile.write_new(directory, temporary, os.urandom(SECRET_BYTES), 0o600)
    try:
        os.link(temporary, "secret", src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        pass  # another telemd was quicker: its secret holds
    finally:
        os.unlink(temporary, dir_fd=directory)
    os.fsync(directory)


def read_machine_id(state_dir: str) -> str:
    """What state_dir/machine_id says; "" where nothing usable is there."""
    try:
        fd = os.open(f"{state_dir}/machine_id", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = os.read(fd, 64).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
    return static_id(text) or "" if text[32:] in ("", "\n") else ""


def write_machine_id(state_dir: str, hex_id: str) -> None:
    """state_dir/machine_id: 32 hex digits and a newline, as older programs expect it; replaced in one step."""
    syncedfile.replace_in(state_dir, "machine_id", f"{hex_id}\n".encode(), 0o644)


def _read_static(path: str, warnings: list[str]) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        warnings.append(f"{path} can't be read ({error.strerror}), ignoring: the machine id goes on changing")
        return None
    try:
        text = os.read(fd, 32).decode("ascii", "replace")
    except OSError:
        text = ""
    finally:
        os.close(fd)
    found = static_id(text)
    if found is None:
        warnings.append(f"{path} doesn't begin with 32 hex digits, ignoring: the machine id goes on changing")
    return found
