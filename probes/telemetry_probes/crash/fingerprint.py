# SPDX-License-Identifier: Apache-2.0
"""Two numbers that are equal for two crashes of the same fault: one by where it is, one by what it is called.

`by_offset` is exact for one build: build-id and offset of each frame. `by_name` outlives a rebuild: names, without what
changes from one build to the next. Neither depends on which debug files are installed: only a name that the module's
own tables have counts, and inlined functions, files and lines don't. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FRAMES_MAX = 16
"""From the innermost on: what is further out is more often the way there than the fault."""

UNNAMED_MAX = 4
"""Functions without a name that follow each other in plumbing."""

PLUMBING = frozenset((
    "abort", "raise", "gsignal", "pthread_kill", "__pthread_kill", "__pthread_kill_implementation",
    "__pthread_kill_internal", "tgkill", "kill", "syscall", "__libc_message", "__libc_fatal", "malloc_printerr",
    "__assert_fail", "__assert_fail_base", "__assert_perror_fail", "__assert", "__chk_fail", "__fortify_fail",
    "__stack_chk_fail", "__stack_chk_fail_local", "_int_free", "_int_malloc", "_int_realloc", "__libc_free",
    "__libc_malloc", "__libc_realloc", "__libc_calloc", "malloc", "calloc", "realloc", "free", "malloc_consolidate",
    "unlink_chunk", "tcache_get", "tcache_put", "__restore_rt", "__kernel_rt_sigreturn",
    "std::terminate()", "__cxxabiv1::__terminate(void (*)())", "__cxa_throw", "__cxa_rethrow",
    "__gnu_cxx::__verbose_terminate_handler()", "std::__throw_logic_error(char const*)",
    "std::panicking::begin_panic_handler", "core::panicking::panic", "core::panicking::panic_fmt",
    "rust_begin_unwind", "rust_panic", "std::process::abort", "runtime.raise", "runtime.dieFromSignal",
    "runtime.sigfwdgo", "runtime.sigtrampgo", "runtime.sigpanic", "runtime.gopanic", "runtime.fatalpanic",
    "runtime.sigtramp", "runtime.sigreturn", "runtime.sigreturn__sigaction", "runtime.sighandler", "runtime.crash",
    "runtime.panicmem", "runtime.fatalthrow", "runtime.fatalthrow.func1", "runtime.systemstack", "runtime.throw",
    "runtime.fatal",
))  # fmt: skip
"""How a process ends once something is wrong: the same for every fault, so that it tells none from another."""


class Point:
    """A frame as far as it counts here."""

    __slots__ = ("build_id", "name", "offset")

    def __init__(self, build_id: str, offset: int, name: str) -> None:
        """`build_id` of the module, or its name where it has none, empty outside of all; `offset` in it; `name` as the
        module's own tables have it, demangled, empty where they don't."""
        self.build_id = build_id
        self.offset = offset
        self.name = name


def by_offset(points: Sequence[Point]) -> str:
    """32 hexadecimal digits; empty without a frame."""
    return _digest([f"{point.build_id}+{point.offset:x}" for point in _telling(points)])


def by_name(points: Sequence[Point]) -> str:
    """32 hexadecimal digits; empty without a frame. A frame without a name counts by its place."""
    return _digest([normalised(point.name) or f"{point.build_id}+{point.offset:x}" for point in _telling(points)])


def normalised(name: str) -> str:
    """Without arguments of templates and calls, and without Rust's hash: what a rebuild of the same source keeps."""
    kept: list[str] = []
    depth = 0
    at = 0
    while at < len(name):
        char = name[at]
        if name.startswith("operator", at):
            end = at + len("operator")
            while end < len(name) and name[end] in "<>=-!+*/%^&|~[]":
                end += 1
            if name[end : end + 2] == "()" and end == at + len("operator"):
                end += 2
            if depth == 0:
                kept.append(name[at:end])
            at = end
            continue
        if char in "<(" and not (char == "(" and name.startswith("(anonymous", at)):
            depth += 1
        elif char in ">)" and depth:
            depth -= 1
        elif depth == 0:
            kept.append(char)
        at += 1
    plain = "".join(kept).strip()
    head, mark, hashed = plain.rpartition("::h")
    if mark and len(hashed) == 16 and not set(hashed) - set("0123456789abcdef"):
        plain = head
    return plain or name


def _telling(points: Sequence[Point]) -> Sequence[Point]:
    """Without the plumbing at the inner end, unless there is nothing else."""
    begin = 0
    for at, point in enumerate(points):
        if _is_plumbing(point):
            # What has no name is plumbing, too, where its own library's plumbing called it: an inner function of libc
            if any(each.build_id != point.build_id for each in points[begin:at]):
                break
            begin = at + 1
        elif point.name or at - begin >= UNNAMED_MAX:
            break
    return (points[begin:] or points)[:FRAMES_MAX]


def _is_plumbing(point: Point) -> bool:
    return point.name in PLUMBING or normalised(point.name) in PLUMBING


def _digest(parts: list[str]) -> str:
    if not parts:
        return ""
    from _blake2 import blake2b  # hashlib loads OpenSSL, which takes longer than all of this

    digest: str = blake2b("\n".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return digest
