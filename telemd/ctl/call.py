# SPDX-License-Identifier: Apache-2.0
"""What a verb is called with: its arguments and the configuration. And what a verb has to look like.

Never decides anything: verbs do.
"""

from __future__ import annotations

import errno
import json
import os
import sys

from telemd import config
from telemd.ctl.exitcodes import FAILED, GOOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Protocol

    class Verb(Protocol):
        """A module of this package. NEEDS_ROOT: unless the configuration names a state_root."""

        VERB: str
        SUMMARY: str
        NEEDS_ROOT: bool

        def options(self, parser: ArgumentParser) -> None:
            """Add the verb's own options."""
            ...

        def run(self, call: Call) -> int:
            """The exit code. ConfigError is main's to report."""
            ...


WAIT_S_MAX = 3600
"""That somebody may ask a verb to wait."""


class Call:
    """One run of telemctl. config_file: as given by -f, absolute."""

    __slots__ = ("_by_hand", "_loaded", "_mistake", "arguments", "config_file", "in_any_case")

    def __init__(self, config_file: str | None, arguments: Namespace, *, in_any_case: bool = False) -> None:
        """in_any_case: the verb must work with a configuration that has a mistake, as stopping and opting out must."""
        self.in_any_case = in_any_case
        self._by_hand: config.Settings | None = None
        self.config_file = None if config_file is None else os.path.abspath(config_file)
        self.arguments = arguments
        self._loaded: config.Loaded | None = None
        self._mistake: config.ConfigError | None = None

    @property
    def loaded(self) -> config.Loaded:
        """Read when it is first needed; ConfigError."""
        if self._mistake is not None:
            raise self._mistake
        if self._loaded is None:
            try:
                self._loaded = config.load(self.config_file)
            except config.ConfigError as error:
                self._mistake = error
                raise
        return self._loaded

    @property
    def mistake(self) -> str:
        """What is wrong with the configuration, and what to do; "" for nothing."""
        try:
            _ = self.loaded
        except config.ConfigError as error:
            return str(error)
        return ""

    @property
    def settings(self) -> config.Settings:
        """What holds; ConfigError. In any case: where the paths lie, as the probes read them, with all else as built
        in."""
        if self._by_hand is not None:
            return self._by_hand
        try:
            return self.loaded.settings
        except config.ConfigError as error:
            if not self.in_any_case:
                raise
            self._by_hand = _paths_alone(self.config_file, error)
            return self._by_hand

    def command(self, verb: str) -> str:
        """How to call another verb the way this one was called, for advice."""
        return f"telemctl -f {self.config_file} {verb}" if self.config_file else f"telemctl {verb}"

    def advice(self, verb: str, error: OSError, otherwise: str) -> str:
        """What to do where a file can't be used: to be root, where that is what is missing."""
        if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0:
            return f"run it as root: sudo {self.command(verb)}"
        return otherwise


def _paths_alone(config_file: str | None, error: config.ConfigError) -> config.Settings:
    """state_root, by the record library's own reader, which looks at nothing else; ConfigError where it is no help."""
    import libtelemetry

    try:
        if config_file is not None:
            libtelemetry.set_config_file(config_file)
        return config.Settings(state_root=libtelemetry.setting("state_root"))
    except OSError:
        raise error from None


class Result:
    """How something went, in words for the operator."""

    __slots__ = ("good", "text")

    def __init__(self, good: bool, text: str) -> None:
        self.good = good
        self.text = text

    def told(self) -> int:
        """Say it; the exit code."""
        if self.good:
            print(self.text)
            return GOOD
        return failed(self.text)


class Report:
    """What a verb that does something has to tell: line after line as it happens, or with --json one object at the
    end: `ok`, `messages`, and what else is handed to end()."""

    __slots__ = ("_as_json", "_code", "_messages")

    def __init__(self, call: Call) -> None:
        self._as_json = bool(call.arguments.json)
        self._messages: list[str] = []
        self._code = GOOD

    def say(self, text: str) -> None:
        """It went so."""
        self._messages.append(text)
        if not self._as_json:
            print(text)

    def fail(self, text: str) -> None:
        """It didn't: why, and what to do."""
        self._messages.append(text)
        self._code = FAILED
        if not self._as_json:
            failed(text)

    def take(self, result: Result) -> bool:
        """The one or the other, each line a message where it was good; whether it was."""
        if result.good:
            for line in result.text.splitlines():
                self.say(line)
        else:
            self.fail(result.text)
        return result.good

    def end(self, **more: object) -> int:
        """The exit code."""
        if self._as_json:
            print(json.dumps({"ok": self._code == GOOD, "messages": self._messages, **more}, indent=2))
        return self._code


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An option's value: a whole number from low to high."""

    def read(said: str) -> int:
        from argparse import ArgumentTypeError

        digits = said.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18 and low <= int(digits) <= high):
            raise ArgumentTypeError(f"expected a whole number from {low:,} to {high:,}")
        return int(digits)

    return read


def json_option(parser: ArgumentParser, what: str = "one JSON object: ok, messages") -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help=what)


def wait_option(parser: ArgumentParser, what: str, wait_s: int) -> None:
    """--wait, in whole seconds."""
    parser.add_argument(
        "--wait",
        type=whole_number(1, WAIT_S_MAX),
        default=wait_s,
        metavar="S",
        help=f"{what}; {wait_s} if not given",
    )


def failed(text: str) -> int:
    """Say what went wrong; the exit code."""
    sys.stdout.flush()
    print(f"telemctl: {text}", file=sys.stderr)
    return FAILED
