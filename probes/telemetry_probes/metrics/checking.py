# SPDX-License-Identifier: Apache-2.0
"""What is wrong with what the owner says of metrics: `metricprobe --check`, which `telemctl config check` runs.

Every mistake, where a start tells the first one. Nothing is sampled, run or listened at for it.
"""

from __future__ import annotations

from telemetry_probes.metrics import discovery, listen, settings
from telemetry_probes.metrics.collectors import own
from telemetry_probes.program import Mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Choice, Option
    from telemetry_probes.metrics.places import Places
    from telemetry_probes.metrics.settings import Wanted


class Findings:
    """Sentences, as WHERE: PROBLEM; REMEDY. said: settings of metrics that are in force, by file; of each, in force:
    table, name, value, origin. A warning is of what may be meant so."""

    __slots__ = ("in_force", "mistakes", "said", "warnings")

    def __init__(self, mistakes: Sequence[str] = ()) -> None:
        self.mistakes = list(mistakes)
        self.warnings: list[str] = []
        self.said: dict[str, int] = {}
        self.in_force: list[tuple[str, str, Option, str]] = []

    def document(self) -> str:
        """As JSON."""
        from json import dumps

        found = {"ok": not self.mistakes, "files": list(self.said), "mistakes": self.mistakes}
        in_force = [dict(zip(("table", "name", "value", "origin"), each, strict=True)) for each in self.in_force]
        return dumps({**found, "warnings": self.warnings, "settings": in_force}, indent=2) + "\n"

    def text(self) -> str:
        """A line for each file, as long as there is no mistake."""
        if not self.said:
            return "nothing is said of metrics: what is built in holds\n"
        return "".join(f"{name}: good, {_some(count)} of metrics in force\n" for name, count in self.said.items())


def checked(wanted: Wanted, places: Places) -> Findings:
    """All that is wrong with it, and with the programs that the owner has metricprobe run."""
    found = Findings()
    names = discovery.names()
    for table in wanted.tables.values():
        for said in table.values():
            found.said[said.file.name] = found.said.get(said.file.name, 0) + 1
    found.mistakes += wanted.unknown_settings("", settings.GENERAL)
    general = _values(wanted, "", settings.GENERAL, found)
    if "collectors" in general:
        found.mistakes += wanted.unknown_names(names)
    address = str(general.get("listen", ""))
    if address and (problem := listen.mistaken(address)):
        found.mistakes.append(wanted.mistaken("", "listen", problem, f"write {listen.ADDRESSES}"))
    found.mistakes += wanted.unknown_tables(names)
    for name in names:
        if wanted.speaks_of(name):
            _collector(wanted, name, found)
    _programs(wanted, places, found)
    found.mistakes.sort(key=_place)
    return found


def _collector(wanted: Wanted, name: str, found: Findings) -> None:
    kind = discovery.kind(name)
    known = settings.choices(kind)
    found.mistakes += wanted.unknown_settings(name, known)
    values = _values(wanted, name, known, found)
    if kind.wrong is not None and len(values) == len(known):
        found.mistakes += [wanted.mistaken(name, *each) for each in kind.wrong(values)]


def _programs(wanted: Wanted, places: Places, found: Findings) -> None:
    try:
        chosen = wanted.chosen(discovery.kind("own"))
        are_run = chosen.enabled and bool(wanted.names(("own",)))
    except Mistake:
        return  # it was told
    if are_run:
        mistakes, warnings = own.not_run(places, str(chosen.options["folder"]))
        found.mistakes += mistakes
        found.warnings += warnings


def _values(wanted: Wanted, table: str, known: tuple[Choice, ...], found: Findings) -> Mapping[str, Option]:
    """Those that can be taken."""
    values: dict[str, Option] = {}
    for choice in known:
        try:
            values[choice.name] = wanted.value(table, choice)
        except Mistake as mistake:
            found.mistakes.append(str(mistake))
            continue
        if origin := wanted.origin(table, choice.name):
            found.in_force.append((table, choice.name, values[choice.name], origin))
    return values


def _place(sentence: str) -> tuple[str, int]:
    """File and line that it begins with."""
    where = sentence.partition(": ")[0]
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdecimal() else (where, 0)


def _some(count: int) -> str:
    return f"{count} setting{'' if count == 1 else 's'}"
