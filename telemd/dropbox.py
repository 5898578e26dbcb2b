# SPDX-License-Identifier: Apache-2.0
"""The drop directory: records of format 5 that a probe left as files because no telemd answered (docs/protocol.md,
section 8).

Says which of its files are due and whether they may be taken. It moves and removes nothing.
"""

from __future__ import annotations

import os

from telemd import folder
from telemd.folder import File, Unfit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from telemd.folder import Folder, Place
    from telemd.intake import Batch
    from telemd.segment import Host

FILES_A_ROUND: Final = 64
"""A writer leaves no more than so many; where there are more, the rest come with the next round."""

ENTRIES_A_LOOK: Final = 4096

UNFINISHED_NS: Final = 600 * 1_000_000_000
"""How long a file may be in the making."""

_SUFFIX: Final = ".rec"
_SETTLED_NS: Final = 2_000_000_000  # a file that comes right after a look may leave the directory's time as it is


class Due:
    """What is to be done now. finished: oldest first. abandoned: begun long ago and never finished. more: there is more
    to do later on."""

    __slots__ = ("abandoned", "finished", "more")

    def __init__(self, finished: list[Place], abandoned: list[str], more: bool) -> None:
        self.finished = finished
        self.abandoned = abandoned
        self.more = more


def due(entries: Iterable[tuple[str, os.stat_result]], now_ns: int) -> Due:
    """Sort what lies there. A name that begins with . or tmp says that its writer is at it still."""
    finished: list[Place] = []
    abandoned: list[str] = []
    in_the_making = False
    for name, status in entries:
        if not name.startswith((".", "tmp")):
            finished.append((status.st_mtime_ns, name))
        elif abs(now_ns - status.st_mtime_ns) > UNFINISHED_NS:
            abandoned.append(name)
        else:
            in_the_making = True
    finished.sort()
    return Due(finished[:FILES_A_ROUND], abandoned, in_the_making or len(finished) > FILES_A_ROUND)


class DropBox:
    """One drop directory. idle: nothing was left in it after the last look."""

    label = "drop"
    bytes_max = 512 * 1024

    __slots__ = ("_mtime_ns", "_path", "_stuck", "idle")

    def __init__(self, path: str) -> None:
        self.idle = False
        self._path = path
        self._mtime_ns = -1  # the directory's, where all that came before is dealt with
        self._stuck: set[str] = set()

    def owners(self) -> tuple[int, ...]:
        """Users whose files may be taken."""
        return 0, os.geteuid()

    def opened(self) -> Folder | None:
        """The directory, or None where nothing has changed in it. OSError."""
        if self._mtime_ns >= 0 and os.stat(self._path).st_mtime_ns == self._mtime_ns:
            return None
        return folder.opened(self._path)

    def pick(self, directory: Folder, now_ns: int) -> Due:
        """The files to be taken in this round."""
        mtime_ns = directory.status().st_mtime_ns
        entries = (each for each in directory.entries(ENTRIES_A_LOOK) if each[0] not in self._stuck)
        found = due(entries, now_ns)
        self.idle = not (found.finished or found.abandoned or found.more)
        self._mtime_ns = mtime_ns if self.idle and now_ns - mtime_ns > _SETTLED_NS else -1
        return found

    def judge(self, name: str, found: File | Unfit) -> File | Unfit:
        """What the directory's own rules say of it."""
        if isinstance(found, File) and not name.endswith(_SUFFIX):
            return Unfit(f"its name doesn't end in {_SUFFIX}")
        return found

    def add(self, batch: Batch, place: Place, file: File, host: Host, now_us: int) -> bool:
        """Put the record into the batch; False where that is full."""
        return batch.add(file.data, file.uid, 0)

    def passed(self, count: int, kept: list[Place]) -> None:
        """So many of what was picked were looked at; kept ones have to come again. The next look finds them."""

    def give_up(self, name: str) -> None:
        """It can't be taken away: don't pick it again."""
        self._stuck.add(name)
