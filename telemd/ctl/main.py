# SPDX-License-Identifier: Apache-2.0
"""telemctl's command line: finds the verb, reads its options, runs it. What a verb does is its own file's."""

from __future__ import annotations

import os
import sys

from telemd import __version__
from telemd.config import ConfigError
from telemd.ctl.call import Call, failed
from telemd.ctl.exitcodes import FAILED, GOOD, INTERRUPTED, MISUSED
from telemd.ctl.usage import group_usage, usage, verb_named
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

    from telemd.ctl.call import Verb

WORD_SHOWN_MAX: Final = 80

IN_ANY_CASE: Final = ("stop", "is-active", "opt-out", "crash disable", "status")
"""A mistake in the configuration doesn't stop these."""


def main(argv: Sequence[str] | None = None) -> int:
    """argv[0] is the program's name. The exit code, see exitcodes."""
    arguments = list(sys.argv if argv is None else argv)[1:]
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        return failed(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `telemctl journal | head`
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(arguments: list[str]) -> int:
    config_file: str | None = None
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        name, _, attached = option.partition("=")
        if option in ("-h", "--help"):
            print(usage())
            return GOOD
        if option in ("-V", "--version"):
            print(f"telemctl {__version__}")
            return GOOD
        if option in ("-f", "--config-file") and arguments:
            config_file = arguments.pop(0)
        elif name == "--config-file" and attached:
            config_file = attached
        elif option == "--json":
            return _misused("--json stands behind the command: telemctl status --json")
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
        if {"-h", "--help"}.intersection(arguments[1:]):
            return _help(arguments[:1])
        return _unknown(arguments[:2])
    return _run(verb, config_file, rest)


def _run(verb: Verb, config_file: str | None, rest: list[str]) -> int:
    from argparse import SUPPRESS, ArgumentParser

    class Parser(ArgumentParser):
        """One sentence where argparse would print its usage above it."""

        def error(self, message: str) -> NoReturn:
            raise SystemExit(_misused(message, verb.VERB))

    parser = Parser(
        prog=f"telemctl {verb.VERB}", description=f"{verb.SUMMARY[0].upper()}{verb.SUMMARY[1:]}.", allow_abbrev=False
    )
    parser.add_argument("-f", "--config-file", metavar="FILE", default=SUPPRESS, help="use this configuration alone")
    verb.options(parser)
    arguments = parser.parse_args(rest)
    call = Call(getattr(arguments, "config_file", config_file), arguments, in_any_case=verb.VERB in IN_ANY_CASE)
    if call.in_any_case and verb.VERB != "status" and call.mistake:  # status has a place for it
        root = call.settings.state_root or "/"
        print(f"telemctl: {call.mistake}\ntelemctl: going on with the paths below {root}", file=sys.stderr)
    if verb.NEEDS_ROOT and os.geteuid() != 0 and not call.settings.state_root:
        return failed(
            f"must be root: sudo {call.command(verb.VERB)} (or name a configuration with a state_root of yours by -f)"
        )
    return verb.run(call)


def _help(words: list[str]) -> int:
    words = [word for word in words if word not in ("-h", "--help", "help")]
    if not words:
        print(usage())
        return GOOD
    verb = verb_named(words)
    if verb is not None:
        return _run(verb, None, ["--help"])
    listed = group_usage(words[0]) if len(words) == 1 else ""
    if not listed:
        return _unknown(words[:2])
    print(listed)
    return GOOD


def _unknown(words: list[str]) -> int:
    meant = group_usage(words[0]) if words else ""
    if meant:
        names = [line.split("  ")[1] for line in meant.splitlines() if line.startswith("  ")]
        return _misused(f"say which: {' or '.join(names)}", words[0])
    from difflib import get_close_matches

    from telemd.ctl.usage import verbs

    near = get_close_matches(words[0], [verb.VERB for verb in verbs()], 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return _misused(f"unknown command: {plain(' '.join(words), WORD_SHOWN_MAX)}{guess}")


def _misused(problem: str, verb: str = "") -> int:
    print(f"telemctl: {problem}\ntry: telemctl help{f' {verb}' if verb else ''}", file=sys.stderr)
    return MISUSED


if __name__ == "__main__":
    sys.exit(main())
