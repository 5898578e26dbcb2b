# SPDX-License-Identifier: Apache-2.0
"""What metricprobe says of its tables in the configuration: `metricprobe --check`, run with an end to its time.

Believes nothing of what it is told beyond its form. What may stand in the tables never comes in here.
"""

from __future__ import annotations

import json
import os

from telemd.answers import shown_server
from telemd.configkeys import shown
from telemd.ctl import service
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemd.configkeys import Value

TABLE: Final = "metrics"
CHECK_S: Final = 60.0
SAID_MAX: Final = 256
"""Mistakes, warnings and settings that are passed on, of each."""
SENTENCE_MAX: Final = 1000
"""Characters of one."""
_OF_THE_SERVICE: Final = "TELEMETRICS_"
"""What begins so in the environment is the service's to set: who checks a file has another one."""


class OfMetrics:
    """Whole sentences; and what is set, without what is built in."""

    __slots__ = ("mistakes", "settings", "warnings")

    def __init__(self, mistakes: list[str], warnings: list[str], settings: Sequence[Setting] = ()) -> None:
        self.mistakes = mistakes
        self.warnings = warnings
        self.settings = settings


class Setting:
    """One in force. table: as in metrics.cpu. The value is without passwords. origin: the file that has it."""

    __slots__ = ("name", "origin", "table", "value")

    def __init__(self, table: str, name: str, value: Value | float | list[str], origin: str) -> None:
        self.table = table
        self.name = name
        self.value = value
        self.origin = origin

    def text(self) -> str:
        """As TOML."""
        if isinstance(self.value, list):
            return f"{self.name} = [{', '.join(map(shown, self.value))}]"
        return f"{self.name} = {self.value if isinstance(self.value, float) else shown(self.value)}"


def ask(config_file: str | None) -> OfMetrics:
    """Of the same files that telemctl itself was told to read."""
    metricprobe = service.program("metricprobe")
    if metricprobe is None:
        return OfMetrics([], [_unchecked("there is no metricprobe beside telemctl", "install telemetrics as a whole")])
    command = [metricprobe, "--check", "--json"]
    if config_file is not None:
        command += ["--config-file", config_file]
    said = _run(command)
    if isinstance(said, str):
        by_hand = " ".join(each for each in command if each != "--json")
        return OfMetrics([_unchecked(f"metricprobe {said}", f"run `{by_hand}`")], [])
    return said


def _run(command: list[str]) -> OfMetrics | str:
    """What it says, or what it does instead."""
    from subprocess import DEVNULL, PIPE, TimeoutExpired, run

    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_SERVICE)}
    try:
        done = run(
            command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environment, timeout=CHECK_S, check=False
        )  # fmt: skip
    except TimeoutExpired:
        return f"took longer than {CHECK_S:g} s"
    except OSError as error:
        return f"can't be run ({error.strerror})"
    try:
        found = json.loads(done.stdout)
    except (ValueError, RecursionError):
        return f"ended with exit code {done.returncode}, and without an answer"
    if not isinstance(found, dict):
        return "gave an answer that isn't understood"
    return OfMetrics(
        _sentences(found.get("mistakes")), _sentences(found.get("warnings")), _settings(found.get("settings"))
    )


def _sentences(found: object) -> list[str]:
    return [plain(str(each), SENTENCE_MAX) for each in found[:SAID_MAX]] if isinstance(found, list) else []


def _settings(found: object) -> list[Setting]:
    """Those that have the form of one."""
    taken = []
    for each in found[:SAID_MAX] if isinstance(found, list) else ():
        said = each if isinstance(each, dict) else {}
        table, name, origin = (str(said.get(key, "")) for key in ("table", "name", "origin"))
        if name.isidentifier() and (not table or table.isidentifier()):
            value = said.get("value")
            if isinstance(value, list):
                value = [_open(str(part)) for part in value[:SAID_MAX]]
            elif not isinstance(value, int | float):
                value = _open(str(value))
            taken.append(Setting(f"{TABLE}.{table}" if table else TABLE, name, value, plain(origin)))
    return taken


def _open(text: str) -> str:
    """What may be seen of a value that can be an address."""
    return shown_server(text) if "://" in text else text[:SENTENCE_MAX]


def _unchecked(why: str, remedy: str) -> str:
    return f"what is said of metrics wasn't checked: {why}; {remedy}"
