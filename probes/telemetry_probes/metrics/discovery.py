# SPDX-License-Identifier: Apache-2.0
"""The collectors there are: the files in collectors/. There is no list of them anywhere.

Imports those that are asked for; what they tell is never looked at here.
"""

from __future__ import annotations

import posix
import sys

from telemetry_probes.metrics import collectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Choice, Collector, Metric, Option

INTERVAL_S_MIN: Final = 1.0
INTERVAL_S_MAX: Final = 86_400.0


class Kind:
    """One file of collectors/: its name, and the constants in it."""

    __slots__ = ("collector", "interval_s", "metrics", "name", "options", "quick", "title", "wrong")

    def __init__(
        self,
        name: str,
        title: str,
        interval_s: float,
        metrics: Sequence[Metric],
        options: Sequence[Choice],
        quick: bool,
        collector: type[Collector],
        wrong: Callable[[Mapping[str, Option]], Sequence[tuple[str, str, str]]] | None = None,
    ) -> None:
        self.name = name
        self.title = title
        self.interval_s = interval_s
        self.metrics = metrics
        self.options = options
        self.quick = quick
        self.collector = collector
        self.wrong = wrong


def names() -> list[str]:
    """Of all collectors, sorted."""
    found: set[str] = set()
    for folder in collectors.__path__:
        for file in posix.listdir(folder):
            name, dot, ending = file.partition(".")
            if dot and ending in ("py", "pyc") and name.isidentifier() and not name.startswith("_"):
                found.add(name)
    return sorted(found)


def kind(name: str) -> Kind:
    """That collector, imported. It is one of names()."""
    module = f"{collectors.__name__}.{name}"
    __import__(module)
    found = sys.modules[module]
    return Kind(
        name,
        found.TITLE,
        found.INTERVAL_S,
        found.METRICS,
        getattr(found, "OPTIONS", ()),
        getattr(found, "QUICK", False),
        found.Collector,
        getattr(found, "wrong", None),
    )
