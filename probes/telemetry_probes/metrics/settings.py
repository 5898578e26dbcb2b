# SPDX-License-Identifier: Apache-2.0
"""What the owner wants of the collectors: [metrics] in the configuration, and TELEMETRICS_ in the environment.

[metrics] says which collectors there are, [metrics.cpu] what that one does; TELEMETRICS_CPU_INTERVAL_S=10 holds over
both. What else is in a configuration file is read by others.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.discovery import INTERVAL_S_MAX, INTERVAL_S_MIN
from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.model import Choice
from telemetry_probes.program import Mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.discovery import Kind
    from telemetry_probes.metrics.model import Option

TABLE: Final = "metrics"
PREFIX: Final = "TELEMETRICS_"
FILE_BYTES_MAX: Final = 64 * 1024

GENERAL: Final = (
    Choice(
        "collectors", ALL, "Which collectors there are, as in `cpu,memory`, or after a `-` which not, as in `-gpu`."
    ),
    Choice("listen", "", "Where the last samples can be had as Prometheus text: unix:/PATH, or a port of 127.0.0.1."),
)
"""What stands in [metrics] itself."""
ENABLED: Final = Choice("enabled", True, "Whether it is used.")
"""Of each collector, and so is interval_s, whose default is the collector's."""

_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")


class Chosen:
    """How one collector is used."""

    __slots__ = ("enabled", "interval_s", "options")

    def __init__(self, enabled: bool, interval_s: float, options: Mapping[str, Option]) -> None:
        self.enabled = enabled
        self.interval_s = interval_s
        self.options = options


class Wanted:
    """What is said, and where. tables: each collector's; "" has what stands in [metrics] itself."""

    __slots__ = ("_environment", "general", "tables")

    def __init__(self, tables: Mapping[str, Mapping[str, Said]], environment: Mapping[str, str]) -> None:
        self.tables = tables
        self._environment = environment
        self.general = self._values("", GENERAL)
        """What stands in [metrics] itself, by name."""

    def check(self, names: Iterable[str]) -> None:
        """Mistake where a collector is named that there isn't: else one that is spelled wrong would go on measuring."""
        known = set(names)
        for word in str(self.general["collectors"]).strip().removeprefix("-").split(","):
            if word.strip() not in known and word.strip() and "*" not in word:
                raise Mistake(
                    f"{self._where('', 'collectors')} names one that there isn't; see metricprobe --list. To leave some"
                    ' out write one - before them all, as in "-gpu,wifi"'
                )
        for name, table in self.tables.items():
            if name and name not in known:
                file = next((said.file for said in table.values()), "the configuration")
                raise Mistake(f"{file}: [{TABLE}.{name}]: there is no such collector; see metricprobe --list")

    def names(self, names: Iterable[str]) -> list[str]:
        """Those of the collectors that the owner leaves."""
        taken = Filter(str(self.general["collectors"]))
        return [name for name in names if taken.takes(name)]

    def chosen(self, kind: Kind) -> Chosen:
        """How that collector is used. Mistake where what is said of it is wrong."""
        interval = Choice("interval_s", float(kind.interval_s), "How often it is sampled, in seconds.")
        values = self._values(kind.name, (ENABLED, interval, *kind.options))
        interval_s = values.pop("interval_s")
        assert isinstance(interval_s, int | float)
        if not INTERVAL_S_MIN <= interval_s <= INTERVAL_S_MAX:
            limits = f"a number of seconds from {INTERVAL_S_MIN:.0f} to {INTERVAL_S_MAX:.0f}"
            raise Mistake(f"{self._where(kind.name, 'interval_s')} has to be {limits}")
        return Chosen(bool(values.pop("enabled")), interval_s, values)

    def _values(self, table: str, choices: Sequence[Choice]) -> dict[str, Option]:
        said = self.tables.get(table, {})
        for name in said:
            if all(choice.name != name for choice in choices):
                known = ", ".join(choice.name for choice in choices)
                raise Mistake(f"{self._where(table, name)} is no setting; there are {known}")
        values: dict[str, Option] = {}
        for choice in choices:
            found: Option | None = None
            if (text := self._environment.get(_variable(table, choice.name))) is not None:
                found = _of_text(text, choice.default)
            elif choice.name in said:
                found = _of_toml(said[choice.name].value, choice.default)
            else:
                values[choice.name] = choice.default
                continue
            if found is None:
                raise Mistake(f"{self._where(table, choice.name)} has to be {_allowed(choice.default)}")
            values[choice.name] = found
        return values

    def _where(self, table: str, name: str) -> str:
        if (variable := _variable(table, name)) in self._environment:
            return variable
        file = self.tables[table][name].file if name in self.tables.get(table, {}) else "the configuration"
        return f"{file}: [{TABLE}.{table}] {name}" if table else f"{file}: [{TABLE}] {name}"


