# SPDX-License-Identifier: Apache-2.0
"""Makes reboot.tar.gz and cut.tar.gz: what a Debian leaves below / of a boot that ended in order, and of one whose
power was cut, and of the boot after it; its kernel is
called what Debian calls one. Run by hand and as root, since it boots a machine:

    .venv/bin/python tests/golden/boots/capture.py
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "system"))

from booted import Machine, machine  # noqa: E402

SMALL = "[Journal]\nStorage=persistent\nSyncIntervalSec=1s\nSystemMaxFileSize=512K\nForwardToConsole=no\n"
RELEASE = (os.uname().release.encode(), b"6.1.0-56-amd64".ljust(len(os.uname().release), b"\0"))
FILES = (
    "proc/stat", "proc/sys/kernel/random/boot_id", "run/utmp", "var/log/wtmp",
)  # fmt: skip


def captured(made: Machine, name: str) -> None:
    made.run("journalctl", "--flush", "--sync")
    with tempfile.TemporaryDirectory() as folder:
        names = [*FILES, *(f"var/log/journal/{each}" for each in made.shell("cd /var/log/journal; ls */*").split())]
        for each in names:
            copy = Path(folder) / each
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = made.path(each).read_bytes()
            if "journal" in each:
                assert os.uname().release.encode() not in content
            content = content.replace(*RELEASE)
            copy.write_bytes(b"\n".join(content.splitlines()[-9:]) + b"\n" if each == "proc/stat" else content)
        with tarfile.open(HERE / f"{name}.tar.gz", "w:gz") as archive:
            for each in names:
                archive.add(Path(folder) / each, each, filter=_anonymous)


def _anonymous(one: tarfile.TarInfo) -> tarfile.TarInfo:
    one.uid = one.gid = 0
    one.uname = one.gname = "root"
    return one


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, machine(Path(folder)) as made:
        made.write("/etc/systemd/journald.conf.d/test.conf", SMALL)
        made.path("/etc/systemd/system/systemd-update-utmp.service").unlink()
        made.write("/var/log/wtmp", "")
        made.shell("rm -rf /var/log/journal/*")
        made.shut_down()
        made.boot()
        time.sleep(3)  # a boot that lasted
        made.end("systemctl", "reboot")
        made.boot()
        captured(made, "reboot")
        time.sleep(3)
        made.cut_power()
        made.boot()
        captured(made, "cut")


if __name__ == "__main__":
    main()
