# SPDX-License-Identifier: Apache-2.0
"""Where collectors look: a root that tests can put elsewhere, and the programs on the search path."""

from __future__ import annotations

import posix

from telemetry_probes.metrics.account import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

READ_BYTES_MAX = 1 << 20
"""Of a file that is read whole."""


class Space:
    """How full a file system is. block_bytes: the unit of the next three; free is for root, available for users."""

    __slots__ = ("available", "block_bytes", "blocks", "free", "inodes", "inodes_free")

    def __init__(self, block_bytes: int, blocks: int, free: int, available: int, inodes: int, inodes_free: int) -> None:
        self.block_bytes = block_bytes
        self.blocks = blocks
        self.free = free
        self.available = available
        self.inodes = inodes
        self.inodes_free = inodes_free


class Places:
    """root: what stands before /proc, /sys, /run, /etc; "" for the machine's own. search_path: folders with programs,
    as in PATH. environment: what the process has. account: what the collectors cost and where they failed."""

    __slots__ = ("account", "environment", "root", "search_path")

    def __init__(
        self,
        root: str = "",
        search_path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root.rstrip("/")
        self.search_path = search_path
        self.environment = environment or {}
        self.account = Account()

    def path(self, name: str) -> str:
        """As in /proc/stat."""
        return self.root + name

    def opened(self, name: str) -> int:
        """A descriptor to read it again and again with pread from 0. OSError. Never waits, whatever the file is."""
        return posix.open(self.root + name, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)

    def read(self, name: str, bytes_max: int = READ_BYTES_MAX) -> bytes:
        """Its content, at most so many bytes. OSError."""
        fd = self.opened(name)
        try:
            content = posix.read(fd, bytes_max)
            while content and len(content) < bytes_max and (more := posix.read(fd, bytes_max - len(content))):
                content += more
            return content
        finally:
            posix.close(fd)

    def word(self, name: str) -> str:
        """The text of a small file of sysfs, without blanks around it; "" where there is none."""
        try:
            return self.read(name, 4096).decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def space(self, name: str) -> Space:
        """That of the file system mounted there. OSError. It may wait for ever where that is a server's."""
        found = posix.statvfs(self.root + name)
        return Space(found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)

    def listed(self, name: str, names_max: int = 4096) -> list[str]:
        """The names in that folder, sorted, at most so many; none where it isn't there."""
        found: list[str] = []
        try:
            with posix.scandir(self.root + name) as entries:
                for entry in entries:
                    if len(found) >= names_max:
                        break
                    found.append(entry.name)
        except (OSError, ValueError):
            return []
        return sorted(found)

    def program(self, name: str) -> str:
        """The path of a program; "" where it isn't there."""
        for folder in self.search_path.split(":"):
            path = f"{self.root}{folder}/{name}"
            try:
                if folder.startswith("/") and posix.access(path, posix.X_OK):
                    return path
            except (OSError, ValueError):
                continue
        return ""