class Said:
    """A value, and the file that has it."""

    __slots__ = ("file", "value")

    def __init__(self, file: str, value: object) -> None:
        self.file = file
        self.value = value


def wanted(files: Sequence[str], environment: Mapping[str, str], required: bool = False) -> Wanted:
    """What the files say, a later one over an earlier one. Mistake where one can't be used; required: where there is
    none, too."""
    tables: dict[str, dict[str, Said]] = {}
    for file in files:
        for name, table in _tables(file, _text(file, required)).items():
            tables.setdefault(name, {}).update(table)
    return Wanted(tables, environment)


def _text(file: str, required: bool) -> str:
    """Of the file; "" where there is none."""
    try:
        fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except FileNotFoundError:
        if required:
            raise
        return ""
    try:
        content = b""
        while len(content) <= FILE_BYTES_MAX and (piece := posix.read(fd, FILE_BYTES_MAX + 1)):
            content += piece
    finally:
        posix.close(fd)
    if len(content) > FILE_BYTES_MAX:
        raise Mistake(f"{file}: it is larger than {FILE_BYTES_MAX // 1024} KiB; make it smaller")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Mistake(f"{file}: it is not UTF-8; see `telemctl config check`") from None


def _tables(file: str, text: str) -> dict[str, dict[str, Said]]:
    if f"[{TABLE}" not in text.replace(" ", ""):
        return {}  # most machines: nothing to load a parser for
    import tomli

    try:
        document = tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError):
        raise Mistake(f"{file}: it is not TOML; see `telemctl config check`") from None
    table = document.get(TABLE, {})
    if not isinstance(table, dict):
        raise Mistake(f"{file}: {TABLE} has to be a table; write [{TABLE}] on a line of its own")
    found: dict[str, dict[str, Said]] = {"": {}}
    for name, value in table.items():
        if isinstance(value, dict):
            found[name] = {key: Said(file, each) for key, each in value.items()}
        else:
            found[""][name] = Said(file, value)
    return found


def _variable(table: str, name: str) -> str:
    return f"{PREFIX}{table or TABLE}_{name}".upper()


def _of_toml(value: object, default: Option) -> Option | None:
    """None where it is of another type than the default."""
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(default, bool) and isinstance(value, bool) else None
    if isinstance(default, float):
        return float(value) if isinstance(value, int | float) and -1e9 <= value <= 1e9 else None
    if isinstance(default, int):
        return value if isinstance(value, int) and -(10**9) <= value <= 10**9 else None
    if isinstance(default, str):
        return value if isinstance(value, str) else None
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    return None


def _of_text(text: str, default: Option) -> Option | None:
    """The same of an environment variable; words of a list have commas between them."""
    if isinstance(default, bool):
        lower = text.strip().lower()
        return lower in _YES if lower in (*_YES, *_NO) else None
    if isinstance(default, str):
        return text
    if isinstance(default, int | float):
        try:
            number = float(text) if isinstance(default, float) else int(text)
        except ValueError:
            return None
        return _of_toml(number, default)
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _allowed(default: Option) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int | float):
        return "a number" if isinstance(default, float) else "a whole number"
    return "a text" if isinstance(default, str) else "a list of texts"
