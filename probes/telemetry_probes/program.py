# SPDX-License-Identifier: Apache-2.0
"""What every probe's main() does: read the command line, answer --help and --version, and say what failed.

It is part of each probe's start, which is measured: import nothing here that isn't needed for each run.
"""

from __future__ import annotations

import posix
import sys

from libtelemetry import RecordError, TelemetryError, is_opted_in, set_config_file, telemctl
from telemetry_probes import VERSION
from telemetry_probes.options import parse, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry_probes.options import Option

STDOUT = 1


class Mistake(Exception):
    """What the caller has to change, as a sentence."""


class Program:
    """A probe: its name, what --help says of it, and the options it takes."""

    __slots__ = ("name", "options", "purpose")

    def __init__(self, name: str, purpose: str, options: Sequence[Option]) -> None:
        self.name = name
        self.purpose = purpose
        self.options = options

    def run(self, argv: Sequence[str] | None, work: Callable[[dict[str, str]], int]) -> int:
        """The exit code: work's, with the options by letter, or 1 where it raises Mistake, TelemetryError, RecordError
        or OSError, which is said. argv is the program's name and its arguments, sys.argv where it is None."""
        given = parse((argv or sys.argv)[1:], self.options)
        if isinstance(given, str):
            return self.failed(given)
        if "h" in given:
            print(usage(self.name, self.purpose, self.options), end="")
            return 0
        if "V" in given:
            print(VERSION)
            return 0
        try:
            if "f" in given:
                set_config_file(_absolute(given["f"]))
            return work(given)
        except TelemetryError as error:
            return self.failed(error.strerror)
        except (RecordError, Mistake) as error:
            return self.failed(str(error))
        except OSError as error:
            todo = ": run it as root" if isinstance(error, PermissionError) and posix.geteuid() else ""
            return self.failed(f"{error.filename or 'a file'}: {error.strerror or error}{todo}")

    def say(self, what: str) -> None:
        """To the operator; under systemd that is the journal."""
        print(f"{self.name}: {what}", file=sys.stderr, flush=True)

    def failed(self, why: str) -> int:
        """Says it; 1."""
        self.say(why)
        return 1


def _absolute(path: str) -> str:
    return path if path.startswith("/") or not path else f"{posix.getcwd()}/{path}"


def need_consent() -> None:
    """Mistake where the owner hasn't opted in."""
    if not is_opted_in():
        raise Mistake(f"this machine is not opted in: run `{telemctl('opt-in')}` to allow telemetry")


def output(text: bytes) -> None:
    """On standard output. That nobody reads it must not keep a record from being sent."""
    try:
        while text:
            text = text[posix.write(STDOUT, text) :]
    except OSError:
        return
