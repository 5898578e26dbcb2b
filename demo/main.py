# SPDX-License-Identifier: Apache-2.0
"""The demo's story: start a hub and telemd, send records of this machine, show what arrived, serve until Ctrl-C.

Only the order of things and the exit code. How programs are run, what is sent, how the hub is asked and what a line
looks like stand in modules of their own.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo import crashing, measuring
from demo.arrivals import newest, wait_for
from demo.sending import accepted_ids, sendings
from demo.shown import COLUMNS, Paint, padded, record_line, record_lines, step, table_head
from demo.system import DemoError, System, new_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from demo.arrivals import Arrived

LISTEN_DEFAULT = "127.0.0.1:0"
FOLLOW_S = 0.5
"""How often the hub is asked for what is new, and the processes whether they still run."""

FOLLOWED_RECORDS = 50
"""Newest records that are looked at each time; more than that at once are on the hub's page."""


def main(arguments: Sequence[str]) -> int:
    """0: every record arrived. 1: one didn't, or something couldn't start. 130 and 143: interrupted before the end."""
    asked = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without arrows is no reason to fail
    serve = sys.stdout.isatty() and not asked.once
    paint = Paint(sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb")
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    try:
        with System(new_directory(), asked.programs) as system:
            return _tell(system, asked.hub_listen, serve, paint)
    except DemoError as error:
        sys.stdout.flush()
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `make demo | head`
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo/run.py", description="Shows records of this machine on their way to a hub. Uses loopback only."
    )
    parser.add_argument(
        "--hub-listen", default=LISTEN_DEFAULT, metavar="ADDRESS:PORT", help="of the hub; default: a port that is free"
    )
    parser.add_argument("--once", action="store_true", help="end when all has arrived, on a terminal too")
    parser.add_argument(
        "--programs",
        type=Path,
        metavar="DIR",
        default=Path(sys.executable).parent,
        help="where the programs are (%(default)s)",
    )
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends by an exception, so that what was started is stopped."""
    sys.exit(128 + number)


def _tell(system: System, hub_listen: str, serve: bool, paint: Paint) -> int:
    print(paint.strong("telemetrics") + ": records of this machine, from probe to hub. No root, loopback only.")
    print(paint.soft(f"It lives below {system.directory}, until the end."))

    print(f"\n{paint.strong('Starting')}")
    began_s = _begin("telemhub serve --data hub")
    url = system.start_hub(hub_listen)
    _end(began_s)
    began_s = _begin("telemctl opt-in")
    system.opt_in(url)
    _end(began_s)
    began_s = _begin("telemd")
    system.start_telemd()
    _end(began_s)

    print(f"\n{paint.strong('Sending')} {paint.soft('(each with -f demo.conf; telemd answers when it is on disk)')}")
    sent = []
    for sending in sendings():
        began_s = _begin(sending.text)
        sent.append(sending.run(system))
        _end(began_s)
    ids = accepted_ids(system, sent)

    print(f"\n{paint.strong('Arrived at the hub')}")
    arrived = wait_for(system, url, ids, _progress if sys.stdout.isatty() else None)
    print("\n".join(table_head(paint)))
    for record in arrived:
        print("\n".join(record_lines(record, paint)))
    good = len(arrived) == len(ids)
    missing = "" if good else f", missing: {' '.join(sorted(set(ids) - {record.record_id for record in arrived}))}"
    summary = f"{len(ids)} sent, {len(arrived)} arrived{missing}"
    print(f"\n{paint.good(summary) if good else paint.bad(summary)}")

    arrived += _crash(system, url, paint)
    arrived.append(_metrics(system, url, paint))

    if serve:
        _where_to_look(system, url, paint)
        _follow(system, url, arrived, paint)
    elif not sys.stdout.isatty():
        print(f"\n{paint.soft('On a terminal it goes on from here: it serves the page until Ctrl-C.')}")
    return 0 if good else 1


def _crash(system: System, url: str, paint: Paint) -> list[Arrived]:
    """The report; none where this machine can't show one. DemoError where it doesn't come."""
    print(f"\n{paint.strong('A crash')} {paint.soft('(of a C program; the report is all that is kept of it)')}")
    try:
        program = crashing.prepare(system)
        with crashing.handled(system) as why_not:
            how = "the core goes to crashprobe -c" if why_not else "the kernel calls crashprobe"
            began_s = _begin(f"./invoice dies, {how}")
            crashing.crash(system, program, is_handled=not why_not)
            record = crashing.arrived(system, url)
            _end(began_s)
    except crashing.NoCrash as error:
        print(paint.soft(f"\n  left out: {error}"))
        return []
    if why_not:
        print(paint.soft(f"  {padded(why_not, COLUMNS - 2).rstrip()}"))
    print(record_line(record, paint))
    print("\n".join(f"  {padded(line, COLUMNS - 2)}".rstrip() for line in crashing.backtrace(system, record)))
    return [record]


def _metrics(system: System, url: str, paint: Paint) -> Arrived:
    """The record. DemoError where it doesn't come."""
    print(f"\n{paint.strong('Metrics')} {paint.soft('(of a machine with a lasting id; a record a minute)')}")
    began_s = _begin("metricprobe")
    measuring.measure(system)
    _end(began_s)
    found = measuring.measured(system, url)
    print(record_line(found.record, paint))
    lines = [*found.lines, f"{found.series} series in all"]
    print("\n".join(f"  {padded(line, COLUMNS - 2)}".rstrip() for line in lines))
    return found.record


def _begin(text: str) -> float:
    print(step(text), end="", flush=True)
    return time.monotonic()


def _end(began_s: float) -> None:
    print(f"{(time.monotonic() - began_s) * 1000:6.0f} ms")


def _progress(arrived: int, expected: int) -> None:
    """On a terminal: how many are there, in one line that what follows overwrites."""
    print(f"\r  {arrived} of {expected}", end="\r", flush=True)


def _where_to_look(system: System, url: str, paint: Paint) -> None:
    print(f"\n{paint.strong('Look')}")
    print(f"  page    {url}/")
    print(f"  metrics {url}/machine/{system.machine_id}")
    print(f"  API     {url}/api/v1/records?severity=3")
    print(f"  status  {system.command('telemctl')} status")
    print(f"  more    {system.command('hprobe')} -u")


def _follow(system: System, url: str, shown: Sequence[Arrived], paint: Paint) -> None:
    """A line for each record that arrives, until Ctrl-C."""
    print("\nServing until Ctrl-C; what arrives from now on shows up here:")
    known = {record.record_id for record in shown}
    try:
        while True:
            time.sleep(FOLLOW_S)
            system.check_running()
            records = newest(system, url, FOLLOWED_RECORDS)
            for record in reversed(records):
                if record.record_id not in known:
                    print(record_line(record, paint), flush=True)
            known = {record.record_id for record in records}
    except KeyboardInterrupt:
        print("\rstopping")
