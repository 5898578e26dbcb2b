# SPDX-License-Identifier: Apache-2.0
"""Separate debug files, found as gdb finds them (gdb's manual, "Separate Debug Files"), and only those that belong.

A file is the right one when its build-id is that of the module, or, where one of them has none, when its CRC is the
one that `.gnu_debuglink` names. Names in ELF files are hostile: a link's name never leaves the directories it is
looked for in. What is inside a debug file is for `symbols` and `lines`.
"""

from __future__ import annotations

import posix
from mmap import ACCESS_READ, mmap

from telemetry_probes.crash import elf, sysroot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_probes.crash.elf import Image

DEBUG_DIRECTORY = "/usr/lib/debug"
CRC_BYTES_MAX = 512 << 20
"""Of a file whose CRC has to be worked out, a second for each gigabyte."""
NAME_BYTES_MAX = 4096


class DebugFiles:
    """Looks for debug files; `open_file` opens them, and says which root that is below and what isn't read at all."""

    __slots__ = ("_open_file",)

    def __init__(self, open_file: sysroot.OpenFile) -> None:
        self._open_file = open_file

    def of(self, image: Image, path: str, build_id: str) -> Image | None:
        """The file with the debug information of `image`, which is itself where it has some.

        `path` is where the image lies, without the root; `build_id` that of what was mapped.
        """
        if image.header(".debug_info") is not None or image.header(".zdebug_info") is not None:
            return image
        if build_id and (found := self._by_build_id(build_id)) is not None:
            return found
        link = image.section(".gnu_debuglink", NAME_BYTES_MAX)
        if link is None:
            return None
        content = bytes(link)
        name = content[: content.find(0)]
        crc_at = len(name) + 4 & ~3
        if not name or b"/" in name or name in (b".", b"..") or len(content) < crc_at + 4:
            return None
        crc = int.from_bytes(content[crc_at : crc_at + 4], "little")
        for candidate in _link_places(path, name.decode("utf-8", "surrogateescape")):
            if candidate == path:
                continue
            found = self._open(candidate)
            if found is not None and _belongs(found, build_id, crc):
                return found
        return None

    def alternate(self, debug_image: Image) -> Image | None:
        """The file that dwz moved shared debug information into, as `.gnu_debugaltlink` names it."""
        link = debug_image.section(".gnu_debugaltlink", NAME_BYTES_MAX)
        if link is None:
            return None
        raw_name, _, raw_id = bytes(link).partition(b"\0")
        build_id = raw_id.hex()
        if not raw_name or not build_id:
            return None
        name = raw_name.decode("utf-8", "surrogateescape")
        if not name.startswith("/"):
            name = debug_image.path.rpartition("/")[0] + "/" + name
        found = self._open(name)
        return found if found is not None and found.build_id == build_id else self._by_build_id(build_id)

    def _open(self, path: str) -> Image | None:
        opened = self._open_file(path)
        if isinstance(opened, str):
            return None
        try:
            return elf.read(mmap(opened, 0, access=ACCESS_READ), path)
        except (OSError, ValueError, OverflowError):
            return None  # empty, or of a file system that can't map
        finally:
            posix.close(opened)

    def _by_build_id(self, build_id: str) -> Image | None:
        found = self._open(f"{DEBUG_DIRECTORY}/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
        return found if found is not None and found.build_id == build_id else None


def _link_places(path: str, name: str) -> Iterator[str]:
    directory = path.rpartition("/")[0]
    yield f"{directory}/{name}"
    yield f"{directory}/.debug/{name}"
    yield f"{DEBUG_DIRECTORY}{directory}/{name}"


def _belongs(found: Image, build_id: str, crc: int) -> bool:
    if build_id and found.build_id:
        return found.build_id == build_id
    if len(found.data) > CRC_BYTES_MAX:
        return False
    from zlib import crc32

    return crc32(found.data) == crc
