# SPDX-License-Identifier: Apache-2.0
"""A stand-in for telemetrics-client 2.4: a package of its layout, with units that listen, and delete from the spool
what they can't read, as that program does. And what it leaves behind."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from booted import Machine

UNITS = ("telemprobd.socket", "telemprobd.service", "telempostd.path", "telempostd.service")

CONTROL = """\
Package: telemetrics-client
Version: 2.4.3
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: stand-in for a test
"""

POSTINST = """\
#!/bin/sh
set -e
getent passwd telemetry >/dev/null || useradd --system --home-dir /var/lib/telemetry telemetry
for folder in /var/spool/telemetry /var/lib/telemetry /var/log/telemetry /var/log/telemetry/records; do
    mkdir -p "$folder"
    chown telemetry:telemetry "$folder"
    chmod 0775 "$folder"
done
systemctl daemon-reload
systemctl enable --now telemprobd.socket telempostd.path
"""

FILES = {
    "usr/bin/telemctl": "#!/bin/sh\necho the original\n",
    "usr/bin/hprobe": "#!/bin/sh\necho the original\n",
    "usr/bin/telemprobd": "#!/usr/bin/python3\nimport time\ntime.sleep(1e6)\n",
    "usr/bin/telempostd": """\
#!/usr/bin/python3
import os, time
spool = "/var/spool/telemetry"
while True:
    for name in os.listdir(spool):
        path = os.path.join(spool, name)
        if os.path.isfile(path) and not open(path, "rb").read(23).startswith(b"record_format_version: "):
            os.unlink(path)
    time.sleep(0.2)
""",
    "usr/lib/systemd/system/telemprobd.socket": (
        "[Socket]\nListenStream=/run/telem-0\n[Install]\nWantedBy=sockets.target\n"
    ),
    "usr/lib/systemd/system/telemprobd.service": "[Service]\nExecStart=/usr/bin/telemprobd\nUser=telemetry\n",
    "usr/lib/systemd/system/telempostd.path": (
        "[Path]\nDirectoryNotEmpty=/var/spool/telemetry\n[Install]\nWantedBy=paths.target\n"
    ),
    "usr/lib/systemd/system/telempostd.service": "[Service]\nExecStart=/usr/bin/telempostd\nUser=telemetry\n",
}

RECORD = """\
record_format_version: 4
classification: org.test/old/record
severity: 2
machine_id: FFFFFFFF
creation_timestamp: {created_s}
arch: x86_64
host_type: A|B|C
build: 1.2
kernel_version: 4.19.0-old
payload_format_version: 3
system_name: old
board_name: b|c
cpu_model: A CPU @ 1.0 GHz
bios_version: 1
event_id: 00112233445566778899aabbccddeeff
{payload}"""

CONFIGURATION = """\
[settings]
server={server}
socket_path=/run/telem-0
spool_dir=/var/spool/telemetry
record_expiry=1200
rate_limit_enabled=false
record_retention_enabled=true
"""

MACHINE_ID = "fedcba9876543210fedcba9876543210"
JOURNAL_ID = "d41d8cd98f00b204e9800998ecf8427e"


def package(folder: Path) -> Path:
    """The .deb."""
    root = folder / "telemetrics-client"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name.startswith("usr/bin") else 0o644)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(CONTROL)
    (root / "DEBIAN/postinst").write_text(POSTINST)
    (root / "DEBIAN/postinst").chmod(0o755)
    made = folder / "telemetrics-client_2.4.3_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, made], check=True, capture_output=True)
    return made


def lives(machine: Machine, server: str, records: int) -> None:
    """It has been in use: opted in, configured, with records that wait, a journal and a kept copy."""
    machine.write("/etc/telemetrics/opt-in", "")
    machine.write("/etc/telemetrics/opt-in-static-machine-id", "0123456789abcdef0123456789abcdef\n")
    machine.write("/etc/telemetrics/telemetrics.conf", CONFIGURATION.format(server=server))
    for number in range(records):
        text = RECORD.format(created_s=int(time.time()), payload=f"payload {number}\n")
        machine.write(f"/var/spool/telemetry/{number:06}", text)
    line = "\x1e".join((JOURNAL_ID, "1700000000", "org.test/old/sent", "00" * 16, "11" * 16))
    machine.write("/var/log/telemetry/journal", f"{line}\n")
    machine.write(f"/var/log/telemetry/records/{JOURNAL_ID}", "kept copy")
    machine.write("/var/lib/telemetry/machine_id", f"{MACHINE_ID}\n")
    machine.shell("chown -R telemetry:telemetry /var/spool/telemetry /var/log/telemetry /var/lib/telemetry")
