# SPDX-License-Identifier: Apache-2.0
"""A probe's command line, read as getopt_long reads it, and its --help.

A probe ends with 1 for a wrong option, as for every other failure: telemetrics-client's probes know no other code.

Pure: arguments in, values and text out. Written out because argparse and getopt take as long to import as the rest of a
probe takes to run. What an option means is the probe's affair and must never come in here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Option:
    """One option:

    its letter, its long name, the name of its value in --help ("" where it takes none), and what it does.
    """

    __slots__ = ("letter", "name", "text", "value")

    letter: str
    name: str
    value: str
    text: str

    def __init__(self, letter: str, name: str, value: str, text: str) -> None:
        self.letter = letter
        self.name = name
        self.value = value
        self.text = text


COLUMNS = 80
"""Of a terminal; a longer text goes on in the next line."""

CONFIG_FILE = Option("f", "config-file", "FILE", "use this configuration file, not the system's")
HELP = Option("h", "help", "", "show this help")
VERSION = Option("V", "version", "", "print the version")


def parse(arguments: Sequence[str], options: Sequence[Option]) -> dict[str, str] | str:
    """The options given, by letter ("" for one without a value; the last of several counts), or a sentence on what is
    wrong.

    Letters may be joined (`-lu`, `-fFILE`), long names shortened as long as one alone fits, given with `=` or a blank,
    and written with `_` for `-`.
    """
    given: dict[str, str] = {}
    rest = list(reversed(arguments))
    while rest:
        argument = rest.pop()
        if argument == "--" and not rest:
            break
        if argument.startswith("--") and argument != "--":
            problem = _long(argument[2:], rest, options, given)
        elif argument.startswith("-") and argument not in ("-", "--"):
            problem = _letters(argument[1:], rest, options, given)
        else:
            problem = f"unexpected argument {argument!r}"
        if problem:
            return f"{problem}; see --help"
    return given


def _long(text: str, rest: list[str], options: Sequence[Option], given: dict[str, str]) -> str:
    name, equals, value = text.partition("=")
    name = name.replace("_", "-")
    fitting = [option for option in options if option.name == name]
    fitting = fitting or [option for option in options if option.name.startswith(name)]
    if not fitting:
        return f"unknown option --{name}"
    if len(fitting) > 1:
        return f"--{name} may be " + " or ".join(f"--{option.name}" for option in fitting)
    option = fitting[0]
    if not option.value:
        if equals:
            return f"--{option.name} takes no value"
    elif not equals:
        if not rest:
            return f"--{option.name} needs a value, {option.value}"
        value = rest.pop()
    given[option.letter] = value
    return ""


def _letters(text: str, rest: list[str], options: Sequence[Option], given: dict[str, str]) -> str:
    for at, letter in enumerate(text):
        fitting = [option for option in options if option.letter == letter]
        if not fitting:
            return f"unknown option -{letter}"
        if not fitting[0].value:
            given[letter] = ""
            continue
        value = text[at + 1 :]
        if not value:
            if not rest:
                return f"-{letter} needs a value, {fitting[0].value}"
            value = rest.pop()
        given[letter] = value
        break
    return ""


def usage(program: str, purpose: str, options: Sequence[Option]) -> str:
    """The text of --help: one line for the program, one or more for each option."""
    names = [f"-{option.letter}, --{option.name} {option.value}".rstrip() for option in options]
    width = max(map(len, names))
    lines = [f"Usage: {program} [OPTION]...", purpose, ""]
    for name, option in zip(names, options, strict=True):
        for text in wrapped(option.text, COLUMNS - width - 4):
            lines.append(f"  {name:{width}}  {text}")
            name = ""
    return "\n".join(lines) + "\n"


def wrapped(text: str, width: int) -> list[str]:
    """On lines of at most so many characters; a longer word has one of its own. One line at least."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines
