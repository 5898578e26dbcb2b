# SPDX-License-Identifier: Apache-2.0
"""A disk in memory that does what disks do on a bad day: telemd's `Disk`, with a page cache that a power cut tears.

Reads see the cache. What was never synced may reach the platter or not, page by page and within a page sector by
sector; names come and go only with sync_directory(). A sync that fails drops what it should have written and says so
once, as Linux does: the next one succeeds, and the data is gone. All chance comes from the generator it is given. No
rule of the spool belongs in here.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from typing import TYPE_CHECKING

from telemd.disk import Disk

if TYPE_CHECKING:
    from telemd.intake import Share

PAGE = 4096
SECTOR = 512
READS_WELL_CALLS = 20


class PowerLoss(BaseException):
    """The machine, or the process alone, ends in the middle of a call. Nobody may catch it but the simulation."""


class Faults:
    """What goes wrong, in chances a call; all 0 is a healthy disk."""

    __slots__ = ("eio", "enospc", "lying", "read_only", "sync_eio")

    def __init__(self, eio: float = 0, enospc: float = 0, sync_eio: float = 0) -> None:
        self.eio = eio
        self.enospc = enospc
        self.sync_eio = sync_eio
        self.read_only = False
        self.lying = False


class File:
    """An inode. stale: pages that a failed sync gave up, newer in the cache than on the platter; bad: unreadable."""

    __slots__ = ("bad", "cache", "dirty", "platter", "stale", "version")

    def __init__(self, size: int) -> None:
        self.cache = bytearray(size)
        self.platter = bytearray()
        self.dirty: set[int] = set()
        self.stale: set[int] = set()
        self.bad: set[int] = set()
        self.version = 0

    def write(self, data: bytes, offset: int) -> None:
        """Into the cache."""
        end = offset + len(data)
        if end > len(self.cache):
            self.cache.extend(bytes(end - len(self.cache)))
        self.cache[offset:end] = data
        pages = range(offset // PAGE, (end + PAGE - 1) // PAGE)
        self.dirty.update(pages)
        if self.stale:
            self.stale.difference_update(pages)
        if self.bad:
            self.bad.difference_update(pages)
        self.version += 1

    def resize(self, size: int) -> None:
        """In the cache; the platter follows with the next sync."""
        if size < len(self.cache):
            del self.cache[size:]
        else:
            self.cache.extend(bytes(size - len(self.cache)))
        beyond = (size + PAGE - 1) // PAGE
        for pages in (self.dirty, self.stale, self.bad):
            pages.difference_update([page for page in pages if page >= beyond])
        self.version += 1

    def fit_platter(self, size: int) -> None:
        """The platter gets that length."""
        if size < len(self.platter):
            del self.platter[size:]
        else:
            self.platter.extend(bytes(size - len(self.platter)))

    def persist(self, page: int) -> None:
        """One page of the cache reaches the platter."""
        begin, end = page * PAGE, min((page + 1) * PAGE, len(self.cache), len(self.platter))
        if begin < end:
            self.platter[begin:end] = self.cache[begin:end]

    def sync(self) -> None:
        """All of it does."""
        self.fit_platter(len(self.cache))
        for page in self.dirty:
            self.persist(page)
        self.dirty.clear()

    def sync_failed(self, rng: random.Random) -> None:
        """Some of it does; the kernel takes the rest for clean from now on."""
        self.fit_platter(len(self.cache))
        for page in sorted(self.dirty):
            if rng.random() < 0.5:
                self.persist(page)
            else:
                self.stale.add(page)
        self.dirty.clear()

    def forget_cache(self) -> None:
        """Clean pages are read from the platter again: what a failed sync gave up shows."""
        for page in self.stale:
            begin, end = page * PAGE, min((page + 1) * PAGE, len(self.cache), len(self.platter))
            if begin < end:
                self.cache[begin:end] = self.platter[begin:end]
        if self.stale:
            self.stale.clear()
            self.version += 1

    def power_loss(self, rng: random.Random) -> None:
        """What wasn't synced reaches the platter, or half of it, or not; in any order."""
        if len(self.cache) != len(self.platter) and rng.random() < 0.5:
            self.fit_platter(len(self.cache))
        for page in sorted(self.dirty):
            fate = rng.random()
            if fate < 0.4:
                self.persist(page)
            elif fate < 0.6:
                for begin in range(page * PAGE, (page + 1) * PAGE, SECTOR):
                    end = min(begin + SECTOR, len(self.cache), len(self.platter))
                    if begin < end and rng.random() < 0.5:
                        self.platter[begin:end] = self.cache[begin:end]
        self.cache = bytearray(self.platter)
        self.dirty.clear()
        self.stale.clear()
        self.version += 1


