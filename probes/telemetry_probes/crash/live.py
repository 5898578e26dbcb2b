# SPDX-License-Identifier: Apache-2.0
"""A process that died and still exists, as `examine` sees it: its memory, its files, and how to let it go.

Runs without rights, on descriptors that `dying` opened. Files are those that the process saw: a container's are looked
up below its own root, with no link leading out of it.
"""

from __future__ import annotations

import posix

from telemetry_probes.crash import sysroot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry_probes.crash.dying import Dying
    from telemetry_probes.crash.jsontext import Value


class Live:
    """`memory` is its /proc/PID/mem or -1; `guarded`: names and addresses are not for anybody's eyes."""

    __slots__ = ("_dying", "_let_go", "about", "guarded", "memory", "open_file", "pid")

    def __init__(
        self, dying: Dying | None, pid: int, guarded: bool, about: Mapping[str, Value], let_go: Callable[[], None]
    ) -> None:
        """`dying` is None where the process can't be proved to be that one: then its core is all there is, and files
        are the host's. `pid` is the host's. `let_go` makes the kernel end the process; it is called once."""
        self._dying = dying
        self._let_go = let_go
        self.about = about
        self.guarded = guarded
        self.memory = dying.mem if dying is not None else -1
        self.open_file = sysroot.opener() if dying is None else _opener(dying)
        self.pid = pid

    def let_go(self) -> None:
        """Nothing more is read of its memory."""
        self._let_go()


def _opener(dying: Dying) -> sysroot.OpenFile:
    host = sysroot.opener()
    below = sysroot.opener(f"/proc/self/fd/{dying.root}", inside=True) if dying.root >= 0 else None

    def open_file(path: str) -> sysroot.Opened:
        known = dying.files.get(path, -1)
        if known >= 0:
            return posix.dup(known)
        if not dying.own_root:
            return host(path)
        return below(path) if below is not None else "the root directory of the process couldn't be opened"

    return open_file
