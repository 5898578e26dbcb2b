# SPDX-License-Identifier: Apache-2.0
"""The table of settings: the only place that knows a key's name, type, default, limits, unit and meaning.

All else is made or checked from it: the Settings value, etc/telemetrics.conf, the table in docs/. Pure; never a file,
and never what a setting does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

    Value: TypeAlias = bool | int | str

PATH_BYTES_MAX: Final = 4095
"""PATH_MAX without the NUL."""

SOCKET_PATH_BYTES_MAX: Final = 107
"""sun_path of unix(7) without the NUL."""

URL_BYTES_MAX: Final = 2048
HEADER_BYTES_MAX: Final = 256
NAME_BYTES_MAX: Final = 32

URL: Final = "url"
PATH: Final = "path"
SOCKET: Final = "socket"
HEADER: Final = "header"
NAME: Final = "name"

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Key:
    """One setting. low and high hold for an int; special are ints that are allowed besides; choices and form for a str.

    below_root: the default is a path that is put below state_root. fixed: a running telemd keeps what it started with.
    """

    __slots__ = (
        "below_root",
        "choices",
        "default",
        "doc",
        "fixed",
        "form",
        "high",
        "low",
        "name",
        "special",
        "type",
        "unit",
    )

    def __init__(
        self,
        name: str,
        type_: type[bool] | type[int] | type[str],
        default: Value,
        low: int = 0,
        high: int = 0,
        unit: str = "",
        doc: str = "",
        *,
        special: tuple[int, ...] = (),
        choices: tuple[str, ...] = (),
        form: str = "",
        below_root: bool = False,
        fixed: bool = False,
    ) -> None:
        self.name = name
        self.type = type_
        self.default = default
        self.low = low
        self.high = high
        self.unit = unit
        self.doc = doc
        self.special = special
        self.choices = choices
        self.form = form
        self.below_root = below_root
        self.fixed = fixed


KEYS: Final = (
    Key("server", str, "", form=URL, doc="Where records are delivered. Empty: nothing is sent anywhere."),
    Key(
        "transport",
        str,
        "hub",
        form=NAME,
        doc="How the server is spoken to: hub (a telemhub), backend-json or backend-headers (a telemetrics-backend, a "
        "record at a time, sent to the very address in server, as in https://HOST/v3/collector).",
    ),
    Key("cainfo", str, "", form=PATH, doc="File of the CA certificates that are trusted. Empty: the system's."),
    Key(
        "client_certificate",
        str,
        "",
        form=PATH,
        doc="File (PEM) of this machine's own certificate, for a server that asks for one; its key may be in it, too.",
    ),
    Key(
        "client_key",
        str,
        "",
        form=PATH,
        doc="File (PEM, no passphrase) of the key to client_certificate; only the process that delivers reads it.",
    ),
    Key(
        "proxy",
        str,
        "",
        form=URL,
        doc="Proxy on the way to the server, as in http://HOST:PORT or https://USER:PASSWORD@HOST:PORT. Empty: none.",
    ),
    Key(
        "use_environment",
        bool,
        False,
        doc="Where proxy or cainfo is empty, take it from telemd's environment: https_proxy, http_proxy, all_proxy, "
        "no_proxy, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE.",
        fixed=True,
    ),
    Key(
        "tidheader",
        str,
        "X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f",
        form=HEADER,
        doc="HTTP header that goes with every delivery; a telemetrics-backend takes nothing without its own.",
    ),
    Key("record_server_delivery_enabled", bool, True, doc="Deliver records. false: keep them until they expire."),
    Key("record_retention_enabled", bool, False, doc="Keep a copy of every accepted record in the log directory."),
    Key("record_expiry", int, 1200, 1, 525_600, "min", "A record that could not be delivered for so long is dropped."),
    Key(
        "spool_max_size",
        int,
        5120,
        512,
        1 << 30,
        "KB",
        "Disk space for records. -1: no limit of our own.",
        special=(-1,),
    ),
    Key(
        "spool_process_time",
        int,
        120,
        120,
        300,
        "s",
        "How often the spool directory is looked through for records left there as files. What was accepted needs no "
        "such time: it is sent at once.",
    ),
    Key("delivery_batch_records", int, 1000, 1, 1000, "records", "Records in one delivery at most."),
    Key("retry_max_s", int, 900, 1, 3600, "s", "Longest wait between tries, unless the server asks for more."),
    Key("rate_limit_enabled", bool, True, doc="Keep to the limits below."),
    Key("record_burst_limit", int, 1000, -1, 1_000_000_000, "records", "Records in one window. -1: no limit."),
    Key("record_window_length", int, 15, 0, 59, "min", "The window record_burst_limit holds for. 0: no limit."),
    Key("byte_burst_limit", int, -1, -1, 1 << 50, "bytes", "Bytes of records in one window. -1: no limit."),
    Key("byte_window_length", int, 20, 0, 59, "min", "The window byte_burst_limit holds for. 0: no limit."),
    Key(
        "metric_burst_limit",
        int,
        300,
        -1,
        1_000_000_000,
        "records",
        "As record_burst_limit, for metrics, which have a budget of their own. -1: no limit.",
    ),
    Key(
        "source_burst_limit",
        int,
        500,
        -1,
        1_000_000_000,
        "records",
        "What one user may send in record_window_length; root and telemd's user are free of it. -1: no limit.",
    ),
    Key(
        "users_share",
        int,
        50,
        1,
        100,
        "percent",
        "How much of each limit above, and of spool_max_size, all users but root and telemd's user may have together; "
        "one of them gets a part of that, so that others can send, too.",
    ),
    Key(
        "rate_limit_strategy",
        str,
        "spool",
        choices=("spool", "drop"),
        doc="What becomes of a record above a limit: kept and delivered later, or refused.",
    ),
    Key("daemon_recycling_enabled", bool, True, doc="Leave when idle, where systemd starts telemd again on demand."),
    Key("idle_exit_s", int, 300, 0, 86_400, "s", "How long idle before it leaves. 0: never."),
    Key(
        "courier_linger_s",
        int,
        30,
        1,
        600,
        "s",
        "How long the process that delivers stays with nothing to do.",
        fixed=True,
    ),
    Key(
        "connections_max",
        int,
        0,
        16,
        100_000,
        "connections",
        "Connections that are open at once. 0: as many as the limit of open files allows.",
        special=(0,),
        fixed=True,
    ),
    Key("log_level", str, "info", choices=("debug", "info", "warning", "error"), doc="What telemd writes to its log."),
    Key(
        "state_root",
        str,
        "",
        form=PATH,
        fixed=True,
        doc="Directory that all paths lie below, so that a test, a demo or a user has a system of its own. Empty: /",
    ),
    Key(
        "socket_path",
        str,
        "/run/telem-0",
        form=SOCKET,
        below_root=True,
        fixed=True,
        doc="Socket of older programs: takes, never answers.",
    ),
    Key(
        "telemd_socket_path",
        str,
        "/run/telemetry/telemd.sock",
        form=SOCKET,
        below_root=True,
        fixed=True,
        doc="Socket that answers every record.",
    ),
    Key(
        "control_socket_path",
        str,
        "/run/telemetry/control.sock",
        form=SOCKET,
        below_root=True,
        fixed=True,
        doc="Socket that telemctl asks.",
    ),
    Key(
        "spool_dir",
        str,
        "/var/spool/telemetry",
        form=PATH,
        below_root=True,
        fixed=True,
        doc="Records not delivered yet.",
    ),
)

BY_NAME: Final = {key.name: key for key in KEYS}


def shown(value: Value) -> str:
    """A value as it is written in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def allowed(key: Key) -> str:
    """What may be written, in words that fit after "write"."""
    if key.type is bool:
        return "true or false, without quotes"
    if key.type is int:
        text = f"a whole number from {key.low} to {key.high}"
        if key.unit:
            text += f" ({key.unit})"
        return text + "".join(f" or {number}" for number in key.special)
    if key.choices:
        return " or ".join(f'"{choice}"' for choice in key.choices)
    return {
        URL: '"https://HOST/" or "http://HOST:PORT/", or "" to send nothing',
        PATH: 'an absolute path in quotes, without ".." in it',
        SOCKET: f'an absolute path in quotes, without ".." in it, of at most {SOCKET_PATH_BYTES_MAX} bytes',
        HEADER: '"Name: value" in printable ASCII',
        NAME: "a name of lower-case letters, digits and hyphens, in quotes",
    }[key.form]


