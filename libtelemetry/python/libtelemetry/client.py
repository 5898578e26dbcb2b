# SPDX-License-Identifier: Apache-2.0
"""Hand records to telemd and wait for its answers, and the settings that say where telemd is.

The conversation itself (connect, retry, time-outs) is the C core's client.c; here its outcomes become values and
sentences. The layout of records and answers must never come in here.
"""

from __future__ import annotations

from _thread import allocate_lock
from posix import strerror

from libtelemetry._native import ffi, lib
from libtelemetry.ack import Ack
from libtelemetry.errors import TelemetryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from libtelemetry._native import AckStruct, ClientHandle
    from libtelemetry.record import Record

TIMEOUT_S = 5.0
"""How long an answer may take unless said otherwise: telemd may just be starting."""
TIMEOUT_S_MAX = 3600.0
SETTINGS = ("socket_path", "telemd_socket_path", "state_root", "opt_in_path", "spool_dir")
"""The settings that a sender needs; telemd has more."""
CONFIG_FILES = ("/usr/share/defaults/telemetrics/telemetrics.conf", "/etc/telemetrics/telemetrics.conf")
"""Where no other is named."""
_SETTING_BYTES_MAX = 4096
_FILE_BYTES_MAX = 65_536

# The numbers of Linux's errno.h; importing errno would cost more than it says.
_EPERM, _ENOENT, _EACCES, _EINVAL, _EPIPE = 1, 2, 13, 22, 32
_EPROTO, _EOPNOTSUPP, _ECONNRESET, _ETIMEDOUT, _ECONNREFUSED = 71, 95, 104, 110, 111


_config_file = ""


class Client:
    """A connection to telemd that is kept from record to record; made by the first one.

    timeout_s is how long one answer may take, 0.001 to 3,600 s. A record whose answer doesn't come is sent once more,
    with the same id, on a new connection. May be shared by threads; they take turns.
    """

    __slots__ = ("_handle", "_lock", "_timeout_s")

    _handle: ClientHandle | None
    _timeout_s: float

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        if not 0.001 <= timeout_s <= TIMEOUT_S_MAX:
            raise ValueError(f"timeout_s: 0.001 to {TIMEOUT_S_MAX:.0f} seconds are allowed")
        self._handle = None
        self._timeout_s = timeout_s
        self._lock = allocate_lock()
        opened = ffi.new("struct tm_client **")
        error = lib.tm_client_open(opened, int(timeout_s * 1000))
        if error != 0:
            raise TelemetryError(-error, strerror(-error))
        self._handle = ffi.gc(opened[0], lib.tm_client_close)

    def send(self, record: Record) -> Ack:
        """Hand over one record and wait for its answer, also where that is a refusal. TelemetryError if none came."""
        handle = record._open()
        answer = ffi.new("struct tm_ack *")
        with self._lock:
            error = lib.tm_client_send(self._open(), handle, answer)
        if error < 0:
            raise unreachable(-error, self._timeout_s)
        return _ack(answer)

    def send_many(self, records: Iterable[Record]) -> list[Ack]:
        """Hand over records in flight together; the answers are in their order, one each.

        Where the connection is lost twice TelemetryError says so; its `acks` are the answers to the first records, and
        the others count as not accepted.
        """
        handles = [record._open() for record in records]
        if not handles:
            return []
        answers = ffi.new("struct tm_ack[]", len(handles))
        refs = ffi.new("struct telem_ref *[]", handles)
        with self._lock:
            answered = lib.tm_client_send_many(self._open(), refs, len(handles), answers)
        if answered < 0:
            raise unreachable(-answered, self._timeout_s)
        acks = [_ack(answers[i]) for i in range(answered)]
        if answered < len(handles):
            failure = TelemetryError(
                _ETIMEDOUT,
                f"telemd answered {answered} of {len(handles)} records and then no more: see `{telemctl('status')}`",
            )
            failure.acks = acks
            raise failure
        return acks

    def close(self) -> None:
        """Close the connection; closing again does nothing."""
        self._handle = None

    def _open(self) -> ClientHandle:
        if self._handle is None:
            raise ValueError("the client is closed")
        return self._handle

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def send(record: Record, timeout_s: float = TIMEOUT_S) -> Ack:
    """Hand over one record on a connection of its own. TelemetryError if no answer came within timeout_s, twice."""
    with Client(timeout_s) as client:
        return client.send(record)


