# SPDX-License-Identifier: Apache-2.0
"""telemctl(1) says what telemctl does: its verbs, their options, the exit codes."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemd.ctl import exitcodes, usage

if TYPE_CHECKING:
    from telemd.ctl.call import Verb

TELEMCTL = (Path(__file__).parents[2] / "docs/man/telemctl.1").read_text()


def described() -> dict[str, str]:
    """Each command of the page, with the line that names its options."""
    section = TELEMCTL.partition(".Sh COMMANDS")[2].partition(".Sh ENVIRONMENT")[0]
    second = "check|show|rotate|list|purge|enable|disable|status|test"
    found = re.findall(rf"^\.It Cm ([a-z-]+(?: (?:{second}))?)(.*)$", section, re.MULTILINE)
    return dict(found)


def test_every_verb_is_described() -> None:
    assert sorted(described()) == [verb.VERB for verb in usage.verbs()]


@pytest.mark.parametrize("verb", usage.verbs(), ids=lambda verb: str(verb.VERB))
def test_every_option_of_a_verb_is_described(verb: Verb) -> None:
    parser = ArgumentParser(add_help=False)
    verb.options(parser)
    told = described()[verb.VERB]
    words = set(told.split())
    letters = set("".join(re.findall(r"(?<!Fl )Fl ([A-Za-z]+)\b", told.replace("Fl Fl ", "--"))))
    for action in parser._actions:
        names = {name.lstrip("-") for name in action.option_strings} - {"json"}
        if action.option_strings and names:
            assert {f"--{name}" for name in names} & set(told.replace("Fl Fl ", "--").split()) or names & letters, names
        elif not action.option_strings:
            assert "Ar" in words


def test_exit_codes_are_those_of_the_code() -> None:
    section = TELEMCTL.partition(".Sh EXIT STATUS")[2].partition(".Sh EXAMPLES")[0]
    told = {int(code): text for code, text in re.findall(r"^\.It (\d+)\n(.+)$", section, re.MULTILINE)}
    assert told == exitcodes.MEANINGS
