# SPDX-License-Identifier: Apache-2.0
"""One configuration file: its text in, checked values out, each with the line it stands on.

Pure. Two syntaxes: TOML with a table [settings], where every mistake is an error, and telemetrics-client's `key=value`,
where what can't be used is put right with a warning, as its own reader did. Which files there are is config's business.
"""

from __future__ import annotations

from telemd.configkeys import BY_NAME, HEADER, URL, allowed, is_url, problem, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.configkeys import Key, Value

TABLE: Final = "settings"

READ_BY_PROBES: Final = "metrics"
"""A table that metricprobe reads, and checks."""

READ_BY_LIBRARY: Final = ("state_root", "socket_path", "telemd_socket_path")
"""libtelemetry reads these too, with a reader that knows plain lines alone: both must see the same."""

_BARE_KEY: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_SHOWN_MAX: Final = 60


class ConfigError(Exception):
    """A file that can't be used. line counts from 1, 0 where the whole file is meant; key is "" where none is."""

    def __init__(self, file: str, line: int, key: str, problem: str, remedy: str) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {f'{key}: ' if key else ''}{problem}; {remedy}")
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem
        self.remedy = remedy


class Entries:
    """What a file says. lines: where each key stands. warnings: whole sentences, beginning with file and line.
    mistakes: what can't be taken, in order; values are the others then."""

    __slots__ = ("lines", "mistakes", "values", "warnings")

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.lines: dict[str, int] = {}
        self.mistakes: list[ConfigError] = []
        self.warnings: list[str] = []


def parse(text: str, file: str) -> Entries:
    """The settings in text. ConfigError, with file and line: the first mistake."""
    entries = parse_all(text, file)
    if entries.mistakes:
        raise entries.mistakes[0]
    return entries


def parse_all(text: str, file: str) -> Entries:
    """The settings in text, and all mistakes. ConfigError where there is no telling what comes after one."""
    import tomli  # 1 MB: not for a telemd without a configuration file

    try:
        document: dict[str, object] = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        if looks_original(text):
            return _parse_original(text, file)
        raise _syntax_error(text, file, str(error)) from None
    except RecursionError:
        raise ConfigError(file, 0, "", "it is nested too deeply", f"keep to `key = value` under [{TABLE}]") from None
    return _parse_toml(document, text, file)


# ---- TOML -----------------------------------------------------------------------------------------------------------


def _parse_toml(document: dict[str, object], text: str, file: str) -> Entries:
    from libtelemetry.tomllines import key_lines

    places = key_lines(text)
    entries = Entries()
    entries.mistakes += [
        _misplaced(name, file, places.get((name,), 0))
        for name, value in document.items()
        if name != TABLE and not (name == READ_BY_PROBES and isinstance(value, dict))
    ]
    settings = document.get(TABLE, {})
    if not isinstance(settings, dict):
        line = places.get((TABLE,), 0)
        remedy = f"write [{TABLE}] on a line of its own"
        entries.mistakes.append(ConfigError(file, line, TABLE, "this is no table", remedy))
        return entries
    lines = text.split("\n")
    if TABLE in document and not _is_plain_header(lines[places[TABLE,] - 1]):
        problem_ = "programs that send records can't read the table in this form"
        remedy = f"write [{TABLE}] on a line of its own"
        entries.mistakes.append(ConfigError(file, places[TABLE,], TABLE, problem_, remedy))
    for name, value in settings.items():
        line = places.get((TABLE, name)) or places.get((TABLE,), 0)
        mistake = _mistake(name, value, file, line, lines[line - 1])
        if mistake is None:
            entries.values[name] = value
            entries.lines[name] = line
        else:
            entries.mistakes.append(mistake)
    entries.mistakes.sort(key=lambda each: each.line)
    return entries


def _mistake(name: str, value: object, file: str, line: int, written: str) -> ConfigError | None:
    """What is wrong with a setting; written is the line it stands on."""
    key = BY_NAME.get(name)
    if key is None:
        return ConfigError(file, line, shown_name(name), "this is not a setting", _suggestion(name))
    wrong = problem(key, value)
    if wrong:
        return ConfigError(file, line, name, wrong, f"write {allowed(key)}")
    if name in READ_BY_LIBRARY and not _is_plain_string(name, written):
        problem_ = "programs that send records can't read it in this form"
        return ConfigError(file, line, name, problem_, f'write {name} = "..." on one line')
    return None


