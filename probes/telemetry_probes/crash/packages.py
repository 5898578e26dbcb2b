# SPDX-License-Identifier: Apache-2.0
"""Which package a file is of, by the package manager's own database, without running it. dpkg's: dpkg(1), the lists in
/var/lib/dpkg/info and the paragraphs of /var/lib/dpkg/status. rpm's is in `rpmdb`."""

from __future__ import annotations

import posix

from telemetry_probes.crash import rpmdb

DPKG = "/var/lib/dpkg"
LISTS_MAX = 20_000
LIST_BYTES_MAX = 32 << 20
STATUS_BYTES_MAX = 64 << 20
_MERGED = ("/usr/bin/", "/usr/sbin/", "/usr/lib", "/bin/", "/sbin/", "/lib")


class Package:
    """`manager` is dpkg or rpm; `version` may be empty."""

    __slots__ = ("manager", "name", "version")

    def __init__(self, manager: str, name: str, version: str) -> None:
        self.manager = manager
        self.name = name
        self.version = version


def owner(path: str, dpkg: str = DPKG, rpm: tuple[str, ...] = rpmdb.DATABASES) -> Package | None:
    """The package that put `path` there; None where none did, or it can't be told. Never raises."""
    found = _of_dpkg(path, dpkg)
    if found is None and (of_rpm := rpmdb.owner(_spellings(path), rpm)) is not None:
        return Package("rpm", *of_rpm)
    return found


def _of_dpkg(path: str, dpkg: str) -> Package | None:
    try:
        names = [name for name in posix.listdir(f"{dpkg}/info") if name.endswith(".list")][:LISTS_MAX]
    except OSError:
        return None
    wanted = [f"\n{each}\n".encode("utf-8", "surrogateescape") for each in _spellings(path)]
    program = path.rpartition("/")[2]
    # Most programs have much of their package's name.
    names.sort(key=lambda name: (not name.startswith(program[:4]), name))
    for name in names:
        content = _content(f"{dpkg}/info/{name}", LIST_BYTES_MAX)
        if any(each in content for each in wanted):
            package = name.removesuffix(".list").partition(":")[0]
            return Package("dpkg", package, _version(package, f"{dpkg}/status"))
    return None


def _spellings(path: str) -> list[str]:
    """A merged /usr has the same file in two places, and the package names either."""
    if path.startswith("/usr/") and path.startswith(_MERGED):
        return [path, path.removeprefix("/usr")]
    return [path, f"/usr{path}"] if path.startswith(_MERGED) else [path]


def _version(package: str, status: str) -> str:
    content = _content(status, STATUS_BYTES_MAX)
    head = f"Package: {package}\n".encode()
    start = 0 if content.startswith(head) else content.find(b"\n" + head) + 1
    if not start and not content.startswith(head):
        return ""
    end = content.find(b"\n\n", start)
    for line in content[start : end if end >= 0 else len(content)].split(b"\n"):
        if line.startswith(b"Version: "):
            return line.removeprefix(b"Version: ").decode("utf-8", "replace")
    return ""


def _content(path: str, bytes_max: int) -> bytes:
    found = b""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return found
    try:
        size = min(posix.fstat(fd).st_size, bytes_max)
        while len(found) < size and (more := posix.read(fd, size - len(found))):
            found += more
    except OSError:
        pass
    finally:
        posix.close(fd)
    return found
