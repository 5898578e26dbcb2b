# SPDX-License-Identifier: Apache-2.0
"""Records that came as files: those of the drop directory, and those that telemetrics-client left in the spool's.

A few at a time: read, made durable in the spool, and only then removed. What can't be used goes to quarantine/ with a
sentence for the log and stands in nobody's way; what the spool has no room for stays where it is and comes again.
"""

from __future__ import annotations

import zlib

from libtelemetry.wire import REASON_NAMES
from telemd import folder
from telemd.dropbox import DropBox
from telemd.folder import File
from telemd.oldspool import OldSpool
from telemd.quarantine import FILE_BYTES_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from telemd.admission import Policy
    from telemd.folder import Folder, Place
    from telemd.inbound import Inbound
    from telemd.segment import Host
    from telemd.spool import Spool

AGAIN_MS: Final = 5_000
"""How soon it is looked again where something had to stay."""

SENTENCES_A_ROUND: Final = 8

_DURABLE: Final = 0
_DUPLICATE: Final = 1
_MALFORMED: Final = 1
_COMES_AGAIN: Final = frozenset((16, 19))  # no-space, io


class Rooms:
    """Where records go, and what holds for them now. now_us is the wall clock."""

    __slots__ = ("host", "inbound", "now_us", "policy", "spool")

    def __init__(self, inbound: Inbound, spool: Spool, policy: Policy, host: Host, now_us: int) -> None:
        self.inbound = inbound
        self.spool = spool
        self.policy = policy
        self.host = host
        self.now_us = now_us


class Importer:
    """For one spool directory. mac: 32 bytes that only this machine can make of a message. look_ms: how often is looked
    where nothing else happens.

    due_ms: when round() is to be called next, monotonic; the owner may bring it forward."""

    __slots__ = ("_notes", "_sources", "_taken", "_trouble", "_unsaid", "due_ms", "look_ms")

    def __init__(self, spool_dir: str, mac: Callable[[bytes], bytes], look_ms: int) -> None:
        self.look_ms = look_ms
        self.due_ms = 0
        self._taken = 0
        self._sources: tuple[DropBox | OldSpool, ...] = (DropBox(f"{spool_dir}/drop"), OldSpool(spool_dir, mac))
        self._notes: list[str] = []
        self._unsaid = 0
        self._trouble = ""

    @property
    def idle(self) -> bool:
        """Nothing is left to be taken in."""
        return all(source.idle for source in self._sources)

    def round(self, rooms: Rooms, now_ms: int) -> int:
        """Take in a few; how many files are done with. now_ms is monotonic."""
        done = 0
        trouble = ""
        for source in self._sources:
            try:
                done += self._take_from(source, rooms)
            except OSError as error:
                trouble = f"records left as files can't be taken in now ({error}): that is tried again"
        if trouble and trouble != self._trouble:
            self._notes.append(trouble)
        self._trouble = trouble
        if done:
            rooms.spool.cap.count_drop()
        self.due_ms = now_ms if done else now_ms + (self.look_ms if self.idle else AGAIN_MS)
        return done

    def take_count(self) -> int:
        """Records that were made durable since the last call."""
        count, self._taken = self._taken, 0
        return count

    def take_notes(self) -> list[str]:
        """Sentences for the log since the last call."""
        notes, self._notes = self._notes, []
        if self._unsaid:
            notes.append(f"and so it is with {self._unsaid} more files")
            self._unsaid = 0
        return notes

    def _take_from(self, source: DropBox | OldSpool, rooms: Rooms) -> int:
        directory = source.opened()
        if directory is None:
            return 0
        with directory:
            due = source.pick(directory, rooms.now_us * 1000)
            done = sum(self._remove(source, directory, name) for name in due.abandoned)
            owners = source.owners() if due.finished else ()
            added: list[tuple[Place, bytes]] = []
            looked_at = 0
            for place in due.finished:
                found = directory.read(place[1], owners, source.bytes_max, FILE_BYTES_MAX)
                judged = source.judge(place[1], found) if found is not None else None
                if isinstance(judged, File):
                    if not source.add(rooms.inbound.batch, place, judged, rooms.host, rooms.now_us):
                        break  # the batch is full
                    added.append((place, judged.data))
                elif judged is not None and judged.stays:
                    source.give_up(place[1])
                    self._say(f"{folder.shown(place[1])} is no record that can be taken in: {judged.why}, ignoring")
                elif judged is not None and self._put_away(source, directory, place, judged.begin, judged.why, rooms):
                    rooms.spool.count_refused(_MALFORMED)
                looked_at += 1
            kept = self._settle(source, directory, added, rooms)
            source.passed(looked_at, kept)
            return done + looked_at - len(kept)

    def _settle(
        self, source: DropBox | OldSpool, directory: Folder, added: list[tuple[Place, bytes]], rooms: Rooms
    ) -> list[Place]:
        """Make durable what was added to the batch, and remove its files; those that have to come again."""
        kept: list[Place] = []
        if not added:
            return kept
        results = rooms.inbound.take(rooms.spool, rooms.policy, rooms.host, rooms.now_us)
        for (place, data), (verdict, reason) in zip(added, results, strict=True):
            if verdict in (_DURABLE, _DUPLICATE):
                self._taken += 1
                self._remove(source, directory, place[1])
            elif reason in _COMES_AGAIN:
                kept.append(place)
            else:
                self._put_away(
                    source, directory, place, data, f"as a record it is refused ({REASON_NAMES[reason]})", rooms
                )
        return kept

    # -- files that are done with --

    def _remove(self, source: DropBox | OldSpool, directory: Folder, name: str) -> bool:
        try:
            directory.unlink(name)
        except OSError as error:
            self._stuck(source, name, error)
            return False
        return True

    def _put_away(
        self, source: DropBox | OldSpool, directory: Folder, place: Place, data: bytes, why: str, rooms: Rooms
    ) -> bool:
        """Out of the way, and as much of it as there is room for into quarantine/."""
        mtime_ns, name = place
        keep_as = f"{source.label}.{mtime_ns}.{zlib.crc32(name.encode('utf-8', 'surrogateescape')):08x}"
        kept = data != b"" and rooms.spool.cap.quarantine.keep(keep_as, data)
        if not self._remove(source, directory, name):
            return False
        where = f"kept as quarantine/{keep_as}" if kept else "removed"
        self._say(f"{folder.shown(name)} can't be taken in: {why}; it is {where}")
        return True

    def _stuck(self, source: DropBox | OldSpool, name: str, error: OSError) -> None:
        source.give_up(name)
        self._say(f"{folder.shown(name)} is done with but can't be removed ({error.strerror}), ignoring")

    def _say(self, sentence: str) -> None:
        if len(self._notes) < SENTENCES_A_ROUND:
            self._notes.append(sentence)
        else:
            self._unsaid += 1
