# SPDX-License-Identifier: Apache-2.0
"""pstoreclean: put what is in pstore aside, so that the next kernel that dies has room.

A file leaves pstore only when its copy is on disk; pstoreprobe sends the copies, once telemd can take them. What is in
them must never come in here.
"""

from __future__ import annotations

import posix
import sys

from libtelemetry import TelemetryError, is_opted_in, set_config_file, telemctl
from telemetry_probes import VERSION as PROJECT_VERSION
from telemetry_probes.kernel import dumpfiles, state
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option, parse, usage

NAME = "pstoreclean"

OPTIONS = (
    CONFIG_FILE,
    Option("d", "directory", "DIR", f"free this instead of {dumpfiles.PSTORE}"),
    HELP,
    VERSION,
)


def main(argv: list[str] | None = None) -> int:
    """Put all aside. 0 when nothing is left in pstore that could be sent, 1 when something is."""
    given = parse((argv or sys.argv)[1:], OPTIONS)
    if isinstance(given, str):
        return _failed(given)
    if "h" in given:
        print(usage(NAME, "Puts what is in pstore aside, for pstoreprobe to send.", OPTIONS), end="")
        return 0
    if "V" in given:
        print(PROJECT_VERSION)
        return 0
    try:
        if "f" in given:
            set_config_file(given["f"])
        if not is_opted_in():
            return _failed(f"this machine is not opted in: run `{telemctl('opt-in')}` to allow telemetry")
        return _put_aside(given.get("d", dumpfiles.PSTORE), f"{state.folder()}/pstore")
    except TelemetryError as error:
        return _failed(error.strerror)
    except OSError as error:
        return _failed(f"{error.filename or 'a file'}: {error.strerror}")


def _put_aside(source: str, into: str) -> int:
    files = dumpfiles.listed(source)
    if not files:
        return 0
    try:
        posix.mkdir(into, 0o700)
    except FileExistsError:
        pass
    there = {each.name: each.size for each in dumpfiles.listed(into)}
    left = 0
    why = ""
    for each in files:
        name = _free_name(each.name, there)
        if len(there) >= dumpfiles.COPIES_MAX or sum(there.values()) + each.size > dumpfiles.COPIED_BYTES_MAX:
            left, why = left + 1, f"{into} is full: pstoreprobe sends what is there"
            continue
        try:
            dumpfiles.copy(each, into, name)
            each.remove()
        except OSError as error:
            left, why = left + 1, f"{error.filename or each.name}: {error.strerror}"
            continue
        there[name] = each.size
    return _failed(f"{left} files stay in {source}: {why}") if left else 0


def _free_name(name: str, there: dict[str, int]) -> str:
    """Backends give a name again once it is free: an older file of that name is kept."""
    head, _, number = name.partition(".")[0].rpartition("-")
    ending = name[len(head) + 1 + len(number) :]
    for turn in range(len(there) + 1):
        free = f"{head}-{int(number) + turn * 1_000_000}{ending}" if turn else name
        if free not in there:
            return free
    return name


def _failed(why: str) -> int:
    print(f"{NAME}: {why}", file=sys.stderr, flush=True)
    return 1
