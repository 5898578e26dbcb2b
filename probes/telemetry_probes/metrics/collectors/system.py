# SPDX-License-Identifier: Apache-2.0
"""The system as a whole: since when it is up, who is on it, its kernel and its distribution.

/proc/uptime and /proc/stat (proc(5)), os-release(5), the users of systemd-logind or of utmp(5). No host name, no user's
name: a machine that wants to be known has a name in its identity.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "uptime, processes begun, users, kernel and distribution"
INTERVAL_S = 300.0
QUICK = True

UPTIME = Metric("system.uptime", "s", GAUGE, "Time since the boot, asleep or not")
BOOT_TIME = Metric("x.system.boot_time", "s", GAUGE, "When it was booted, in seconds since 1970")
CREATED = Metric("system.process.created", "{process}", COUNTER, "Processes and threads begun since the boot")
USERS = Metric("x.system.users", "{user}", GAUGE, "Users that are logged in")
INFO = Metric("x.system.info", "1", GAUGE, "1; the attributes tell kernel, distribution, architecture and processor")
METRICS = (UPTIME, BOOT_TIME, CREATED, USERS, INFO)

PROC_UPTIME, STAT, CPUINFO = "/proc/uptime", "/proc/stat", "/proc/cpuinfo"
KERNEL = "/proc/sys/kernel"
OS_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
LOGIND_USERS, UTMP = "/run/systemd/users", "/run/utmp"
UTMP_BYTES = 384
"""Of an entry, on every 64-bit Linux."""
USER_PROCESS = 7
USERS_MAX = 4096
WORD_CHARS_MAX = 128


class Collector:
    """Opens its files anew: it is asked seldom."""

    def __init__(self, places: Places, _: Mapping[str, Option]) -> None:
        self.series: Sequence[Series] = ()
        self._places = places
        self._known: dict[str, str] = {}
        try:
            places.read(PROC_UPTIME, 64)
        except OSError:
            raise Absent(f"{PROC_UPTIME} can't be read: /proc is not mounted") from None

    def sample(self, _: float) -> Sequence[Value]:
        facts = self._facts()
        if facts != self._known or not self.series:
            self._known = facts
            self.series = (
                UPTIME.series(),
                BOOT_TIME.series(),
                CREATED.series(),
                USERS.series(),
                INFO.series(*facts.items()),
            )
        booted_s, created = since_boot(self._places.read(STAT))
        return uptime_s(self._places.read(PROC_UPTIME, 64)), booted_s, created, self._users(), 1

    def close(self) -> None:
        """Nothing is open."""

    def _facts(self) -> dict[str, str]:
        places = self._places
        found = {
            "host.arch": places.word(f"{KERNEL}/arch") or ("" if places.root else posix.uname().machine),
            "host.cpu.model.name": processor(self._content(CPUINFO, 4096)),
            "x.kernel.release": places.word(f"{KERNEL}/osrelease"),
            **distribution(next(filter(None, (self._content(name, 65_536) for name in OS_RELEASES)), b"")),
        }
        return {name: word for name, text in found.items() if (word := shown(text))}

    def _content(self, name: str, bytes_max: int) -> bytes:
        try:
            return self._places.read(name, bytes_max)
        except OSError:
            return b""

    def _users(self) -> Value:
        if self._places.listed("/run/systemd", 1):
            return len([name for name in self._places.listed(LOGIND_USERS, USERS_MAX) if name.isdecimal()])
        try:
            return utmp_users(self._places.read(UTMP, USERS_MAX * UTMP_BYTES))
        except OSError:
            return None  # a machine without logins, as a container


def uptime_s(text: bytes) -> Value:
    """The first of the two; None where it doesn't say."""
    words = text.split()
    try:
        found = float(words[0]) if len(words) == 2 and text.endswith(b"\n") else -1.0
    except ValueError:
        return None
    return found if 0 <= found < 1e12 else None


def since_boot(text: bytes) -> tuple[Value, Value]:
    """btime and processes of /proc/stat; None for one that isn't there."""
    found: dict[bytes, int] = {}
    for line in text.split(b"\n")[:-1]:
        name, _, value = line.partition(b" ")
        if name in (b"btime", b"processes") and value.isdigit():
            found[name] = int(value)
    return found.get(b"btime"), found.get(b"processes")


def distribution(text: bytes) -> dict[str, str]:
    """os.name and os.version: NAME and VERSION_ID of os-release, without their quotes."""
    found = {"os.name": "", "os.version": ""}
    for line in text.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition("=")
        known = {"NAME": "os.name", "VERSION_ID": "os.version"}.get(name.strip())
        if known:
            found[known] = value.strip().strip("\"'")
    return found


def processor(text: bytes) -> str:
    """The model that the first part of /proc/cpuinfo names; "" where it names none."""
    first, end, _ = text.partition(b"\n\n")
    for line in (first + end[:1]).split(b"\n")[:-1]:
        name, colon, value = line.partition(b":")
        if colon and name.strip() in (b"model name", b"cpu model", b"Processor"):
            return value.strip().decode("utf-8", "replace")
    return ""


def utmp_users(content: bytes) -> int:
    """The different users of entries of a login: a type of 4 bytes, at byte 44 the name of 32."""
    found: set[bytes] = set()
    for at in range(0, len(content) - UTMP_BYTES + 1, UTMP_BYTES):
        if int.from_bytes(content[at : at + 2], "little") == USER_PROCESS:
            found.add(content[at + 44 : at + 76].partition(b"\0")[0])
    return len(found)


def shown(text: str) -> str:
    """On one line, and not too long."""
    return "".join(char if char.isprintable() else "?" for char in text.strip()[:WORD_CHARS_MAX])
