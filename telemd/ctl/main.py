# SPDX-License-Identifier: Apache-2.0
"""telemctl's command line: finds the verb, reads its options, runs it. What a verb does is its own file's."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

from telemd import __version__
from telemd.config import ConfigError
from telemd.ctl.call import Call, failed
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemd.ctl.call import Verb

USAGE_EXIT = 2
NOT_ROOT_EXIT = 1


def verb_named(words: Sequence[str]) -> Verb | None:
    """The verb of these words; only its own module is imported."""
    name = "_".join(words).replace("-", "_")
    if name not in {module.name for module in pkgutil.iter_modules(sys.modules["telemd.ctl"].__path__)}:
        return None
    verb: Verb = importlib.import_module(f"telemd.ctl.{name}")
    return verb if getattr(verb, "VERB", None) == " ".join(words) else None


def verbs() -> list[Verb]:
    """All of them, by name."""
    found = []
    for module in pkgutil.iter_modules(sys.modules["telemd.ctl"].__path__):
        loaded = importlib.import_module(f"telemd.ctl.{module.name}")
        if hasattr(loaded, "VERB"):
            found.append(loaded)
    return sorted(found, key=lambda verb: str(verb.VERB))


def usage() -> str:
    """All verbs, a line each."""
    listed = "\n".join(f"  {verb.VERB:<13} {verb.SUMMARY}" for verb in verbs())
    return f"""\
Usage: telemctl [-f FILE] COMMAND [OPTION...]
Controls the telemetry of this machine.

{listed}
  help          print this, or with a command its options

  -f, --config-file FILE  use this configuration alone, instead of /etc/telemetrics/telemetrics.conf
  -V, --version           print the version
  -h, --help              print this"""


def main(argv: Sequence[str] | None = None) -> int:
    """argv[0] is the program's name. 0 good, 1 failed, 2 wrong arguments, 3 is-active and status: not running."""
    arguments = list(sys.argv if argv is None else argv)[1:]
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        return failed(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `telemctl journal | head`
        return 1
    except KeyboardInterrupt:
        return 130


def _dispatch(arguments: list[str]) -> int:
    config_file: str | None = None
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        name, _, attached = option.partition("=")
        if option in ("-h", "--help"):
            print(usage())
            return 0
        if option in ("-V", "--version"):
            print(f"telemctl {__version__}")
            return 0
        if option in ("-f", "--config-file") and arguments:
            config_file = arguments.pop(0)
        elif name == "--config-file" and attached:
            config_file = attached
        else:
            return _misused(f"{option}: unknown option, or its value is missing")
    if not arguments:
        return _misused("name a command")
    if arguments[0] == "help":
        return _help(arguments[1:])
    verb = verb_named(arguments[:2])
    rest = arguments[2:]
    if verb is None:
        verb, rest = verb_named(arguments[:1]), arguments[1:]
    if verb is None:
        return _unknown(arguments[:2])
    return _run(verb, config_file, rest)


def _run(verb: Verb, config_file: str | None, rest: list[str]) -> int:
    from argparse import SUPPRESS, ArgumentParser

    parser = ArgumentParser(prog=f"telemctl {verb.VERB}", description=verb.SUMMARY, allow_abbrev=False)
    parser.add_argument("-f", "--config-file", metavar="FILE", default=SUPPRESS, help="use this configuration alone")
    verb.options(parser)
    arguments = parser.parse_args(rest)
    in_any_case = verb.VERB in ("stop", "is-active", "opt-out")
    call = Call(getattr(arguments, "config_file", config_file), arguments, in_any_case=in_any_case)
    if verb.NEEDS_ROOT and os.geteuid() != 0 and not call.settings.state_root:
        failed(
            f"must be root: sudo {call.command(verb.VERB)} (or name a configuration with a state_root of yours by -f)"
        )
        return NOT_ROOT_EXIT
    return verb.run(call)


def _help(words: list[str]) -> int:
    if not words:
        print(usage())
        return 0
    verb = verb_named(words)
    if verb is None:
        return _unknown(words[:2])
    return _run(verb, None, ["--help"])


def _unknown(words: list[str]) -> int:
    meant = [verb.VERB for verb in verbs() if verb.VERB.startswith(f"{words[0]} ")]
    if meant:
        return _misused(f"say which: {' or '.join(meant)}")
    return _misused(f"unknown command: {plain(' '.join(words), 80)}")


def _misused(problem: str) -> int:
    print(f"telemctl: {problem}\n\n{usage()}", file=sys.stderr)
    return USAGE_EXIT


if __name__ == "__main__":
    sys.exit(main())
