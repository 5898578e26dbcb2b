# SPDX-License-Identifier: Apache-2.0
"""metricprobe: what the machine is doing, sampled as long as it runs, at a cost that nobody notices.

Collectors say what there is, the loop when they are asked, sinks what becomes of it; here they are put together. What
a collector reads, and what a record looks like, never comes in here.
"""

from __future__ import annotations

import posix

from libtelemetry.client import CONFIG_FILES
from telemetry_probes.consent import static_machine_id
from telemetry_probes.metrics import discovery, settings
from telemetry_probes.metrics.gathering import Gathering, Source
from telemetry_probes.metrics.places import Places
from telemetry_probes.metrics.sending import Sending, need_name
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Mistake, Program, need_consent, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.metrics.gathering import Sink
    from telemetry_probes.metrics.listen import Listener
    from telemetry_probes.metrics.loop import Loop, Timed

OPTIONS = (
    CONFIG_FILE,
    Option("o", "once", "", "print what the machine is doing now, and send nothing"),
    Option("j", "json", "", "print the same, or what --check finds, as JSON"),
    Option("c", "collector", "NAME,...", "only these collectors, or with - before them all others"),
    Option("L", "listen", "ADDRESS", "give the last samples as Prometheus text at unix:/PATH or 127.0.0.1:PORT"),
    Option("l", "list", "", "print which collectors there are here; of the others, why not and what to do"),
    Option("C", "check", "", "print what is wrong with what the configuration says of metrics"),
    Option("b", "benchmark", "", "print how many microseconds a sample of each collector takes"),
    HELP,
    VERSION,
)
PROGRAM = Program("metricprobe", "Samples what the machine is doing and sends it.", OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """0; 1 where it can't begin."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    if "C" in given:
        return _check(given)
    follows = not {"l", "o", "j", "b"} & set(given)
    if follows:
        need_consent()
    wanted = _wanted(given)
    places = Places(environment=_environment())
    sources = _sources(given, wanted, places)
    if follows:
        return _follow(sources, places, _address(given, wanted))
    from telemetry_probes.metrics import showing

    if "l" in given:
        names = [source.kind.name for source in sources] if "c" in given else discovery.names()
        output(showing.listed(sources, places, names).encode())
    elif "b" in given:
        output(showing.benchmark(sources, places).encode())
    else:
        output(showing.once(sources, places, "j" in given).encode())
    return 0


def _check(given: dict[str, str]) -> int:
    """0 where it can begin with what is said; 1 with all that is wrong."""
    from telemetry_probes.metrics import checking

    try:
        found = checking.checked(_said(given), Places(environment=_environment()))
    except Mistake as mistake:  # no more is found in such a file
        found = checking.Findings([str(mistake)])
    if "j" in given:
        output(found.document().encode("utf-8", "backslashreplace"))
        return 1 if found.mistakes else 0
    for each in (*found.warnings, *found.mistakes):
        PROGRAM.say(each)
    if found.mistakes:
        return 1
    output(found.text().encode("utf-8", "backslashreplace"))
    return 0


def _environment() -> dict[str, str]:
    return {
        name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for name, value in posix.environ.items()
    }


def _wanted(given: dict[str, str]) -> settings.Wanted:
    """Mistake where there is none that can be used."""
    wanted = _said(given)
    wanted.check(discovery.names())
    return wanted


def _said(given: dict[str, str]) -> settings.Wanted:
    environment = {name: value for name, value in _environment().items() if name.startswith(settings.PREFIX)}
    files = (given["f"],) if "f" in given else CONFIG_FILES
    return settings.wanted(files, environment, required="f" in given)


def _sources(given: dict[str, str], wanted: settings.Wanted, places: Places) -> list[Source]:
    """The collectors that are wanted. One that is named on the command line need not be switched on."""
    names = discovery.names()
    names = _named(given["c"], names) if "c" in given else wanted.names(names)
    found = []
    for name in names:
        kind = discovery.kind(name)
        chosen = wanted.chosen(kind)
        if chosen.enabled or "c" in given:
            found.append(Source(kind, places, chosen.options, chosen.interval_s))
    return found


def _named(text: str, names: Sequence[str]) -> list[str]:
    from telemetry_probes.metrics.filters import Filter

    for word in text.lstrip("-").split(","):
        if "*" not in word and word.strip() not in names:
            raise Mistake(f"there is no collector {word.strip()!r}; there are {', '.join(names)}")
    taken = Filter(text)
    return [name for name in names if taken.takes(name)]


def _address(given: dict[str, str], wanted: settings.Wanted) -> str:
    """Where it is to listen; "" for nowhere. Mistake, with its place, where it can't be there."""
    address = given.get("L", str(wanted.general["listen"]))
    if address:
        from telemetry_probes.metrics import listen

        if problem := listen.mistaken(address):
            remedy = f"write {listen.ADDRESSES}"
            raise Mistake(
                f"--listen: {problem}; {remedy}" if "L" in given else wanted.mistaken("", "listen", problem, remedy)
            )
    return address


def _follow(sources: Sequence[Source], places: Places, address: str) -> int:
    """Until a signal, or the end of the owner's consent. address: where to listen; "" for nowhere."""
    from telemetry_probes.metrics.loop import Loop
    from telemetry_probes.notifying import Watchdog

    sinks: list[Sink] = []
    timed: list[Timed] = [Watchdog()]
    gathering = Gathering(sources, places, sinks, PROGRAM.say)
    loop = Loop(gathering, timed)
    listener = _listener(address, gathering, sinks, loop) if address else None
    machine_id = static_machine_id()
    if not address:
        need_name()
    elif not machine_id:
        PROGRAM.say("this machine has no lasting id: nothing is sent")
    sending = Sending(machine_id, places.account, PROGRAM.say, loop.end) if machine_id else None
    if sending is not None:
        sinks.append(sending.take)
        timed.append(sending)
    loop.run()
    if listener is not None:
        listener.close()
    if sending is not None:
        sending.close()
    return 0


def _listener(address: str, gathering: Gathering, sinks: list[Sink], loop: Loop) -> Listener:
    from telemetry_probes.metrics.listen import Latest, Listener

    latest = Latest()
    latest.said = gathering.said
    sinks.append(latest.take)
    listener = Listener(address, latest)
    loop.watch(listener.fileno(), listener.accept)
    return listener
