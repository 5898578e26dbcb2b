# SPDX-License-Identifier: Apache-2.0
"""Which verbs there are, found by the files of this package, and how --help lists them on one screen."""

from __future__ import annotations

import importlib
import pkgutil
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemd.ctl.call import Verb

GROUPS: Final = {
    "crash": "crashes: who is told, what is seen",
    "config": "the configuration: is it valid, and what holds",
    "id": "the machine id: another one, or which it is",
    "spool": "what waits for being sent: look at it, drop it",
}
"""First words of verbs of two words."""

COLUMN_MAX: Final = 24
"""A longer name reaches into what stands behind it."""


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
    """All verbs, those of a group on one line."""
    listed: dict[str, str] = {}
    for verb in verbs():
        word, _, second = verb.VERB.partition(" ")
        if not second:
            listed[word] = verb.SUMMARY
            continue
        before = next((name for name in listed if name.startswith(f"{word} ")), "")
        listed.pop(before, None)
        listed[f"{before}|{second}" if before else verb.VERB] = GROUPS[word]
    width = max(len(name) for name in listed if len(name) <= COLUMN_MAX)
    lines = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in sorted(listed.items()))
    return f"""\
Usage: telemctl [-f FILE] COMMAND [OPTION...]
Controls the telemetry of this machine. `telemctl help COMMAND` tells more.

{lines}

  -f, --config-file FILE     use this configuration alone
  -V, --version; -h, --help  print the version; print this"""


def group_usage(word: str) -> str:
    """The verbs that begin with that word; "" where none does."""
    found = [verb for verb in verbs() if verb.VERB.startswith(f"{word} ")]
    if not found:
        return ""
    width = max(len(verb.VERB) for verb in found)
    lines = "\n".join(f"  {verb.VERB:<{width}}  {verb.SUMMARY}" for verb in found)
    return f"Usage: telemctl [-f FILE] {word} COMMAND [OPTION...]\n{GROUPS[word].capitalize()}.\n\n{lines}"