def _is_plain_header(line: str) -> bool:
    inside, bracket, _ = line.strip().removeprefix("[").partition("]")
    return bool(bracket) and inside.strip() == TABLE


def _is_plain_string(name: str, line: str) -> bool:
    key, _, value = line.partition("=")
    value = value.strip()
    return key.strip() in (name, f'"{name}"', f"'{name}'") and not value.startswith(('"""', "'''"))


def _misplaced(name: str, file: str, line: int) -> ConfigError:
    if name in BY_NAME:
        return ConfigError(file, line, name, "it stands outside of a table", f"put the line [{TABLE}] above it")
    return ConfigError(
        file, line, shown_name(name), "this is not a setting", f"remove it, and put settings under [{TABLE}]"
    )


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, BY_NAME, 1)
    return f"did you mean {near[0]}?" if near else "remove it; `telemctl config show` lists all settings"


def _syntax_error(text: str, file: str, message: str) -> ConfigError:
    lines = text.split("\n")
    line = len(lines)
    what, found, place = message.rpartition(" (at line ")
    if found:
        line = int(place.partition(",")[0])
    else:
        what = message.removesuffix(" (at end of document)")
    name, equals, value = lines[min(line, len(lines)) - 1].partition("=")
    key = BY_NAME.get(name.strip())
    if key is None or not equals:
        problem_, remedy = f"this is not TOML: {what[:1].lower()}{what[1:]}", f"write `key = value` under [{TABLE}]"
        return ConfigError(file, line, "", problem_, remedy)
    if "overwrite" in what or "twice" in what:
        return ConfigError(file, line, key.name, "it stands here for the second time", "keep one of the two lines")
    if key.type is str and value.strip()[:1] not in ('"', "'"):
        return ConfigError(file, line, key.name, "a string without quotes", f'write {key.name} = "..."')
    return ConfigError(file, line, key.name, "its value can't be read", f"write {allowed(key)}")


# ---- telemetrics-client's form --------------------------------------------------------------------------------------


def looks_original(text: str) -> bool:
    """Nothing but `key=value` with no value quoted or bracketed, sections, comments and empty lines."""
    found = False
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;" or (stripped[0] == "[" and stripped[-1] == "]"):
            continue
        name, equals, value = stripped.partition("=")
        name = name.strip()
        if not equals or not name or not set(name) <= _BARE_KEY or value.strip()[:1] in ('"', "'", "[", "{"):
            return False
        found = True
    return found


def _parse_original(text: str, file: str) -> Entries:
    entries = Entries()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;[":
            continue
        name, _, value = stripped.partition("=")
        name = name.strip()
        key = BY_NAME.get(name)
        if key is None:
            warning = f"{shown_name(name)}: this is not a setting, ignoring; {_suggestion(name)}"
        else:
            if name in entries.values:
                entries.warnings.append(f"{file}:{number}: {name}: it stands here again, this one holds")
            entries.values[name], warning = _lenient(key, value.strip().replace("\\s", " "))
            entries.lines[name] = number
        if warning:
            entries.warnings.append(f"{file}:{number}: {warning}")
    return entries


def _lenient(key: Key, text: str) -> tuple[Value, str]:
    """A value that can be used, and what had to be changed for that ("" if nothing)."""
    if key.type is bool:
        word = text.lower()
        if word in ("true", "1", "yes", "on"):
            return True, ""
        if word in ("false", "0", "no", "off"):
            return False, ""
        return _default(key, "neither true nor false")
    if key.type is int:
        number = _integer(text)
        if number is None:
            return _default(key, "not a number")
        if not problem(key, number):
            return number, ""
        clamped = min(max(number, key.low), key.high)
        return clamped, f"{key.name}: {problem(key, number)}, taking {clamped}"
    if key.form == URL and text and "://" not in text and is_url(f"http://{text}"):
        return f"http://{text}", f"{key.name}: it doesn't say how to speak to it, taking http://"
    wrong = problem(key, text)
    return _default(key, wrong) if wrong else (text, "")


def _default(key: Key, wrong: str) -> tuple[Value, str]:
    taken = "the default" if key.form == HEADER else shown(key.default)
    return key.default, f"{key.name}: {wrong}, taking {taken}; write {allowed(key)}"


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        return None
    number = int(digits.lstrip("0")[:21] or "0")  # cut beyond any limit: cheap whatever its length
    return -number if text[0] == "-" else number


def shown_name(name: str) -> str:
    """A key that isn't ours, so that it can be printed."""
    return "".join(c if c.isprintable() else "?" for c in name[:_SHOWN_MAX])