def is_opted_in() -> bool:
    """True where the machine's owner has opted in; without it nothing is sent."""
    return lib.tm_is_opted_in() == 1


def set_config_file(path: str) -> None:
    """Use this configuration file alone instead of the system's.

    TelemetryError unless it is a regular file, by absolute path.
    """
    # C would see the part before a NUL alone.
    error = -_EINVAL if "\0" in path else lib.tm_set_config_file(path.encode("utf-8", "surrogateescape"))
    if error < 0:
        why = "an absolute path of a regular file is needed" if error == -_EINVAL else strerror(-error)
        raise TelemetryError(
            -error, f"configuration file {path!r}: {why}; name one that exists, or none for the system's"
        )
    global _config_file
    _config_file = path


def telemctl(verb: str) -> str:
    """How to call that verb of telemctl for the configuration in use, for advice."""
    if not _config_file:
        return f"telemctl {verb}"
    quoted = _config_file
    if not all(character.isalnum() or character in "/._-+,:=@%" for character in quoted):
        quoted = "'" + quoted.replace("'", "'\\''") + "'"
    return f"telemctl -f {quoted} {verb}"


def setting(name: str) -> str:
    """A setting as it is in force: one of SETTINGS, else KeyError. TelemetryError where the configuration is no use."""
    if name not in SETTINGS:
        raise KeyError(name)
    value = ffi.new("char[]", _SETTING_BYTES_MAX)
    error = lib.tm_get_setting(name.encode(), value, _SETTING_BYTES_MAX)
    if error < 0:
        raise TelemetryError(
            -error, f"the configuration can't be used ({strerror(-error)}): see `{telemctl('config check')}`"
        )
    return ffi.string(value).decode("utf-8", "surrogateescape")


def unreachable(errno: int, timeout_s: float) -> TelemetryError:
    """The C core's errno as a sentence that says what to do next."""
    path = setting("telemd_socket_path")
    broken = _broken_file() if errno in (_ENOENT, _ECONNREFUSED) else ""
    if broken:
        what = f"{broken}: see `{telemctl('config check')}`"
    elif errno == _ECONNREFUSED and not is_opted_in():
        what = f"this machine is not opted in, nothing was sent: run `{telemctl('opt-in')}` to allow telemetry"
    elif errno == _ENOENT:
        what = f"telemd is not running (no {path}): start it with `{telemctl('start')}`"
    elif errno == _ECONNREFUSED:
        what = f"telemd is not running (nobody listens on {path}): start it with `{telemctl('start')}`"
    elif errno == _ETIMEDOUT:
        what = f"telemd did not answer within {timeout_s:g} s, twice: see `{telemctl('status')}`"
    elif errno in (_ECONNRESET, _EPIPE):
        what = f"telemd closed the connection without an answer, twice: see `{telemctl('status')}`"
    elif errno in (_EACCES, _EPERM):
        what = f"no permission to connect to {path}: look at its mode with `ls -l`"
    elif errno == _EPROTO:
        what = f"what answers on {path} doesn't speak telemd's protocol: is the path right?"
    elif errno == _EOPNOTSUPP:
        what = f"only an older telemd runs here (no {path}), and it can't take this kind of payload: upgrade it"
    else:
        what = f"telemd can't be reached on {path}: {strerror(errno)}; see `{telemctl('status')}`"
    return TelemetryError(errno, what)


def _broken_file() -> str:
    """Which configuration file is broken, and where: the C core passes over lines that it can't read, and looks for
    telemd where there is none then. "" where it isn't that, or can't be told."""
    try:
        import tomli
    except ImportError:
        return ""
    for path in (_config_file,) if _config_file else CONFIG_FILES:
        try:
            with open(path, "rb") as file:
                text = file.read(_FILE_BYTES_MAX).decode("utf-8", "replace")
            tomli.loads(text)
        except OSError:
            continue
        except tomli.TOMLDecodeError as error:
            # telemetrics-client's own form has no quotes.
            if any(line.partition("=")[2].lstrip()[:1] in ('"', "'") for line in text.splitlines() if "=" in line):
                _, found, place = str(error).rpartition(" (at line ")
                where = f" at line {place.partition(',')[0]}" if found else ""
                return f"the configuration file {path!r} is broken{where}"
    return ""


def _ack(answer: AckStruct) -> Ack:
    return Ack(answer.verdict, answer.reason, bytes(ffi.buffer(answer.record_id)))
