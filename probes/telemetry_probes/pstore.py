# SPDX-License-Identifier: Apache-2.0
"""What a kernel left in pstore when it died: files of one dump put together again, and made text.

Names and heads are those of Linux, fs/pstore (dmesg-BACKEND-ID, and "Panic#2 Part3" as the first line, where part 1 is
the end of the text); efi puts time, part and count into the number. Pure: names and bytes in, values out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BACKENDS = ("efi_pstore", "efi", "ramoops", "erst", "nvram", "pstore_blk")
FILE_BYTES_MAX = 1 << 20
TEXT_BYTES_MAX = 1 << 20
"""Of one file, decompressed."""
FILES_MAX = 512
PARTS_MAX = 512
SAME_DUMP_S = 60
"""Parts of one dump are written within it."""
COMPRESSED = (".enc.z", ".Z", ".enc")

_ZSTD = b"\x28\xb5\x2f\xfd"


class Part:
    """One file. `reason`: Oops, Panic, Emergency and so on, empty where the file doesn't say; `number`: which of the
    boot; `part` counts from 1, the end of the text."""

    __slots__ = ("backend", "name", "number", "part", "reason", "text", "time_s")

    def __init__(self, name: str, backend: str, reason: str, number: int, part: int, text: str, time_s: int) -> None:
        self.name = name
        self.backend = backend
        self.reason = reason
        self.number = number
        self.part = part
        self.text = text
        self.time_s = time_s


class Dump:
    """What belongs together. `complete`: no part between the first and the last is missing."""

    __slots__ = ("complete", "names", "reason", "text", "time_s")

    def __init__(self, parts: Sequence[Part]) -> None:
        ordered = sorted(parts, key=lambda part: -part.part)
        self.names = [part.name for part in ordered]
        self.reason = ordered[0].reason
        self.text = "".join([part.text for part in ordered])
        self.time_s = max([part.time_s for part in ordered])
        numbers = [part.part for part in ordered]
        self.complete = numbers == list(range(len(numbers), 0, -1))


def backend_of(name: str) -> str | None:
    """Of a file that pstore names so; None for others, and for those that hold something else than the kernel's log."""
    for kind in ("dmesg-", "console-"):
        if name.startswith(kind):
            for backend in BACKENDS:
                rest = name[len(kind) + len(backend) :]
                if name.startswith(f"{kind}{backend}-") and _is_number(rest[1:].partition(".")[0]):
                    return backend
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def part(name: str, content: bytes, time_s: int) -> Part | str:
    """One file, or a sentence on why it can't be read. `time_s`: when it was last changed."""
    backend = backend_of(name)
    if backend is None:
        return "not a file of pstore with the kernel's log"
    text = _text(name, content)
    if text is None:
        return "it is compressed in a way that can't be read here: deflate, lz4 and zstd (with python3-zstandard) can"
    if name.startswith("console-"):
        return Part(name, backend, "console", 0, 1, _ended(text), time_s)
    head, _, rest = text.partition("\n")
    said = _head(head)
    if said is None:
        rest, said = text, ("", *_numbered(name, backend))
    elif backend.startswith("efi"):
        # several boots' dumps may lie there, and all begin counting at 1
        said = (said[0], said[1] + _stamp(name) * 1000, said[2])
    return Part(name, backend, said[0], said[1], said[2], _ended(rest), time_s)


def dumps(parts: Sequence[Part]) -> list[Dump]:
    """Put together, the oldest first; in whatever order the files came."""
    groups: list[list[Part]] = []
    for one in sorted(parts, key=lambda one: (one.time_s, one.name)):
        for group in groups:
            if _belongs(one, group):
                group.append(one)
                break
        else:
            groups.append([one])
    return [Dump(group) for group in groups]


def _belongs(one: Part, group: Sequence[Part]) -> bool:
    first = group[0]
    if (one.backend, one.reason, one.number) != (first.backend, first.reason, first.number) or one.reason == "console":
        return False
    return (
        len(group) < PARTS_MAX
        and abs(one.time_s - first.time_s) <= SAME_DUMP_S
        and all(one.part != other.part for other in group)
    )


