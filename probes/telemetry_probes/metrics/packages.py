# SPDX-License-Identifier: Apache-2.0
"""Package managers: how many packages are installed, and for how many an update waits. dpkg with apt-get, rpm with dnf
or zypper, pacman, apk; each is asked offline, for what it has fetched last.

Numbers alone leave this: no name or version of a package.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.commands import ENVIRONMENT, Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.metrics.places import Places

SECONDS_MAX = 300.0
"""Of one program: the service has a fifth of a processor."""
OUTPUT_BYTES_MAX = 8 << 20
PACKAGES_MAX = 200_000
DPKG = "/var/lib/dpkg/status"
RPM = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
PACMAN = "/var/lib/pacman/local"
APK = ("/usr/lib/apk/db/installed", "/lib/apk/db/installed")
_PIECE_BYTES = 65_536
_LINE_BYTES_MAX = 1 << 20


class Counts:
    """None: the manager doesn't say."""

    __slots__ = ("installed", "security", "updates")

    def __init__(self, installed: int | None, updates: int | None = None, security: int | None = None) -> None:
        self.installed = installed
        self.updates = updates
        self.security = security


def managers(places: Places) -> list[str]:
    """The names of those that this system has packages of."""
    return [name for name in ("dpkg", "rpm", "pacman", "apk") if _there[name](places)]


def counts(places: Places, manager: str, now_s: float) -> Counts:
    """Of one of managers(). now_s: seconds since the boot. OSError: a program of it was too slow."""
    return _counts[manager](places, now_s)


def there(places: Places, path: str) -> bool:
    """Whether there is a file of that name."""
    try:
        posix.close(places.opened(path))
    except OSError:
        return False
    return True


def lines_beginning(places: Places, path: str, *begins: bytes) -> int | None:
    """How many lines of a file of any size begin so. None: it can't be read."""
    try:
        fd = places.opened(path)
    except OSError:
        return None
    wanted = [b"\n" + begin for begin in begins]
    found = 0
    rest = b"\n"
    try:
        while piece := posix.read(fd, _PIECE_BYTES):
            rest += piece
            # The last line may go on.
            end = rest.rfind(b"\n")
            found += sum(rest.count(begin, 0, end) for begin in wanted)
            rest = rest[end:][:_LINE_BYTES_MAX]
        return found + sum(rest.count(begin) for begin in wanted)
    except OSError:
        return None
    finally:
        posix.close(fd)


def waiting_of_apt(output: bytes) -> tuple[int, int]:
    """(updates, those for security) of `apt-get --simulate dist-upgrade`, whose lines are as
    `Inst bash [5.2.15-2+b8] (5.2.15-2+b13 Debian:12.15/oldstable [amd64])`. What it would install anew is none."""
    updates = security = 0
    for line in output.split(b"\n"):
        if line.startswith(b"Inst ") and line[5:].partition(b" ")[2].startswith(b"["):
            updates += 1
            security += b"-security" in line.partition(b"(")[2].lower()
    return updates, security


def waiting_of_dnf(output: bytes) -> int:
    """Of `dnf check-update`: a line `NAME.ARCH VERSION REPOSITORY` each, until the packages that replace others."""
    updates = 0
    for line in output.split(b"\n"):
        if line.startswith(b"Obsoleting"):
            break
        fields = line.split()
        updates += len(fields) == 3 and b"." in fields[0] and not line.startswith(b" ")
    return updates


def security_of_dnf(output: bytes) -> int:
    """Packages in `dnf updateinfo list --security`: `ADVISORY Important/Sec. PACKAGE`, or, since dnf 5,
    `ADVISORY security Important PACKAGE DATE`."""
    found: set[bytes] = set()
    for line in output.split(b"\n"):
        fields = line.split()
        if len(fields) >= 3 and fields[1].endswith(b"/Sec."):
            found.add(fields[2])
        elif len(fields) >= 4 and fields[1] == b"security":
            found.add(fields[3])
    return len(found)


def waiting_of_zypper(output: bytes) -> int:
    """Of `zypper list-updates`: a table, whose first column is v for an update."""
    return sum(line.startswith(b"v ") for line in output.split(b"\n"))


def waiting_of_pacman(output: bytes) -> int:
    """Of `pacman -Qu`: `NAME OLD -> NEW`, and [ignored] behind those that its owner holds back."""
    return sum(b" -> " in line and not line.endswith(b"[ignored]") for line in output.split(b"\n"))


def waiting_of_apk(output: bytes) -> int:
    """Of `apk list --upgradable`."""
    return output.count(b" [upgradable from: ")


def _of_dpkg(places: Places, now_s: float) -> Counts:
    installed = lines_beginning(places, DPKG, b"Status: install ok installed", b"Status: hold ok installed")
    said = _said(places, now_s, (0,), "apt-get", "--simulate", "-qq", "-o", "Debug::NoLocking=true", "dist-upgrade")
    return Counts(installed) if said is None else Counts(installed, *waiting_of_apt(said))


def _of_rpm(places: Places, now_s: float) -> Counts:
    names = _said(places, now_s, (0,), "rpm", "--query", "--all", "--queryformat", "%{NAME}\n")
    # Keys are in the same database.
    installed = None if names is None else sum(name not in (b"", b"gpg-pubkey") for name in names.split(b"\n"))
    said = _said(places, now_s, (0, 100), "dnf", "--cacheonly", "--quiet", "check-update")
    if said is not None:
        security = _said(places, now_s, (0,), "dnf", "--cacheonly", "--quiet", "updateinfo", "list", "--security")
        return Counts(installed, waiting_of_dnf(said), None if security is None else security_of_dnf(security))
    said = _said(places, now_s, (0,), "zypper", "--quiet", "--non-interactive", "--no-refresh", "list-updates")
    return Counts(installed, None if said is None else waiting_of_zypper(said))


def _of_pacman(places: Places, now_s: float) -> Counts:
    # A folder each, and a file with the version of the database.
    names = places.listed(PACMAN, PACKAGES_MAX)
    said = _said(places, now_s, (0, 1), "pacman", "-Qu")
    return Counts(sum(name != "ALPM_DB_VERSION" for name in names), None if said is None else waiting_of_pacman(said))


def _of_apk(places: Places, now_s: float) -> Counts:
    installed = next((found for path in APK if (found := lines_beginning(places, path, b"P:")) is not None), None)
    said = _said(places, now_s, (0,), "apk", "--no-network", "list", "--upgradable")
    return Counts(installed, None if said is None else waiting_of_apk(said))


def _said(places: Places, now_s: float, statuses: tuple[int, ...], name: str, *arguments: str) -> bytes | None:
    """What the program prints; None: it isn't there, or doesn't end in one of these ways."""
    path = places.program(name)
    if not path:
        return None
    # apt-get writes what it has checked of a list into a file that nobody else sees; /tmp is read-only in the service.
    room = places.environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    environment = {**ENVIRONMENT, "TMPDIR": room} if room else ENVIRONMENT
    ran = Program(path, SECONDS_MAX, OUTPUT_BYTES_MAX, environment).run(now_s, *arguments)
    return ran.output if ran.status in statuses else None


_there = {
    "dpkg": lambda places: there(places, DPKG),
    "rpm": lambda places: any(places.listed(folder, 1) for folder in RPM),
    "pacman": lambda places: bool(places.listed(PACMAN, 1)),
    "apk": lambda places: any(there(places, path) for path in APK),
}
_counts = {"dpkg": _of_dpkg, "rpm": _of_rpm, "pacman": _of_pacman, "apk": _of_apk}
