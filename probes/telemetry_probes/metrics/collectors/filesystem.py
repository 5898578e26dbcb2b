# SPDX-License-Identifier: Apache-2.0
"""How full file systems are: /proc/1/mountinfo (proc(5)) and statvfs(3).

What holds no files of its own is left out: pseudo file systems, memory, images that can only be read, and mounts of
what is mounted elsewhere already. Those of other machines are, too, unless they are wanted: they may never answer.
"""

from __future__ import annotations

from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.model import GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places, Space

TITLE = "file systems: space and inodes"
INTERVAL_S = 60.0
OPTIONS = (
    Choice("mounts", ALL, "Which mount points, as in `/,/srv/*`, or after a `-` which not."),
    Choice("remote", False, "Whether those of other machines count, such as nfs and cifs."),
)

USAGE = Metric("system.filesystem.usage", "By", GAUGE, "Space by state; what is reserved only root can use")
LIMIT = Metric("system.filesystem.limit", "By", GAUGE, "All space")
UTILIZATION = Metric("system.filesystem.utilization", "1", GAUGE, "Share of what users can have that is used, as of df")
INODES = Metric("x.filesystem.inodes", "{inode}", GAUGE, "Inodes by state, where their number has a limit")
METRICS = (USAGE, LIMIT, UTILIZATION, INODES)

MACHINES_MOUNTINFO = "/proc/1/mountinfo"
"""Asked first: in a sandbox of systemd's all looks read-only."""
MOUNTINFO = "/proc/self/mountinfo"
MOUNTS_MAX = 256
LOCAL = frozenset(
    """
    apfs bcachefs bfs btrfs exfat ext2 ext3 ext4 f2fs fuseblk hfs hfsplus jffs2 jfs minix msdos nilfs2 ntfs ntfs3
    reiserfs ubifs udf ufs vfat virtiofs xfs zfs
    """.split()
)
REMOTE = frozenset(
    "9p afs beegfs ceph cifs fuse.glusterfs fuse.sshfs glusterfs gpfs lustre ncpfs nfs nfs4 smb3".split()
)
ROOT_ONLY = frozenset({"overlay", "tmpfs", "squashfs", "ramfs", "rootfs"})
"""Told only where it is what / is: that of a container, or of a system that runs from memory."""


class Mount:
    """A file system that is mounted. device: what is mounted, as `/dev/sda1`; number: as `8:1`, its own of each."""

    __slots__ = ("device", "is_whole", "mode", "number", "point", "type")

    def __init__(self, number: str, root: str, point: str, mode: str, kind: str, device: str) -> None:
        self.number = number
        self.is_whole = root == "/"
        self.point = point
        self.mode = mode
        self.type = kind
        self.device = device


class Collector:
    """Reads the mounts anew each time."""

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._places = places
        self._filter = Filter(str(options["mounts"]))
        self._types = LOCAL | REMOTE if options["remote"] else LOCAL
        self._known: list[tuple[str, ...]] = []
        if not places.word(MOUNTINFO):
            raise Absent(f"{MOUNTINFO} can't be read: /proc is not mounted")

    def sample(self, _: float) -> Sequence[Value]:
        row: list[Value] = []
        known: list[tuple[str, ...]] = []
        for mount in self._mounts():
            try:
                space = self._places.space(mount.point)
            except (OSError, ValueError):
                continue  # it was just unmounted, or isn't ours to see
            if space.blocks > 0:
                row += figures(space)
                known.append((mount.device, mount.mode, mount.point, mount.type))
        if known != self._known:
            self._known = known
            self.series = [series for attributes in known for series in _series(*attributes)]
        return row

    def close(self) -> None:
        """Nothing is open."""

    def _mounts(self) -> list[Mount]:
        try:
            text = self._places.read(MACHINES_MOUNTINFO)
        except OSError:  # hidden from us, as by hidepid
            text = b""
        found = mounts(text or self._places.read(MOUNTINFO))
        return [
            mount
            for mount in once(found, self._types)
            if self._filter.takes(mount.point)
        ][:MOUNTS_MAX]  # fmt: skip


def _series(device: str, mode: str, point: str, kind: str) -> list[Series]:
    named = (
        ("system.device", device),
        ("system.filesystem.mode", mode),
        ("system.filesystem.mountpoint", point),
        ("system.filesystem.type", kind),
    )
    state = "system.filesystem.state"
    return [
        *(USAGE.series(*named, (state, name)) for name in ("used", "free", "reserved")),
        LIMIT.series(*named),
        UTILIZATION.series(*named),
        *(INODES.series(*named, (state, name)) for name in ("used", "free")),
    ]


def mounts(text: bytes) -> list[Mount]:
    """Of mountinfo, in its order. Lines that aren't as proc(5) has them are left out."""
    found: list[Mount] = []
    for line in text.split(b"\n")[:-1]:
        before, dash, after = line.partition(b" - ")
        first, last = before.split(b" "), after.split(b" ")
        if not dash or len(first) < 6 or len(last) < 3:
            continue
        # The file system's own: in a service's view of the machine all mounts may be read-only.
        mode = "ro" if last[2].split(b",", 1)[0].strip() == b"ro" else "rw"
        number, root, point = (plain(word) for word in first[2:5])
        found.append(Mount(number, root, point, mode, plain(last[0]), plain(last[1])))
    return found


def once(found: Sequence[Mount], types: frozenset[str]) -> list[Mount]:
    """Each file system of these types once: where the whole of it is mounted rather than a folder, and then where the
    path is shortest. Of several at one point the last one counts: it hides the others."""
    best: dict[str, Mount] = {}
    for mount in {mount.point: mount for mount in found}.values():
        if mount.type not in types and not (mount.point == "/" and mount.type in ROOT_ONLY):
            continue
        other = best.get(mount.number)
        if other is None or (not mount.is_whole, len(mount.point)) < (not other.is_whole, len(other.point)):
            best[mount.number] = mount
    return sorted(best.values(), key=lambda mount: mount.point)


def plain(word: bytes) -> str:
    """A word of mountinfo, in which blanks are written as \\040 (proc(5))."""
    if b"\\" in word:
        for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
            word = word.replace(code, char)
    return word.decode("utf-8", "backslashreplace")


def figures(space: Space) -> list[Value]:
    """Used, free and reserved bytes, the limit, the share that is used, inodes used and free."""
    size = space.block_bytes
    used = max(0, space.blocks - space.free)
    available = min(space.available, space.free)
    reserved = space.free - available
    share = used / (used + available) if used + available else None
    has_inodes = space.inodes > 0
    return [
        used * size, available * size, reserved * size, space.blocks * size, share,
        max(0, space.inodes - space.inodes_free) if has_inodes else None, space.inodes_free if has_inodes else None,
    ]  # fmt: skip