def _ended(text: str) -> str:
    """A file may end within its last line's newline: the next part begins a line all the same."""
    return text if text.endswith("\n") or not text else text + "\n"


def _head(line: str) -> tuple[str, int, int] | None:
    """ "Panic#2 Part3"."""
    reason, hash_sign, rest = line.partition("#")
    number, word, which = rest.partition(" Part")
    if not (hash_sign and word and reason.isalpha() and _is_number(number) and _is_number(which)):
        return None
    if len(reason) > 32 or len(number) > 9 or len(which) > 6:
        return None
    return reason, int(number), int(which)


def _digits(name: str, backend: str) -> str:
    return name.partition(f"{backend}-")[2].partition(".")[0]


def _numbered(name: str, backend: str) -> tuple[int, int]:
    """Which dump and which part, by the name alone: efi writes (seconds * 100 + part) * 1000 + count."""
    digits = _digits(name, backend)
    if backend.startswith("efi") and 8 < len(digits) <= 20:
        return int(digits[-3:]) + int(digits[:-5]) * 1000, max(1, int(digits[-5:-3]))
    return int(digits[-18:]), 1


def _stamp(name: str) -> int:
    digits = name.rpartition("-")[2].partition(".")[0]
    return int(digits[:-5]) if 8 < len(digits) <= 20 else 0


def _text(name: str, content: bytes) -> str | None:
    if not name.endswith(COMPRESSED):
        return content.decode("utf-8", "replace")
    for attempt in (_zstd, _deflate, _lz4):
        found = attempt(content)
        if found is not None and _looks_like_text(found):
            return found.decode("utf-8", "replace")
    return None


def _looks_like_text(content: bytes) -> bool:
    sample = content[:4096]
    odd = sum([byte < 9 or 13 < byte < 32 or byte > 126 for byte in sample])
    return bool(sample) and odd * 20 <= len(sample)


def _zstd(content: bytes) -> bytes | None:
    if not content.startswith(_ZSTD):
        return None
    try:
        import zstandard
    except ImportError:
        return None
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(content)
        return reader.read(TEXT_BYTES_MAX)
    except zstandard.ZstdError:
        return None


def _deflate(content: bytes) -> bytes | None:
    """Raw, as the kernel's; or with zlib's head. What can't be read any more is left out."""
    from zlib import decompressobj, error

    for window in (-15, 15):
        unpacking = decompressobj(window)
        found = bytearray()
        try:
            for at in range(0, len(content), 512):
                found += unpacking.decompress(content[at : at + 512], TEXT_BYTES_MAX - len(found) + 1)
                if len(found) > TEXT_BYTES_MAX:
                    break
        except error:
            pass
        if len(found) >= 32:
            return bytes(found[:TEXT_BYTES_MAX])
    return None


def _lz4(content: bytes) -> bytes | None:
    """One block (lz4_Block_format.md): that is what the kernel writes, without a frame around it."""
    found = bytearray()
    at, end = 0, len(content)
    while at < end and len(found) <= TEXT_BYTES_MAX:
        token = content[at]
        at += 1
        literals, at = _length(content, at, token >> 4)
        if literals < 0 or at + literals > end:
            return None
        found += content[at : at + literals]
        at += literals
        if at >= end:
            break
        if at + 2 > end:
            return None
        distance = content[at] | content[at + 1] << 8
        matched, at = _length(content, at + 2, token & 15)
        if matched < 0 or not 0 < distance <= len(found):
            return None
        matched = min(matched + 4, TEXT_BYTES_MAX)
        begin = len(found) - distance
        while matched > 0:
            piece = found[begin : begin + matched]
            found += piece
            matched -= len(piece)
    return bytes(found[:TEXT_BYTES_MAX])


def _length(content: bytes, at: int, start: int) -> tuple[int, int]:
    """A length and where it ends; -1 where it goes past the end."""
    if start < 15:
        return start, at
    while at < len(content) and start <= TEXT_BYTES_MAX:
        more = content[at]
        start += more
        at += 1
        if more < 255 or start > TEXT_BYTES_MAX:
            return start, at
    return -1, at
