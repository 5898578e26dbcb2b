# SPDX-License-Identifier: Apache-2.0
"""What metricprobe says of its tables in the configuration: `metricprobe --check`, run with an end to its time.

Believes nothing of what it is told beyond its form. What may stand in the tables never comes in here.
"""

from __future__ import annotations

import json
import os

from telemd.ctl import service
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CHECK_S: Final = 60.0
SAID_MAX: Final = 256
"""Mistakes, and warnings, that are passed on."""
SENTENCE_MAX: Final = 1000
"""Characters of one."""
_OF_THE_SERVICE: Final = "TELEMETRICS_"
"""What begins so in the environment is the service's to set: who checks a file has another one."""


class OfMetrics:
    """Whole sentences."""

    __slots__ = ("mistakes", "warnings")

    def __init__(self, mistakes: list[str], warnings: list[str]) -> None:
        self.mistakes = mistakes
        self.warnings = warnings


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
    return OfMetrics(_sentences(found.get("mistakes")), _sentences(found.get("warnings")))


def _sentences(found: object) -> list[str]:
    return [plain(str(each), SENTENCE_MAX) for each in found[:SAID_MAX]] if isinstance(found, list) else []


def _unchecked(why: str, remedy: str) -> str:
    return f"what is said of metrics wasn't checked: {why}; {remedy}"
