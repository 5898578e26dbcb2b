# SPDX-License-Identifier: Apache-2.0
"""telemd's command line: arguments, configuration, log, exit code. Nothing else."""

from __future__ import annotations

import logging
import os
import sys

from telemd import __version__, config, memory
from telemd.daemon import Daemon
from telemd.disk import SpoolDirectoryError
from telemd.listening import ListenError
from telemd.machineid import MachineIdError

HELP = """\
Usage: telemd [-f FILE]
Takes records from this machine's probes, keeps them on disk, delivers them.

  -f, --config-file FILE  use this configuration alone, instead of
                          /etc/telemetrics/telemetrics.conf
  -V, --version           print the version
  -h, --help              print this

SIGHUP reads the configuration again, if it is valid; SIGTERM stops within 2 s,
with nothing lost. `telemctl status` shows what it does, `telemctl config check`
what is wrong with a configuration."""

_LEVELS = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class _JournalFormatter(logging.Formatter):
    """The priority as sd-daemon(3) wants it, so that journald knows it; it has time and name itself."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_LEVELS.get(record.levelname, 6)}>{record.getMessage()}"


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s telemd %(levelname)s: %(message)s")
    handler.setFormatter(_JournalFormatter() if "JOURNAL_STREAM" in os.environ else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _parse(arguments: list[str]) -> str | None | int:
    """The configuration's path, None for the usual ones, or an exit code."""
    path: str | None = None
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        name, _, attached = option.partition("=")
        if option in ("-h", "--help"):
            print(HELP)
            return 0
        if option in ("-V", "--version"):
            print(f"telemd {__version__}")
            return 0
        if option in ("-f", "--config-file") and rest:
            path = rest.pop(0)
        elif name == "--config-file" and attached:
            path = attached
        else:
            print(f"telemd: {option}: unknown option, or its value is missing; see telemd --help", file=sys.stderr)
            return 2
    return path


def main(argv: list[str] | None = None) -> int:
    """0 after a stop that was asked for, 1 where it can't run, 2 for wrong arguments."""
    path = _parse((sys.argv if argv is None else argv)[1:])
    if isinstance(path, int):
        return path
    os.umask(0o022)  # the sockets' directories are for everybody; what is private is made so by name
    try:
        loaded = config.load(path)
        _log_to_stderr(loaded.settings.log_level)
        for warning in loaded.warnings:
            logging.getLogger("telemd").warning("%s", warning)
        memory.return_large_pieces()
        daemon = Daemon(loaded, path)
        daemon.open()
    except (config.ConfigError, ListenError, MachineIdError, SpoolDirectoryError) as error:
        print(f"telemd: {error}", file=sys.stderr)
        return 1
    try:
        daemon.run()
    finally:
        daemon.close()
    return 0
