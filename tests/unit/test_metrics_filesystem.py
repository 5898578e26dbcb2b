# SPDX-License-Identifier: Apache-2.0
"""mountinfo: which file systems are told, each once; and how full one is."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors.filesystem import LOCAL, REMOTE, Collector, figures, mounts, once, plain
from telemetry_probes.metrics.places import Places, Space

MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 254:0 /srv/data /mnt/bound rw - ext4 /dev/vda rw
31 27 8:1 / /srv rw - xfs /dev/sda1 rw
32 27 8:1 / /very/long/second rw - xfs /dev/sda1 rw
33 27 0:40 / /run rw - tmpfs tmpfs rw
34 27 7:0 / /snap/core ro - squashfs /dev/loop0 ro
40 27 8:49 / /opt ro,relatime - ext4 /dev/sdd1 rw
35 27 0:50 /@home /home rw master:2 - btrfs /dev/sdb rw,subvol=/@home
36 27 0:60 / /net/share rw - nfs4 server:/x rw
37 27 8:17 / /mnt/my\040disk\134x rw - vfat /dev/sdb1 ro,errors=remount-ro
38 27 0:70 / /tank rw - zfs tank rw
39 31 8:33 / /srv rw - ext4 /dev/sdc1 rw
"""


def points(remote: bool = False) -> list[str]:
    return [mount.point for mount in once(mounts(MOUNTINFO), LOCAL | REMOTE if remote else LOCAL)]


def test_each_file_system_once() -> None:
    assert points() == ["/", "/home", "/mnt/my disk\\x", "/opt", "/srv", "/tank", "/very/long/second"]
    assert "/net/share" in points(remote=True)


def test_what_is_hidden_beneath_another_is_not_told() -> None:
    (found,) = [mount for mount in once(mounts(MOUNTINFO), LOCAL) if mount.point == "/srv"]
    assert (found.device, found.type, found.mode) == ("/dev/sdc1", "ext4", "rw")


def test_a_file_system_that_is_read_only() -> None:
    """Not a mount that is: in a service's view of the machine all are."""
    found = {mount.point: mount.mode for mount in mounts(MOUNTINFO)}
    assert (found["/mnt/my disk\\x"], found["/snap/core"], found["/"], found["/opt"]) == ("ro", "ro", "rw", "rw")


@pytest.mark.parametrize("kind", ["overlay", "tmpfs", "squashfs"])
def test_a_root_of_another_kind_is_told(kind: str) -> None:
    text = f"1 0 0:9 / / rw - {kind} x rw\n2 1 0:10 / /x rw - {kind} x rw\n"
    assert [mount.point for mount in once(mounts(text.encode()), LOCAL)] == ["/"]


def test_cut_at_every_byte() -> None:
    for size in range(len(MOUNTINFO)):
        for mount in mounts(MOUNTINFO[:size]):
            assert mount.point.startswith("/") and mount.type


@pytest.mark.parametrize(
    ("word", "text"),
    [(rb"a\040b", "a b"), (rb"\011\012\134", "\t\n\\"), (rb"\134040", "\\040"), (b"\xff", "\\xff"), (rb"\04", "\\04")],
)
def test_escapes(word: bytes, text: str) -> None:
    assert plain(word) == text


def test_figures_as_df_has_them() -> None:
    #          used  free  reserved  limit  share  inodes
    assert figures(Space(4096, 1000, 400, 350, 100, 90)) == [
        600 * 4096, 350 * 4096, 50 * 4096, 1000 * 4096, 600 / 950, 10, 90,
    ]  # fmt: skip
    assert figures(Space(512, 10, 10, 10, 0, 0)) == [0, 5120, 0, 5120, 0.0, None, None]


def test_a_file_system_that_lies() -> None:
    for space in (Space(1, 10, 2**64 - 1, 2**64 - 1, 5, 9), Space(2**63, 2**64 - 1, 0, 2**64 - 1, 2**64 - 1, 0)):
        assert all(value is None or value >= 0 for value in figures(space))


class Full(Places):
    """Says how full, and that one mount point is gone."""

    __slots__ = ()

    def space(self, name: str) -> Space:
        if name == "/srv":
            raise FileNotFoundError(name)
        return Space(4096, 0 if name == "/tank" else 100, 50, 50, 10, 5)


def test_what_is_gone_or_has_no_blocks_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_bytes(MOUNTINFO)
    collector = Collector(Full(str(tmp_path)), {"mounts": "-/very/*", "remote": False})
    row = collector.sample(1.0)
    found = {dict(series.attributes)["system.filesystem.mountpoint"] for series in collector.series}
    assert found == {"/", "/home", "/mnt/my disk\\x", "/opt"}
    assert len(row) == len(collector.series)
    series = collector.series
    collector.sample(61.0)
    assert collector.series is series
    collector.close()
