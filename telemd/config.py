# SPDX-License-Identifier: Apache-2.0
"""The configuration: which files there are, what holds in the end, and every path that follows from it.

Read once into a frozen value, and handed to the rooms: none of them may read it again. The keys are configkeys', the
syntax of a file is configfile's.
"""

from __future__ import annotations

import errno
import os
import stat

from telemd.configfile import ConfigError, Entries, parse_all
from telemd.configkeys import BY_NAME, KEYS, SOCKET_PATH_BYTES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.configkeys import Value

__all__ = [
    "BUILT_IN",
    "DEFAULTS_FILE",
    "FIXED_WHILE_RUNNING",
    "OWNERS_FILE",
    "ConfigError",
    "Loaded",
    "Settings",
    "load",
]

BUILT_IN: Final = "built-in"
"""The lowest layer."""

DEFAULTS_FILE: Final = "/usr/share/defaults/telemetrics/telemetrics.conf"
"""What the distribution chose."""

OWNERS_FILE: Final = "/etc/telemetrics/telemetrics.conf"
"""What the machine's owner chose; holds over the other."""

FIXED_WHILE_RUNNING: Final = tuple(key.name for key in KEYS if key.fixed)
"""What a running telemd can't take over from a file that changed."""

FILE_BYTES_MAX: Final = 64 * 1024


class Settings:
    """What holds: one attribute a key, in the key's unit, and the paths that follow. Frozen, compared by value.

    Values are taken as they are: load() has checked them. The three sockets and spool_dir lie below state_root unless
    they are named.
    """

    __slots__ = tuple(BY_NAME)

    server: str
    transport: str
    cainfo: str
    client_certificate: str
    client_key: str
    proxy: str
    use_environment: bool
    tidheader: str
    record_server_delivery_enabled: bool
    record_retention_enabled: bool
    record_expiry: int
    spool_max_size: int
    spool_process_time: int
    delivery_batch_records: int
    retry_max_s: int
    rate_limit_enabled: bool
    record_burst_limit: int
    record_window_length: int
    byte_burst_limit: int
    byte_window_length: int
    metric_burst_limit: int
    source_burst_limit: int
    users_share: int
    rate_limit_strategy: str
    daemon_recycling_enabled: bool
    idle_exit_s: int
    courier_linger_s: int
    connections_max: int
    log_level: str
    state_root: str
    socket_path: str
    telemd_socket_path: str
    control_socket_path: str
    spool_dir: str

    def __init__(self, **chosen: Value) -> None:
        unknown = chosen.keys() - BY_NAME.keys()
        if unknown:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        root = str(chosen.get("state_root", "")).rstrip("/")
        for key in KEYS:
            value = chosen.get(key.name, key.default)
            if key.below_root:
                value = chosen.get(key.name) or f"{root}{key.default}"
            object.__setattr__(self, key.name, value)
        object.__setattr__(self, "state_root", root)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Settings are frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("Settings are frozen")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(tuple(self.values().values()))

    def __repr__(self) -> str:
        return f"Settings(state_root={self.state_root!r})"  # the rest may hold a password

    def values(self) -> dict[str, Value]:
        """Every key with its value, in the table's order."""
        return {key.name: getattr(self, key.name) for key in KEYS}

    def changed(self, other: Settings) -> list[str]:
        """The keys that differ."""
        mine, theirs = self.values(), other.values()
        return [name for name in mine if mine[name] != theirs[name]]

    @property
    def spool_max_bytes(self) -> int | None:
        """Bytes of the spool directory; None: no limit."""
        return None if self.spool_max_size < 0 else self.spool_max_size * 1024

    @property
    def opt_in_path(self) -> str:
        """Where this file exists the owner has opted in."""
        return f"{self.state_root}/etc/telemetrics/opt-in"

    @property
    def static_machine_id_path(self) -> str:
        """A file whose first 32 characters are the machine id, for a machine that is to have a lasting one."""
        return f"{self.state_root}/etc/telemetrics/opt-in-static-machine-id"

    @property
    def state_dir(self) -> str:
        """Secret and machine id."""
        return f"{self.state_root}/var/lib/telemetry"

    @property
    def owners_folder(self) -> str:
        """What the machine's owner says about telemetry."""
        return f"{self.state_root}/etc/telemetrics"

    @property
    def courier_socket_path(self) -> str:
        """Where systemd starts a courier for whoever connects; nobody listens there without it."""
        return f"{self.state_root}/run/telemetry/courier.sock"

    @property
    def log_dir(self) -> str:
        """Journal, kept copies of records, and telemd's log where no systemd takes it."""
        return f"{self.state_root}/var/log/telemetry"

    @property
    def journal_path(self) -> str:
        """One line an accepted record."""
        return f"{self.log_dir}/journal"

    @property
    def records_dir(self) -> str:
        """Kept copies of records."""
        return f"{self.log_dir}/records"

    @property
    def daemon_log_path(self) -> str:
        """What a telemd that telemctl started says."""
        return f"{self.log_dir}/telemd.log"

    @property
    def drop_dir(self) -> str:
        """Where a crash report is put while no telemd takes it."""
        return f"{self.spool_dir}/drop"