def problem(key: Key, value: object) -> str:
    """What is wrong with a value, "" where nothing is. Never quotes a string: it may hold a password."""
    if key.type is bool:
        return "" if isinstance(value, bool) else f"{_kind(value)} where true or false is needed"
    if key.type is int:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{_kind(value)} where a number is needed"
        if key.low <= value <= key.high or value in key.special:
            return ""
        side, limit = ("below", key.low) if value < key.low else ("above", key.high)
        return f"{value if abs(value) < 1 << 64 else 'the number'} is {side} {limit}"
    if not isinstance(value, str):
        return f"{_kind(value)} where a string is needed"
    if key.choices:
        return "" if value in key.choices else "this is none of its values"
    return _string_problem(key.form, value)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false stands"
    names = {int: "a number", float: "a fraction", str: "a string", list: "an array", dict: "a table"}
    return names.get(type(value), "a date or time") + " stands"


def _string_problem(form: str, text: str) -> str:
    if not all(c.isprintable() for c in text):
        return "it holds a control character"
    size = len(text.encode("utf-8", "surrogatepass"))
    if form == URL:
        return "" if not text or (size <= URL_BYTES_MAX and is_url(text)) else "this is no http or https URL"
    if form == HEADER:
        return "" if size <= HEADER_BYTES_MAX and _is_header(text) else "this is no HTTP header line"
    if form == NAME:
        good = bool(text) and size <= NAME_BYTES_MAX and set(text) <= _NAME
        return "" if good else "this is no name"
    if not text:
        return ""
    if not text.startswith("/"):
        return "the path doesn't begin with /"
    if ".." in text.split("/"):
        return "the path goes up with .."
    limit = SOCKET_PATH_BYTES_MAX if form == SOCKET else PATH_BYTES_MAX
    return "" if size <= limit else f"the path is longer than {limit} bytes"


def is_url(text: str) -> bool:
    """http or https, a host, and nothing in it that an HTTP request line can't carry."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme not in ("http", "https") or not text.isascii() or " " in text:
        return False
    authority = rest
    for end in "/?#":
        authority = authority.partition(end)[0]
    host = authority.rpartition("@")[2]
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return False
        port = port[1:]
    else:
        name, _, port = host.partition(":")
    return bool(name) and (not port or (port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536))


def _is_header(text: str) -> bool:
    name, colon, value = text.partition(":")
    return bool(name) and bool(colon) and set(name) <= _TOKEN and text.isascii() and bool(value.strip())
