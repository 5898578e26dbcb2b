# SPDX-License-Identifier: Apache-2.0
"""What a process was, from the files of /proc/PID: its unit, its container, how long it ran, how much memory it had.

The files' layouts: proc(5), cgroups(7). A process can write its own name into some of them. Pure: bytes in, values out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.jsontext import Value

TICKS_A_SECOND = 100
"""USER_HZ, which is the same on every machine."""
ARGUMENTS_CHARS_MAX = 2048
_NAME_CHARS_MAX = 128
_CONTAINER_DIGITS = 64
_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")
_MEMORY = {"VmRSS": "memory_kib", "VmHWM": "memory_peak_kib", "VmSwap": "swapped_kib"}
_HEX = frozenset("0123456789abcdef")


def unit(cgroup: bytes) -> str:
    """The systemd unit, innermost; empty where it was in none."""
    for part in reversed(_path(cgroup)):
        if part.endswith(_UNITS) and len(part) <= _NAME_CHARS_MAX:
            return part
    return ""


def is_users(cgroup: bytes) -> bool:
    """Was it in a user's session, or of a user's own manager? Its unit may have any name then, also one of the
    system's."""
    return "user.slice" in _path(cgroup)


def container(cgroup: bytes) -> str:
    """The id of the container (docker, podman, containerd, cri-o: 64 hexadecimal digits), or the name that lxc and
    systemd-nspawn gave it; empty where it was in none."""
    for part in reversed(_path(cgroup)):
        for word in part.removesuffix(".scope").replace(":", "-").split("-"):
            if len(word) == _CONTAINER_DIGITS and _HEX.issuperset(word):
                return word
        if part.startswith("lxc.payload."):
            return part.removeprefix("lxc.payload.")[:_NAME_CHARS_MAX]
        if part.startswith("machine-") and part.endswith(".scope"):
            return part[len("machine-") : -len(".scope")][:_NAME_CHARS_MAX]
    return ""


def memory(status: bytes) -> dict[str, Value]:
    """In KiB, as far as /proc/PID/status has it."""
    found: dict[str, Value] = {}
    for line in status.split(b"\n"):
        name, colon, rest = line.partition(b":")
        field = _MEMORY.get(name.decode("ascii", "replace")) if colon else None
        words = rest.split()
        if field is not None and len(words) == 2 and words[0].isdigit() and words[1] == b"kB":
            found[field] = int(words[0][:18])
    return found


def has_other_rights(status: bytes) -> bool:
    """Are its rights those of several users or groups? Set-id programs are so, unless they gave up one of them."""
    rights = (line for line in status.split(b"\n") if line.startswith((b"Uid:", b"Gid:")))
    return any(len(set(line.split()[1:4])) > 1 for line in rights)


def name(stat: bytes) -> str:
    """Of the process, as it called itself: 15 bytes of anything."""
    return stat.partition(b"(")[2].rpartition(b")")[0].decode("utf-8", "replace")


def uptime_s(stat: bytes, uptime: bytes) -> int | None:
    """Whole seconds since it began, from /proc/PID/stat and /proc/uptime."""
    fields = stat.rpartition(b")")[2].split()
    now = uptime.split()
    if len(fields) < 20 or not fields[19].isdigit() or not now:
        return None
    try:
        return max(0, int(float(now[0]) - int(fields[19]) / TICKS_A_SECOND))
    except ValueError:
        return None


def hard_core_limit(limits: bytes) -> int | None:
    """In bytes; None where there is none, or it isn't known."""
    for line in limits.split(b"\n"):
        if line.startswith(b"Max core file size"):
            words = line.removeprefix(b"Max core file size").split()
            if len(words) >= 2 and words[1].isdigit():
                return int(words[1])
    return None


def arguments(cmdline: bytes) -> str:
    """The command line with blanks between the arguments."""
    return cmdline.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")[:ARGUMENTS_CHARS_MAX]


def _path(cgroup: bytes) -> list[str]:
    """In version 2 where that is used for more than its root, else in systemd's own hierarchy of version 1."""
    chosen = b""
    for line in cgroup.split(b"\n"):
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if (controllers == b"name=systemd" and not chosen) or (number == b"0" and not controllers and path != b"/"):
            chosen = path
    return [part for part in chosen.decode("utf-8", "replace").split("/") if part]