class Loaded:
    """What was read. files: those that exist, in order. places: key -> file and line, where a file sets it.

    warnings: whole sentences for the log.
    """

    __slots__ = ("files", "places", "settings", "warnings")

    def __init__(
        self, settings: Settings, places: dict[str, tuple[str, int]], warnings: list[str], files: list[str]
    ) -> None:
        self.settings = settings
        self.places = places
        self.warnings = warnings
        self.files = files

    @property
    def origins(self) -> dict[str, str]:
        """Which layer each key's value is of."""
        return {key.name: self.places[key.name][0] if key.name in self.places else BUILT_IN for key in KEYS}


def load(path: str | None, *, layers: tuple[str, ...] = (DEFAULTS_FILE, OWNERS_FILE)) -> Loaded:
    """The configuration in force. path: this file alone, over the built-ins; None: layers, the last one holds.

    A layer that doesn't exist is left out. ConfigError: a path that doesn't exist, and any file with a mistake.
    """
    loaded, mistakes = examine(path, layers=layers)
    if mistakes:
        raise mistakes[0]
    return loaded


def examine(
    path: str | None, *, layers: tuple[str, ...] = (DEFAULTS_FILE, OWNERS_FILE)
) -> tuple[Loaded, list[ConfigError]]:
    """As load(), but with every mistake that is found, and what would hold without them."""
    mistakes: list[ConfigError] = []
    values: dict[str, Value] = {}
    places: dict[str, tuple[str, int]] = {}
    warnings: list[str] = []
    files: list[str] = []
    for file in layers if path is None else (path,):
        try:
            entries = _read(file, required=path is not None)
        except ConfigError as error:
            mistakes.append(error)
            continue
        if entries is None:
            continue
        mistakes += entries.mistakes
        files.append(file)
        values.update(entries.values)
        warnings += entries.warnings
        places.update((name, (file, line)) for name, line in entries.lines.items())
    settings = Settings(**values)
    mistakes += _check_paths(settings, places)
    return Loaded(settings, places, warnings, files), mistakes


def _read(file: str, *, required: bool) -> Entries | None:
    try:
        # Not to wait for a writer where it is a fifo.
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return None
        raise ConfigError(file, 0, "", "there is no such file", "name one that exists, or leave -f out") from None
    except OSError as error:
        raise _unreadable(file, error) from None
    except ValueError:
        raise ConfigError(file.replace("\0", "?"), 0, "", "this is no file name", "take the NUL out of it") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigError(file, 0, "", "it is not a regular file", "name a file, or a link to one")
        data = b""
        while len(data) <= FILE_BYTES_MAX and (piece := os.read(fd, FILE_BYTES_MAX + 1 - len(data))):
            data += piece
    except OSError as error:
        raise _unreadable(file, error) from None
    finally:
        os.close(fd)
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(file, 0, "", f"it is larger than {FILE_BYTES_MAX >> 10} KiB", "keep to the settings")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, line, "", "this is not UTF-8", "save the file as UTF-8") from None
    return parse_all(text, file)


def _unreadable(file: str, error: OSError) -> ConfigError:
    remedy = "run as root, or make it readable" if error.errno in (errno.EACCES, errno.EPERM) else "put that right"
    return ConfigError(file, 0, "", f"it can't be read ({error.strerror})", remedy)


def _check_paths(settings: Settings, places: dict[str, tuple[str, int]]) -> list[ConfigError]:
    """What a key's own check can't see: paths that state_root has made too long, and sockets in one place."""
    mistakes: list[ConfigError] = []
    sockets: dict[str, str] = {}
    for name in ("socket_path", "telemd_socket_path", "control_socket_path"):
        path: str = getattr(settings, name)
        own_place = places.get(name)
        file, line = own_place or places.get("state_root", (BUILT_IN, 0))
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            key = name if own_place else "state_root"
            wrong = f"it makes {name} {len(os.fsencode(path))} bytes long, and the kernel takes {SOCKET_PATH_BYTES_MAX}"
            mistakes.append(ConfigError(file, line, key, wrong, "choose a shorter directory"))
        if path in sockets:
            wrong = f"it is the path of {sockets[path]} too"
            mistakes.append(ConfigError(file, line, name, wrong, "give each a path of its own"))
        sockets[path] = name
    return mistakes
