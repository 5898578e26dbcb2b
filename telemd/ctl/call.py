# SPDX-License-Identifier: Apache-2.0
"""What a verb is called with: its arguments and the configuration. And what a verb has to look like.

Never decides anything: verbs do.
"""

from __future__ import annotations

import os
import sys

from telemd import config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
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


class Call:
    """One run of telemctl. config_file: as given by -f, absolute."""

    __slots__ = ("_by_hand", "_loaded", "arguments", "config_file", "in_any_case")

    def __init__(self, config_file: str | None, arguments: Namespace, *, in_any_case: bool = False) -> None:
        """in_any_case: the verb must work with a configuration that has a mistake, as stopping and opting out must."""
        self.in_any_case = in_any_case
        self._by_hand: config.Settings | None = None
        self.config_file = None if config_file is None else os.path.abspath(config_file)
        self.arguments = arguments
        self._loaded: config.Loaded | None = None

    @property
    def loaded(self) -> config.Loaded:
        """Read when it is first needed; ConfigError."""
        if self._loaded is None:
            self._loaded = config.load(self.config_file)
        return self._loaded

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


def _paths_alone(config_file: str | None, error: config.ConfigError) -> config.Settings:
    """state_root, by the record library's own reader, which looks at nothing else; ConfigError where it is no help."""
    import libtelemetry

    try:
        if config_file is not None:
            libtelemetry.set_config_file(config_file)
        settings = config.Settings(state_root=libtelemetry.setting("state_root"))
    except OSError:
        raise error from None
    print(f"telemctl: {error}\ntelemctl: going on with the paths below {settings.state_root or '/'}", file=sys.stderr)
    return settings


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
            return 0
        return failed(self.text)


def failed(text: str) -> int:
    """Say what went wrong; exit code 1."""
    sys.stdout.flush()
    print(f"telemctl: {text}", file=sys.stderr)
    return 1
