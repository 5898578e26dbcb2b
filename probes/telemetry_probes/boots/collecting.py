# SPDX-License-Identifier: Apache-2.0
"""All that is known of the last boot's end and of this boot's begin, read below any root.

Each source on its own: one that is missing, damaged or hostile leaves its part empty. Nothing is judged, written or
sent here.
"""

from __future__ import annotations

from telemetry_probes import derivedids, ownstate
from telemetry_probes.boots import (
    changes,
    commandline,
    files,
    journalend,
    journalreading,
    marks,
    panics,
    watchdogs,
    wtmp,
    wtmpdb,
)
from telemetry_probes.boots.evidence import Evidence, Watchdog
from telemetry_probes.crash import rpmdb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.boots.changes import Change, LocalTime
    from telemetry_probes.boots.kept import Kept

LOG_BYTES_MAX = 2 << 20
"""From the end of each log of a package manager."""
UNKNOWN_SINCE_S = 7 * 86_400
"""Changes of packages so long before this boot, where nobody knows of the boot before."""
WATCHDOGS_MAX = 16
TEXT_CHARS_MAX = 200


class Found:
    """`boot`: this boot's id; `began_s`: when it began; `last_began_s`, `last_seen_s`: the last one, 0 where it isn't
    known; `lasted_s`: how long that was; `line`: the command line; `since_s`: from when on `changes` are; `unread`:
    what could not be read, a sentence each."""

    __slots__ = (
        "began_s", "boot", "changes", "changes_left_out", "evidence", "last_began_s", "last_seen_s", "lasted_s", "line",
        "line_hash", "since_s", "unread",
    )  # fmt: skip

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.began_s = 0
        self.last_began_s = 0
        self.last_seen_s = 0
        self.lasted_s = 0
        self.line = ""
        self.line_hash = ""
        self.since_s = 0
        self.changes: list[Change] = []
        self.changes_left_out = 0
        self.evidence = Evidence()
        self.unread: list[str] = []


def collected(root: str, folder: str, secret: bytes, boot: str, kept: Kept, lifted: bool, now_s: int) -> Found:
    """`root`: below which the system is, "" for this one; `folder`: where the probes keep their state; `kept`: of an
    earlier boot. OSError only where the state can't be read at all."""
    found = Found(boot)
    known = found.evidence
    found.began_s = _began_s(files.head(f"{root}/proc/stat", 1 << 20).decode("ascii", "replace")) or now_s
    known.release = files.word(f"{root}/proc/sys/kernel/osrelease")[:TEXT_CHARS_MAX]
    known.build = files.word(f"{root}/proc/sys/kernel/version")[:TEXT_CHARS_MAX]
    _mark(known, folder, kept)
    _wtmp(found, root)
    _journal(found, root, kept, secret, lifted)
    known.release_before = kept.release or (known.wtmp.release if known.wtmp is not None else "")
    known.build_before = kept.build
    known.watchdogs = _watchdogs(f"{root}/sys/class/watchdog")
    known.panics = panics.in_pstore(f"{folder}/pstore", secret, lifted, found.last_began_s, known.release_before)
    known.dumps = panics.by_kdump(root, found.last_began_s)
    found.line = files.word(f"{root}/proc/cmdline")[: commandline.LINE_MAX]
    found.line_hash = derivedids.keyed(secret, b"command line", found.line.encode("utf-8", "replace")).hex()
    found.since_s = min(kept.told_s or found.last_began_s or found.began_s - UNKNOWN_SINCE_S, now_s)
    found.changes, found.changes_left_out = changes.since(_changes(root, found.since_s), found.since_s, now_s)
    return found


def _began_s(stat: str) -> int:
    """When this boot began, by /proc/stat."""
    text = stat.partition("\nbtime ")[2].partition("\n")[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else 0


def _mark(known: Evidence, folder: str, kept: Kept) -> None:
    mark = marks.read(ownstate.kept(folder, marks.NAME))
    if mark is not None and kept.boot and mark.boot == kept.boot:
        known.mark = mark
    known.watched = bool(kept.boot) and not (known.mark is not None and known.mark.how == marks.STOPPED)


def _wtmp(found: Found, root: str) -> None:
    content, _ = files.tail(f"{root}/var/log/wtmp", wtmp.BYTES_MAX, wtmp.UNIT)
    running = files.head(f"{root}/run/utmp", wtmp.BYTES_MAX)
    if content:
        found.evidence.wtmp = wtmp.last_boot(wtmp.entries(content), wtmp.entries(running))
    else:
        found.evidence.wtmp = wtmpdb.last_boot(f"{root}{wtmpdb.PATH}", found.began_s)
    if found.evidence.wtmp is not None:
        found.last_began_s = found.evidence.wtmp.began_s
        found.last_seen_s = found.evidence.wtmp.ended_s
        found.lasted_s = max(0, found.last_seen_s - found.last_began_s) if found.last_began_s else 0


def _journal(found: Found, root: str, kept: Kept, secret: bytes, lifted: bool) -> None:
    where = f"{root}/var/log/journal"
    # another boot may have been in between, where bootprobe wasn't there to the end of the one it knows
    last = kept.boot.replace("-", "") if found.evidence.watched else ""
    read = journalreading.last_boot(where, found.boot.replace("-", ""), last)
    if isinstance(read, str):
        found.unread.append(read)
    elif read is not None:
        found.evidence.journal = journalend.ending(read.boot, read.entries, read.kernel, secret, lifted)
        found.last_began_s = read.first_s
        found.last_seen_s = read.last_s
        found.lasted_s = read.lasted_s
    found.evidence.reset = journalreading.resets(where, found.boot.replace("-", ""))


def _watchdogs(folder: str) -> list[Watchdog]:
    found: list[Watchdog] = []
    for name in files.names(folder, WATCHDOGS_MAX):
        causes = watchdogs.causes(files.word(f"{folder}/{name}/bootstatus"))
        identity = files.word(f"{folder}/{name}/identity")[:64]
        found.append(Watchdog(identity if identity.isprintable() else "", causes))
    return found


def _changes(root: str, since_s: int) -> list[Change]:
    found: list[Change] = []
    for name in ("dpkg.log.1", "dpkg.log"):
        found += changes.of_dpkg(_log(f"{root}/var/log/{name}"), _to_s)
    found += changes.of_pacman(_log(f"{root}/var/log/pacman.log"), _to_s)
    databases = tuple([f"{root}{each}" for each in rpmdb.DATABASES])
    for at_s, name, version in rpmdb.installed_since(since_s, changes.CHANGES_MAX, databases):
        if changes.is_name(name) and changes.is_name(version):
            found.append(changes.Change(at_s, "rpm", changes.INSTALLED, name, "", version))
    return found


def _log(path: str) -> str:
    content, is_whole = files.tail(path, LOG_BYTES_MAX)
    text = content.decode("ascii", "replace")
    return text if is_whole else text.partition("\n")[2]


def _to_s(local: LocalTime) -> int:
    from time import mktime

    try:
        return int(mktime((*local, 0, 0, -1)))
    except (OverflowError, ValueError):
        return 0
