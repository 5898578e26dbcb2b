# SPDX-License-Identifier: Apache-2.0
"""C++'s mangled names made readable by `__cxa_demangle` of the C++ library (Itanium C++ ABI, chapter 3).

A name of 100 bytes can unfold to gigabytes, and the names come out of files that may be hostile. So the library is
loaded into a child process with little memory and time; what kills the child costs the name at hand, not the report.
"""

from __future__ import annotations

import posix
import sys
import time

LIBRARIES = ("libstdc++.so.6", "libc++abi.so.1")
NAMES_MAX = 4096
NAME_MAX = 2048
"""Bytes of a mangled name; longer ones stay as they are."""
TEXT_MAX = 8192
"""Bytes of a readable name; a longer one is given up, since half a name would be another function's."""
CHILD_MEMORY = 64 << 20
CHILD_CPU_S = 1
CHILDREN_MAX = 3
"""Children one after another, where names kill them."""
ANSWER_BYTES = 4


def readable(names: list[str], seconds: float) -> dict[str, str]:
    """Readable forms of those `names` that have one; takes at most about `seconds`. Never raises."""
    found: dict[str, str] = {}
    waiting = [name for name in names[:NAMES_MAX] if len(name) <= NAME_MAX and name.isascii()]
    deadline = time.monotonic() + seconds
    for _ in range(CHILDREN_MAX):
        left = deadline - time.monotonic()
        if not waiting or left <= 0:
            break
        try:
            # Half of what is left, so that the names after one that never ends get their turn.
            answers = _ask_child(waiting, deadline - left / 2)
        except OSError:  # no process or descriptor to be had: mangled names will do
            break
        found.update({name: text for name, text in zip(waiting, answers, strict=False) if text})
        waiting = waiting[len(answers) + 1 :]  # without the one that the child died of
    return found


def _ask_child(names: list[str], deadline: float) -> list[str]:
    """The child's answers in order, fewer than names where it died; empty is a name that can't be read."""
    read_end, write_end = posix.pipe()
    try:
        child = posix.fork()
    except OSError:
        posix.close(read_end)
        posix.close(write_end)
        raise
    if child == 0:
        try:
            _answer(names, write_end)
        finally:
            posix._exit(0)
    posix.close(write_end)
    try:
        return _read_answers(read_end, deadline)
    finally:
        posix.close(read_end)
        posix.kill(child, 9)
        posix.waitpid(child, 0)


def _read_answers(descriptor: int, deadline: float) -> list[str]:
    from select import POLLIN, poll

    poller = poll()
    poller.register(descriptor, POLLIN)
    received = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            break
        piece = posix.read(descriptor, 65536)
        if not piece:
            break
        received += piece
    answers, at = [], 0
    while at + ANSWER_BYTES <= len(received):
        size = int.from_bytes(received[at : at + ANSWER_BYTES], "little")
        at += ANSWER_BYTES
        if at + size > len(received):
            break
        answers.append(received[at : at + size].decode("utf-8", "replace"))
        at += size
    return answers


def _answer(names: list[str], descriptor: int) -> None:
    """In the child: one answer a name, each written before the next is tried."""
    _set_limits()
    import _cffi_backend as ffi  # type: ignore[import-untyped]

    char_pointer = ffi.new_pointer_type(ffi.new_primitive_type("char"))
    size_pointer = ffi.new_pointer_type(ffi.new_primitive_type("size_t"))
    status_pointer = ffi.new_pointer_type(ffi.new_primitive_type("int"))
    text_type = ffi.new_array_type(char_pointer, None)
    signature = ffi.new_function_type((char_pointer, char_pointer, size_pointer, status_pointer), char_pointer)
    demangle = None
    for library in LIBRARIES:
        try:
            loaded = ffi.load_library(library, ffi.RTLD_LAZY | ffi.RTLD_LOCAL)
            demangle = loaded.load_function(signature, "__cxa_demangle")
            break
        except (OSError, AttributeError):
            continue
    if demangle is None:
        return
    status = ffi.newp(status_pointer)
    nothing, no_size = ffi.cast(char_pointer, 0), ffi.cast(size_pointer, 0)
    for name in names:
        # What it allocates is left to the end of the child.
        result = demangle(ffi.newp(text_type, name.encode()), nothing, no_size, status)
        text = ffi.string(result, TEXT_MAX + 1) if result and status[0] == 0 else b""
        if len(text) > TEXT_MAX:
            text = b""
        _write(descriptor, len(text).to_bytes(ANSWER_BYTES, "little") + text)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[posix.write(descriptor, content) :]


def _set_limits() -> None:
    """Little memory and time, and no core: the kernel takes a limit of 1 as "don't ask the crash handler again"."""
    import resource

    with open("/proc/self/statm", "rb") as statm:
        pages = int(statm.read(64).split()[0])
    for limit, value in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + CHILD_MEMORY),
        (resource.RLIMIT_CPU, CHILD_CPU_S),
        (resource.RLIMIT_CORE, 1),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError):  # the limit was lower already
            if limit != resource.RLIMIT_CORE:
                sys.exit(0)
