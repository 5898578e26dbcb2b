# SPDX-License-Identifier: Apache-2.0
"""The part of docs/metrics.md that the collectors say themselves: what each measures, how often, what it can be told.

`python -m telemetry_probes.metrics.reference docs/metrics.md` writes it there, between two marks; a test keeps both the
same. No other module imports it.
"""

from __future__ import annotations

import sys

from telemetry_probes.metrics import discovery, settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Choice, Option

BEGIN: Final = "<!-- the collectors: make texts -->\n"
END: Final = "<!-- the end of the collectors -->\n"


def markdown() -> str:
    """The general settings, a table of all collectors, and a section for each."""
    kinds = [discovery.kind(name) for name in discovery.names()]
    lines = ["## Settings of all", "", "In `[metrics]`:", "", *_choices(settings.GENERAL), ""]
    lines += ["In the table of each collector, as in `[metrics.cpu]`, beside its own:", ""]
    lines += [*_choices((settings.ENABLED,)), "| `interval_s` | by collector | How often it is sampled, in seconds. |"]
    lines += ["", "## Collectors", "", "| collector | tells | every |", "|---|---|---|"]
    lines += [f"| [{kind.name}](#{kind.name}) | {_cell(kind.title)} | {_duration(kind.interval_s)} |" for kind in kinds]
    for kind in kinds:
        lines += ["", f"### {kind.name}", f"{_sentence(kind.title)} Every {_duration(kind.interval_s)}.", ""]
        if kind.options:
            lines += [*_choices(kind.options), ""]
        lines += ["| metric | unit | kind | |", "|---|---|---|---|"]
        lines += [
            f"| `{metric.name}` | {_cell(metric.unit)} | {metric.kind} | {_cell(_sentence(metric.text))} |"
            for metric in kind.metrics
        ]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """That page with its generated part made anew. ValueError where the marks aren't in it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}{markdown()}{end}{after}"


def _choices(choices: Sequence[Choice]) -> list[str]:
    rows = [f"| `{each.name}` | {_default(each.default)} | {_cell(_sentence(each.text))} |" for each in choices]
    return ["| setting | default | |", "|---|---|---|", *rows]


def _default(default: Option) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str | int | float):
        return f"`{default}`" if default != "" else "empty"
    return "`" + ", ".join(default) + "`" if default else "none"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*") if "`" not in text else text.replace("|", "\\|")


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {name}s" if seconds > size else name
    return f"{seconds:g} s"


def main(path: str) -> None:
    """Write the page anew."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(text))


if __name__ == "__main__":
    main(sys.argv[1])
