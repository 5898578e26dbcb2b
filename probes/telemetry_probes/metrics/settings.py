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
INTERVAL: Final = "interval_s"
"""Both are of each collector; the default of this one is the collector's."""
MISTAKES_MAX: Final = 32
"""Of one kind that are told."""
NAME_CHARS_MAX: Final = 60
"""Of a name that isn't ours that are shown."""

_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")


class Chosen:
    """How one collector is used."""

    __slots__ = ("enabled", "interval_s", "options")

    def __init__(self, enabled: bool, interval_s: float, options: Mapping[str, Option]) -> None:
        self.enabled = enabled
        self.interval_s = interval_s
        self.options = options


class File:
    """A configuration file and what is in it."""

    __slots__ = ("_lines", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._lines: dict[tuple[str, ...], int] = {}

    def place(self, *path: str) -> str:
        """As in FILE:7, of a table or a key by its full path, or of what it stands in."""
        if not self._lines:
            from libtelemetry.tomllines import key_lines

            self._lines = key_lines(self.text)
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.name}:{self._lines[path]}" if path else self.name


class Said:
    """A value, and the file that has it."""

    __slots__ = ("file", "value")

    def __init__(self, file: File, value: object) -> None:
        self.file = file
        self.value = value


class Wanted:
    """What is said, and where. tables: each collector's; "" has what stands in [metrics] itself. The environment holds
    over both. A mistake is told where it is asked for what has it, as FILE:LINE: WHAT: PROBLEM; REMEDY."""

    __slots__ = ("_environment", "_heads", "tables")

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Said]],
        environment: Mapping[str, str],
        heads: Mapping[str, File],
    ) -> None:
        """heads: the last file in which each table begins."""
        self.tables = tables
        self._environment = environment
        self._heads = heads

    @property
    def general(self) -> dict[str, Option]:
        """What stands in [metrics] itself, by name. Mistake."""
        return self._values("", GENERAL)

    def check(self, names: Iterable[str]) -> None:
        """Mistake where a collector is named that there isn't: else one that is spelled wrong would go on measuring;
        and where [metrics] has what is no setting."""
        known = list(names)
        for mistake in (
            *self.unknown_settings("", GENERAL), *self.unknown_names(known), *self.unknown_tables(known)
        ):  # fmt: skip
            raise Mistake(mistake)

    def unknown_names(self, names: Iterable[str]) -> list[str]:
        """What is wrong with the list of collectors: those that there aren't."""
        known = set(names)
        listed = str(self.value("", GENERAL[0])).strip().removeprefix("-").split(",")
        unknown = [word.strip() for word in listed if word.strip() and word.strip() not in known and "*" not in word]
        to_leave_out = 'to leave some out write one - before them all, as in "-gpu,wifi"'
        return [
            self.mistaken(
                "", "collectors", f"there is no collector {_shown(word)}", f"{to_leave_out}; {_near(word, known)}"
            )
            for word in unknown[:MISTAKES_MAX]
        ]

    def unknown_tables(self, names: Iterable[str]) -> list[str]:
        """What is wrong with the names of the tables."""
        known = set(names)
        unknown = [name for name in self.tables if name and name not in known]
        return [
            f"{self._head(name)}: there is no such collector; {_near(name, known)}" for name in unknown[:MISTAKES_MAX]
        ]

    def names(self, names: Iterable[str]) -> list[str]:
        """Those of the collectors that the owner leaves."""
        taken = Filter(str(self.value("", GENERAL[0])))
        return [name for name in names if taken.takes(name)]

    def chosen(self, kind: Kind) -> Chosen:
        """How that collector is used. Mistake where what is said of it is wrong."""
        values = self._values(kind.name, choices(kind))
        interval_s = values.pop("interval_s")
        assert isinstance(interval_s, int | float)
        return Chosen(bool(values.pop("enabled")), interval_s, values)

    def _values(self, table: str, known: Sequence[Choice]) -> dict[str, Option]:
        for mistake in self.unknown_settings(table, known):
            raise Mistake(mistake)
        return {choice.name: self.value(table, choice) for choice in known}

    def unknown_settings(self, table: str, known: Sequence[Choice]) -> list[str]:
        """What is wrong with the names in a table."""
        names = [choice.name for choice in known]
        unknown = [name for name in self.tables.get(table, {}) if name not in names]
        return [
            self.mistaken(table, name, "this is not a setting", _near(name, names)) for name in unknown[:MISTAKES_MAX]
        ]

    def value(self, table: str, choice: Choice) -> Option:
        """What is said of it, or its default. Mistake where that can't be taken."""
        said = self.tables.get(table, {}).get(choice.name)
        text = self._environment.get(_variable(table, choice.name))
        if text is not None:
            found = _of_text(text, choice)
        elif said is not None:
            found = _of_toml(said.value, choice)
        else:
            return choice.default
        if found is None:
            raise Mistake(self.mistaken(table, choice.name, "this can't be its value", f"write {_allowed(choice)}"))
        return found

    def speaks_of(self, collector: str) -> bool:
        """Whether anything is said of that one."""
        begin = _variable(collector, "")
        return collector in self.tables or any(name.startswith(begin) for name in self._environment)

    def origin(self, table: str, name: str) -> str:
        """The variable or the file that a setting's value is of; "" for what is built in."""
        if (variable := _variable(table, name)) in self._environment:
            return variable
        said = self.tables.get(table, {}).get(name)
        return said.file.name if said is not None else ""

    def mistaken(self, table: str, name: str, problem: str, remedy: str) -> str:
        """The whole sentence on what is wrong with a setting."""
        return f"{self._where(table, name)}: {problem}; {remedy}"

    def _where(self, table: str, name: str) -> str:
        """Where it stands: in the environment, in a file, or nowhere."""
        if (variable := _variable(table, name)) in self._environment:
            return variable
        said = self.tables.get(table, {}).get(name)
        path = (TABLE, table, name) if table else (TABLE, name)
        place = said.file.place(*path) if said is not None else "the configuration"
        return f"{place}: {_header(table)} {_shown(name)}"

    def _head(self, table: str) -> str:
        file = self._heads.get(table)
        place = "the configuration" if file is None else file.place(TABLE, table)
        return f"{place}: {_header(table)}"