class FakeDisk(Disk):
    """One spool directory. capacity is what the file system holds; ordered: its journal keeps names in order, as ext4
    and xfs do, else each name reaches the platter for itself. It outlives the processes that open it: revive() is the
    next one's start."""

    def __init__(self, rng: random.Random, capacity: int, ordered: bool) -> None:
        self.path = "/fake"
        self.rng = rng
        self.capacity = capacity
        self.ordered = ordered
        self.faults = Faults()
        self.files: dict[str, File] = {}
        self.injected: Counter[str] = Counter()
        self.calls = 0
        self.bytes_read = 0
        self.calls_until_loss = -1
        self.dead = False
        self._reads_well_until = 0
        self._durable: dict[str, File] = {}
        self._pending: list[tuple[str, str, File]] = []  # (name that goes, name that comes, file); "" for none
        self._open: dict[int, File] = {}
        self._next_fd = 1000

    # -- what happens to it --

    def used(self) -> int:
        """Bytes that the file system has given away."""
        return sum(len(each.cache) for each in self.files.values())

    def open_files(self) -> int:
        """Descriptors that nobody closed."""
        return len(self._open)

    def kill(self) -> None:
        """The process ends; the kernel and its page cache go on."""
        self._open.clear()
        self.dead = True

    def power_loss(self) -> None:
        """Everything ends; the platter keeps what it has."""
        self.kill()
        kept = len(self._pending)
        if self.ordered:
            kept = self.rng.randint(0, kept)
        for gone, come, file in self._pending[:kept]:
            if self.ordered or self.rng.random() < 0.5:
                self._apply(gone, come, file)
        self._pending.clear()
        self.files = dict(self._durable)
        for name in sorted(self.files):
            self.files[name].power_loss(self.rng)

    def revive(self) -> None:
        """The next process may open it."""
        self.dead = False
        self.calls_until_loss = -1

    def rot(self) -> str:
        """One bit of what is durable turns; what file that was, or nothing."""
        chosen = self._chosen_place()
        if chosen is None:
            return ""
        name, file, at = chosen
        file.platter[at] ^= 1 << self.rng.randrange(8)
        if at // PAGE not in file.dirty and at // PAGE not in file.stale:
            file.cache[at] = file.platter[at]
            file.version += 1
        self.injected["bits turned"] += 1
        return f"{name}+{at}"

    def spoil_page(self) -> str:
        """One page can't be read any more, until it is written again."""
        chosen = self._chosen_place()
        if chosen is None:
            return ""
        name, file, at = chosen
        file.bad.add(at // PAGE)
        self.injected["pages unreadable"] += 1
        return f"{name}+{at // PAGE * PAGE}"

    def forget_cache(self) -> None:
        """Memory is short: clean pages leave the cache."""
        for name in sorted(self.files):
            self.files[name].forget_cache()

    def _chosen_place(self) -> tuple[str, File, int] | None:
        """A byte that means something: zeros behind the last frame are no target."""
        names = sorted(name for name in self.files if name.endswith(".seg") or name == "ledger")
        names = [name for name in names if self.files[name] is self._durable.get(name)]
        if not names:
            return None
        name = self.rng.choice(names)
        file = self.files[name]
        used = min(len(file.platter.rstrip(b"\0")), len(file.cache))
        return (name, file, self.rng.randrange(used)) if used else None

    def _apply(self, gone: str, come: str, file: File) -> None:
        if gone:
            self._durable.pop(gone, None)
        if come:
            self._durable[come] = file

    def _call(self, name: str, *, writes: bool) -> None:
        if self.dead:
            raise PowerLoss
        self.calls += 1
        if self.calls_until_loss >= 0:
            if self.calls_until_loss == 0:
                self.dead = True
                raise PowerLoss
            self.calls_until_loss -= 1
        faults = self.faults
        if faults.read_only and writes:
            self._fail(errno.EROFS, f"EROFS at {name}")
        if faults.eio and (writes or self.calls > self._reads_well_until) and self.rng.random() < faults.eio:
            if not writes:  # what can't be read once can be when it is tried again; for good there are unreadable pages
                self._reads_well_until = self.calls + READS_WELL_CALLS
            self._fail(errno.EIO, f"EIO at {name}")
        if writes and faults.enospc and self.rng.random() < faults.enospc:
            self._fail(errno.ENOSPC, f"ENOSPC at {name}")

    def _fail(self, code: int, kind: str) -> None:
        self.injected[kind] += 1
        raise OSError(code, os.strerror(code))

    # -- what telemd calls --

    def close(self) -> None:
        if self._open:
            raise AssertionError(f"{len(self._open)} descriptors are left open at the end")
        self.dead = True

    def capacity_bytes(self) -> int:
        return self.capacity

    def names(self) -> list[str]:
        self._call("readdir", writes=False)
        listed = [name for name in self.files if "/" not in name]
        self.rng.shuffle(listed)
        return listed

    def create(self, name: str, size: int) -> int:
        self._call("create", writes=True)
        if name in self.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        if self.used() + size > self.capacity:
            self._fail(errno.ENOSPC, "ENOSPC at create")
        file = File(size)
        self._name("", name, file)
        return self._descriptor(file)

    def rename_open(self, old: str, new: str) -> int:
        fd = self.open(old)
        try:
            self._call("rename", writes=True)
        except OSError:
            self.close_file(fd)
            raise
        self._name(old, new, self._open[fd])
        return fd

    def recycle(self, name: str, new: str, size: int) -> None:
        self._call("recycle", writes=True)
        file = self.files[name]
        if self.used() + size - len(file.cache) > self.capacity:
            self._fail(errno.ENOSPC, "ENOSPC at recycle")
        file.resize(size)
        self._name(name, new, file)

    def open(self, name: str) -> int:
        self._call("open", writes=False)
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._descriptor(self.files[name])

    def is_deleted(self, fd: int | None = None) -> bool:
        return fd is not None and all(each is not self._open[fd] for each in self.files.values())

    def in_place(self) -> bool:
        return True

    def close_file(self, fd: int) -> None:
        if not self.dead:
            del self._open[fd]

    def length(self, fd: int) -> int:
        self._call("stat", writes=False)
        return len(self._open[fd].cache)

    def length_of(self, name: str) -> int:
        self._call("stat", writes=False)
        return len(self.files[name].cache) if name in self.files else 0

    def folder_bytes(self, name: str) -> int:
        self._call("stat", writes=False)
        return sum(len(file.cache) for path, file in self.files.items() if path.startswith(name + "/"))

    def read(self, fd: int, offset: int, count: int) -> bytes:
        self._call("read", writes=False)
        file = self._open[fd]
        if file.bad and any(offset < (page + 1) * PAGE and page * PAGE < offset + count for page in file.bad):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = bytes(file.cache[offset : offset + count])
        self.bytes_read += len(data)
        return data

    def write(self, fd: int, data: bytes, offset: int) -> None:
        file = self._open[fd]
        try:
            self._call("write", writes=True)
            if max(0, offset + len(data) - len(file.cache)) + self.used() > self.capacity:
                self._fail(errno.ENOSPC, "ENOSPC at write")
        except (OSError, PowerLoss):
            if not self.faults.read_only and self.rng.random() < 0.5:
                self.injected["short writes"] += 1
                file.write(data[: self.rng.randint(0, len(data))], offset)
            raise
        file.write(data, offset)

    def write_share(self, fd: int, share: Share, offset: int) -> int:
        self.write(fd, share.data(), offset)
        self.sync(fd)
        return 100

    def sync(self, fd: int) -> None:
        file = self._open[fd]
        self._call("fdatasync", writes=False)
        if self.faults.sync_eio and self.rng.random() < self.faults.sync_eio:
            file.sync_failed(self.rng)
            self._fail(errno.EIO, "EIO at fdatasync, its data dropped")
        if self.faults.lying:
            self.injected["syncs that lied"] += 1
            return
        file.sync()

    def truncate(self, fd: int, size: int) -> None:
        self._call("truncate", writes=True)
        self._open[fd].resize(size)

    def unlink(self, name: str) -> None:
        self._call("unlink", writes=True)
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        self._name(name, "", self.files[name])

    def sync_directory(self) -> None:
        self._call("fsync of the directory", writes=False)
        if self.faults.lying:
            return
        for gone, come, file in self._pending:
            self._apply(gone, come, file)
        self._pending.clear()

    def quarantine(self, name: str, data: bytes, files_max: int) -> bool:
        self._call("quarantine", writes=True)
        if not self._quarantine_has_room(files_max):
            return False
        if self.used() + len(data) > self.capacity:
            self._fail(errno.ENOSPC, "ENOSPC at quarantine")
        file = File(0)
        file.write(data, 0)
        self._name("", "quarantine/" + name, file)
        return True

    def _quarantine_has_room(self, files_max: int) -> bool:
        return sum(name.startswith("quarantine/") for name in self.files) < files_max

    def _name(self, gone: str, come: str, file: File) -> None:
        """A name changes: at once to those who look, later on the platter."""
        if gone:
            del self.files[gone]
        if come:
            self.files[come] = file
        self._pending.append((gone, come, file))

    def _descriptor(self, file: File) -> int:
        self._next_fd += 1
        self._open[self._next_fd] = file
        return self._next_fd
