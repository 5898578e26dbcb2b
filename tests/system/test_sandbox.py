# SPDX-License-Identifier: Apache-2.0
"""What the services can't do, shown by trying: who collects reaches no network, who has the network has no disk. And
how systemd-analyze judges the units, against what docs/security.md says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import securitytable
from sending import Hub, configure, send

if TYPE_CHECKING:
    from booted import Machine

COLLECTING = ("telemd.service", "hprobe.service")
REPORT = "/usr/bin/python3 /opt/try.py"
PROBES = {
    "bootprobe.service": "/var/lib/telemetry-kernel",
    "journalprobe.service": "/var/lib/telemetry-journal",
    "klogscanner.service": "/var/lib/telemetry-kernel",
    "metricprobe-smart.service": "",
    "pstoreclean.service": "/var/lib/telemetry-kernel",
    "pstoreprobe.service": "/var/lib/telemetry-kernel",
}
"""Those that have a state of their own or more rights, and where they may write. metricprobe has a test of its own."""
ANYWHERE = f"""
[Unit]
ConditionPathExists=
[Service]
Type=oneshot
RemainAfterExit=no
Restart=no
ExecStart=
ExecStart={REPORT}
ExecStop=
"""
"""Whatever hardware there is: an empty condition takes back all of them (systemd.unit(5))."""

# What a service could do, as JSON on standard output, which is the journal.
TRY = r"""
import errno, json, os, socket, sys

def attempt(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "done"

def tcp(family, host):
    with socket.socket(family, socket.SOCK_STREAM) as stream:
        stream.settimeout(5)
        stream.connect((host, 8080))

def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.sendto(b"x", ("127.0.0.1", 53))

def other(family, kind):
    socket.socket(family, kind).close()

def listable(path):
    if not os.listdir(path):
        raise FileNotFoundError(errno.ENOENT, "what lies before it is empty")

def writable():
    found = []
    for folder, names, _ in os.walk("/"):
        names[:] = [name for name in names if os.path.join(folder, name) not in ("/proc", "/sys", "/usr", "/work")]
        try:
            path = os.path.join(folder, "telemetrics-try")
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.unlink(path)
            found.append(folder)
        except OSError:
            pass
    return found

print("tried " + json.dumps({
    "tcp": attempt(lambda: tcp(socket.AF_INET, "127.0.0.1")),
    "tcp6": attempt(lambda: tcp(socket.AF_INET6, "::1")),
    "udp": attempt(udp),
    "packet": attempt(lambda: other(17, socket.SOCK_RAW)),
    "netlink": attempt(lambda: other(16, socket.SOCK_RAW)),
    "interfaces": sorted(name for _, name in socket.if_nameindex()) if attempt(socket.if_nameindex) == "done" else [],
    "spool": attempt(lambda: listable("/var/spool/telemetry")),
    "state": attempt(lambda: listable("/var/lib/telemetry")),
    "home": attempt(lambda: os.close(os.open("/root/secret", os.O_RDONLY))),
    "become": attempt(lambda: os.setuid(0)) if os.getuid() else "root",
    "mount": attempt(lambda: os.chroot("/")),
    "writable": writable(),
}))
"""


def tried(machine: Machine, since: str) -> dict[str, Any]:
    line = machine.wait_journal("tried {", since, identifier="python3")
    found: dict[str, Any] = json.loads(line.removeprefix("tried "))
    return found


@pytest.fixture
def trying(running: Machine, hub: Hub) -> Machine:
    """With a server on this machine, and a program for the services to try what they can."""
    running.write("/opt/try.py", TRY)
    running.write("/root/secret", "secret")
    configure(running, server=f"{hub.url}/")
    running.run("telemctl", "restart")
    return running


@pytest.mark.parametrize("unit", COLLECTING)
def test_what_collects_reaches_no_network(trying: Machine, unit: str) -> None:
    trying.drop_in(unit, f"ExecStartPre={REPORT}")
    since = trying.cursor()
    trying.systemctl("restart", unit)
    found = tried(trying, since)
    assert "done" not in [found[name] for name in ("tcp", "tcp6", "udp", "packet", "netlink")], found
    assert found["interfaces"] in ([], ["lo"])
    assert found["home"] != "done"
    assert found["become"] == "EPERM"
    assert found["mount"] == "EPERM"


def test_probes_reach_no_network_and_their_own_state_alone(trying: Machine) -> None:
    for unit, state in PROBES.items():
        name = f"tries-{unit}"
        trying.write(
            f"/run/systemd/system/{name}", trying.path(f"/usr/lib/systemd/system/{unit}").read_text() + ANYWHERE
        )
        since = trying.cursor()
        try:
            trying.systemctl("daemon-reload")
            trying.systemctl("start", name)
            found = tried(trying, since)
        finally:
            trying.path(f"/run/systemd/system/{name}").unlink()
        names = ("tcp", "tcp6", "udp", "packet", "netlink", "spool", "state", "home")
        assert "done" not in [found[name] for name in names], (unit, found)
        assert found["interfaces"] in ([], ["lo"]), unit
        assert found["become"] == ("root" if unit == "metricprobe-smart.service" else "EPERM"), unit
        assert found["mount"] == "EPERM", unit
        assert [each for each in found["writable"] if not (state and f"{each}/".startswith(f"{state}/"))] == [], unit


def test_telemd_writes_its_own_directories_alone(trying: Machine) -> None:
    trying.drop_in("telemd.service", f"ExecStartPre={REPORT}")
    since = trying.cursor()
    trying.systemctl("restart", "telemd.service")
    own = {"/run/telemetry", "/var/lib/telemetry", "/var/log/telemetry", "/var/spool/telemetry", "/tmp", "/var/tmp"}
    found = {folder for folder in tried(trying, since)["writable"] if not folder.startswith("/dev/")}
    below = {folder for folder in found if any(folder.startswith(f"{each}/") for each in own)}
    assert found - below == own


def test_the_courier_has_the_network_and_no_disk(trying: Machine, hub: Hub) -> None:
    trying.drop_in("telemd-courier@.service", f"ExecStartPre={REPORT}")
    since = trying.cursor()
    assert send(trying, [1]) == [1]
    hub.wait_for([1])
    found = tried(trying, since)
    assert found["tcp"] == "done"  # the very attempt that fails for the others
    assert found["writable"] == []
    assert "done" not in [found[name] for name in ("spool", "state", "home", "packet", "netlink")], found
    assert found["become"] == "EPERM"


def test_verify_has_nothing_to_say(installed: Machine, hub: Hub) -> None:
    units = installed.shell(
        r"dpkg -L telemetrics telemhub | grep -E '^/(usr/)?lib/systemd/system/[^/]+\.[a-z]+$' | grep -v '\.wants$'"
    ).split()
    assert {f"/usr/lib/systemd/system/{name}" for name in (*COLLECTING, *PROBES, hub.unit, "telemd.path")} <= set(units)
    done = installed.run("systemd-analyze", "verify", "--man=no", *units)
    assert (done.stdout, done.stderr) == ("", "")


def test_no_score_is_above_what_is_written_down() -> None:
    written = securitytable.written()
    measured = securitytable.measured()
    assert measured.keys() == written.keys(), "docs/security.md has other services: `make security-table`"
    worse = {unit: (score, written[unit]) for unit, score in measured.items() if score > written[unit]}
    assert not worse, "a sandbox has become weaker; if it must be, say why on the page and run `make security-table`"
    assert [unit for unit, score in measured.items() if score > securitytable.limit(unit)] == []