def choices(kind: Kind) -> tuple[Choice, ...]:
    """What a collector's table takes."""
    interval = Choice(INTERVAL, float(kind.interval_s), "How often it is sampled, in seconds.")
    return (ENABLED, interval, *kind.options)


def wanted(files: Sequence[str], environment: Mapping[str, str], required: bool = False) -> Wanted:
    """What the files say, a later one over an earlier one. Mistake where one can't be used; required: where there is
    none, too."""
    tables: dict[str, dict[str, Said]] = {}
    heads: dict[str, File] = {}
    for name in files:
        file = File(name, text_of(name, required))
        for table, values in _tables(file).items():
            tables.setdefault(table, {}).update(values)
            heads[table] = file
    return Wanted(tables, environment, heads)


def text_of(file: str, required: bool) -> str:
    """Of the file; "" where there is none. Mistake, OSError."""
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


def _tables(file: File) -> dict[str, dict[str, Said]]:
    if f"[{TABLE}" not in file.text.replace(" ", ""):
        return {}  # most machines: nothing to load a parser for
    import tomli

    try:
        document = tomli.loads(file.text)
    except (tomli.TOMLDecodeError, RecursionError):
        raise Mistake(
            f"{file.name}: it is not TOML, so that [{TABLE}] can't be read; see `telemctl config check`, write"
            " [settings] above the other settings, and texts in quotes"
        ) from None
    table = document.get(TABLE, {})
    if not isinstance(table, dict):
        raise Mistake(f"{file.place(TABLE)}: {TABLE}: this is no table; write [{TABLE}] on a line of its own")
    found: dict[str, dict[str, Said]] = {"": {}}
    for name, value in table.items():
        if isinstance(value, dict):
            found[name] = {key: Said(file, each) for key, each in value.items()}
        else:
            found[""][name] = Said(file, value)
    return found


def _header(table: str) -> str:
    return f"[{TABLE}.{_shown(table)}]" if table else f"[{TABLE}]"


def _shown(name: str) -> str:
    """A name that isn't ours, so that it can be printed."""
    return "".join(char if char.isprintable() else "?" for char in name[:NAME_CHARS_MAX])


def _near(name: str, known: Iterable[str]) -> str:
    """What may have been meant."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def _variable(table: str, name: str) -> str:
    return f"{PREFIX}{table or TABLE}_{name}".upper()


def _of_toml(value: object, choice: Choice) -> Option | None:
    """None where it is of another type than the default, or no interval."""
    found = _typed(value, choice.default)
    if choice.name == INTERVAL and isinstance(found, float) and not INTERVAL_S_MIN <= found <= INTERVAL_S_MAX:
        return None
    return found


def _typed(value: object, default: Option) -> Option | None:
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


def _of_text(text: str, choice: Choice) -> Option | None:
    """The same of an environment variable; words of a list have commas between them."""
    default = choice.default
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
        return _of_toml(number, choice)
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _allowed(choice: Choice) -> str:
    """In words that fit after "write"."""
    if choice.name == INTERVAL:
        return f"a number of seconds from {INTERVAL_S_MIN:.0f} to {INTERVAL_S_MAX:.0f}"
    default = choice.default
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int | float):
        return "a number" if isinstance(default, float) else "a whole number"
    return "a text in quotes" if isinstance(default, str) else 'a list of texts, as in ["a", "b"]'
