# SPDX-License-Identifier: Apache-2.0
"""The bytes of a section of an ELF file as they were before they were compressed (gABI, SHF_COMPRESSED).

What is compressed is hostile: how much may come of it is asked for first, and nothing here raises. The libraries
that do it are loaded when the first such section is met.
"""

from __future__ import annotations

ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD = 1, 2


def decompressed(content: memoryview, kind: int, size: int, limit: int) -> memoryview | None:
    """`content` as `size` bytes (ELFCOMPRESS_...); None above `limit`, or where it isn't what it says. Never raises."""
    if not 0 < size <= limit:
        return None
    if kind == ELFCOMPRESS_ZLIB:
        import zlib

        try:
            plain = zlib.decompressobj().decompress(content, size)
        except zlib.error:
            return None
    elif kind == ELFCOMPRESS_ZSTD:
        plain = _zstd(content, size)
    else:
        return None
    return memoryview(plain) if len(plain) == size else None


def _zstd(content: memoryview, size: int) -> bytes:
    """At most `size` bytes, none where it can't be done. libzstd is there wherever dpkg, rpm or systemd is."""
    import ctypes

    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        return b""
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    try:
        plain = bytearray(size)
    except MemoryError:
        return b""
    into = (ctypes.c_char * size).from_buffer(plain)
    compressed = bytes(content)
    written = library.ZSTD_decompress(into, size, compressed, len(compressed))
    del into
    return b"" if library.ZSTD_isError(written) else bytes(plain[:written])
