# SPDX-License-Identifier: Apache-2.0
"""Opening a file that a core names, below a root, without being led astray by it.

The path comes from a program that crashed, perhaps on purpose: it may name a device, a FIFO, or go through symlinks
that leave the root. Only a regular file is ever opened for reading; that it's the right one is for others to find out.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Opened = int | str
    """A file descriptor that the caller closes, or why there is none, in words for a report."""
    OpenFile = Callable[[str], Opened]

LINKS_MAX = 40
"""Symlinks on one way, as in path_resolution(7)."""
PARTS_MAX = 256
PATH_MAX = 4096
_S_IFMT, _S_IFREG, _S_IFLNK = 0o170000, 0o100000, 0o120000


def opener(root: str = "/", inside: bool = False) -> OpenFile:
    """A function that opens absolute paths below `root`.

    With `inside` no symlink leads out of it: an absolute one begins at `root` again, and `..` ends there. The root of a
    container is to be opened so, since somebody else made those links.
    """
    if root.rstrip("/") == "":
        return open_regular
    if inside:
        return lambda path: _open_below(root, path)
    return lambda path: open_regular(f"{root}/{path}")


def open_regular(path: str) -> Opened:
    """Open a regular file for reading; nothing else is touched."""
    try:
        # O_PATH first: opening a device or a FIFO for reading can wait or do something
        place = posix.open(path, posix.O_PATH | posix.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return _why(error)
    try:
        if posix.fstat(place).st_mode & _S_IFMT != _S_IFREG:
            return "not a regular file"
        return posix.open(f"/proc/self/fd/{place}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError as error:
        return _why(error)
    finally:
        posix.close(place)


def _open_below(root: str, path: str) -> Opened:
    todo = [part for part in path.split("/") if part][::-1]
    way: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == ".":
            continue
        if part == "..":
            del way[-1:]
            continue
        way.append(part)
        here = root + "/" + "/".join(way)
        if len(way) + len(todo) > PARTS_MAX or len(here) > PATH_MAX:
            return "the path is too long"
        try:
            if posix.lstat(here).st_mode & _S_IFMT != _S_IFLNK:
                continue
            target = posix.readlink(here)
        except (OSError, ValueError) as error:
            return _why(error)
        links += 1
        if links > LINKS_MAX:
            return "too many symlinks"
        way = [] if target.startswith("/") else way[:-1]
        todo.extend(part for part in reversed(target.split("/")) if part)
    return open_regular(root + "/" + "/".join(way))


def _why(error: Exception) -> str:
    return (error.strerror or "can't be opened") if isinstance(error, OSError) else "not a path"
