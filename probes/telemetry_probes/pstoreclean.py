# SPDX-License-Identifier: Apache-2.0
"""pstoreclean: put what is in pstore aside, so that the next kernel that dies has room.

A file leaves pstore only when its copy is on disk; pstoreprobe sends the copies, once telemd can take them. What is in
them must never come in here.
"""

from __future__ import annotations

import posix

from telemetry_probes import ownstate
from telemetry_probes.kernel import dumpfiles
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Program, need_consent

OPTIONS = (
    CONFIG_FILE,
    Option("d", "directory", "DIR", f"free this instead of {dumpfiles.PSTORE}"),
    HELP,
    VERSION,
)
PROGRAM = Program("pstoreclean", "Puts what is in pstore aside, for pstoreprobe to send.", OPTIONS)


def main(argv: list[str] | None = None) -> int:
    """Put all aside. 0 when nothing is left in pstore that could be sent, 1 when something is."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    need_consent()
    return _put_aside(given.get("d", dumpfiles.PSTORE), f"{ownstate.folder()}/pstore")


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
    return PROGRAM.failed(f"{left} files stay in {source}: {why}") if left else 0


def _free_name(name: str, there: dict[str, int]) -> str:
    """Backends give a name again once it is free: an older file of that name is kept."""
    head, _, number = name.partition(".")[0].rpartition("-")
    ending = name[len(head) + 1 + len(number) :]
    for turn in range(len(there) + 1):
        free = f"{head}-{int(number) + turn * 1_000_000}{ending}" if turn else name
        if free not in there:
            return free
    return name
