# SPDX-License-Identifier: Apache-2.0
"""Where CPython keeps what a backtrace needs: offsets in its structures, for 3.9 to 3.14 on 64 bit machines.

Up to 3.12 they are offsetof() of the headers (Include/internal) of those versions, whose layout doesn't change within
one; since 3.13 the interpreter carries them itself (`_Py_DebugOffsets` at the start of `_PyRuntime`). No memory is read
here but those.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Memory

COOKIE = b"xdebugpy"
OFFSET_MAX = 1 << 20
"""Bytes; PyInterpreterState has about 230,000."""


class Layout:
    """Offsets in bytes, None where a version has no such field.

    `interpreters` in `_PyRuntime`; `next_interpreter` and `threads` in an interpreter; `next_thread`, `thread_id`,
    `native_id` and `frame` in a thread, there to `inner_frame` of another structure up to 3.12; `previous`, `code`,
    `instruction`, `owner` and `is_entry` in a frame; `filename`, `name`, `first_line`, `line_table` and `instructions`
    in a code object; `text_length`, `text_state` and the sizes of the two string headers; `bytes_size`, `bytes_start`.
    """

    __slots__ = (
        "ascii_size", "bytes_size", "bytes_start", "code", "compact_size", "filename", "first_line", "frame",
        "inner_frame", "instruction", "instructions", "interpreters", "is_entry", "line_table", "name", "native_id",
        "next_interpreter", "next_thread", "owner", "previous", "text_length", "text_state", "thread_id", "threads",
        "version",
    )  # fmt: skip

    def __init__(self, version: tuple[int, int], offsets: dict[str, int]) -> None:
        """`offsets` by the names above; the sizes of strings and bytes are those of the version if nothing else."""
        self.version = version
        self.interpreters = offsets["interpreters"]
        self.next_interpreter = offsets["next_interpreter"]
        self.threads = offsets["threads"]
        self.next_thread = offsets["next_thread"]
        self.thread_id = offsets["thread_id"]
        self.native_id = offsets.get("native_id")
        self.frame = offsets["frame"]
        self.inner_frame = offsets.get("inner_frame")
        self.previous = offsets["previous"]
        self.code = offsets["code"]
        self.instruction = offsets["instruction"]
        self.owner = offsets.get("owner")
        self.is_entry = offsets.get("is_entry")
        self.filename = offsets["filename"]
        self.name = offsets["name"]
        self.first_line = offsets["first_line"]
        self.line_table = offsets["line_table"]
        self.instructions = offsets.get("instructions")
        self.text_length = offsets.get("text_length", 16)
        self.text_state = offsets.get("text_state", 32)
        self.ascii_size = offsets.get("ascii_size", 40 if version >= (3, 12) else 48)
        self.compact_size = self.ascii_size + (16 if version >= (3, 12) else 24)
        self.bytes_size = offsets.get("bytes_size", 16)
        self.bytes_start = offsets.get("bytes_start", 32)


_OLD = {
    "interpreters": 32, "next_interpreter": 0, "threads": 8, "next_thread": 8, "thread_id": 176, "frame": 24,
    "previous": 24, "code": 32, "filename": 104, "name": 112, "first_line": 40, "line_table": 120,
}  # fmt: skip
LAYOUTS = {
    (3, 9): Layout((3, 9), {**_OLD, "instruction": 104}),
    (3, 10): Layout((3, 10), {**_OLD, "instruction": 96}),
    (3, 11): Layout((3, 11), {
        "interpreters": 40, "next_interpreter": 0, "threads": 16, "next_thread": 8, "thread_id": 152, "native_id": 160,
        "frame": 56, "inner_frame": 8, "previous": 48, "code": 32, "instruction": 56, "is_entry": 68,
        "filename": 112, "name": 128, "first_line": 72, "line_table": 136, "instructions": 184,
    }),
    (3, 12): Layout((3, 12), {
        "interpreters": 40, "next_interpreter": 0, "threads": 72, "next_thread": 8, "thread_id": 136, "native_id": 144,
        "frame": 56, "inner_frame": 0, "previous": 8, "code": 0, "instruction": 56, "owner": 70,
        "filename": 112, "name": 128, "first_line": 68, "line_table": 136, "instructions": 192,
    }),
}  # fmt: skip

# The fields of _Py_DebugOffsets behind cookie, version and free_threaded, 8 bytes each: which of them are wanted, in
# their order, `-` for those that aren't. 3.14 has five more among them.
_DEBUG_OFFSETS = {
    (3, 13): (
        "- - interpreters  - - next_interpreter threads - - - - - - - - -"
        "  - - next_thread - frame thread_id native_id - -  - previous code instruction - owner"
        "  - filename - name line_table first_line - - - instructions  - -  - - - -  - - -  - - -  - - -  - -  - - -"
        "  - bytes_size bytes_start  - text_state text_length ascii_size"
    ).split(),
    (3, 14): (
        "- - interpreters  - - next_interpreter threads - - - - - - - - - - - -"
        "  - - next_thread - frame thread_id native_id - -  - previous code instruction - owner - -"
        "  - filename - name line_table first_line - - - instructions -  - -  - - - -  - - -  - - -  - - - -  - - -"
        "  - -  - - -  - bytes_size bytes_start  - text_state text_length ascii_size"
    ).split(),
}  # fmt: skip


def read(memory: Memory, runtime: int) -> Layout | None:
    """The layout that the interpreter says it has, whose `_PyRuntime` lies at `runtime`; None before 3.13."""
    header = memory.read(runtime, 24)
    if header is None or header[:8] != COOKIE:
        return None
    # PY_VERSION_HEX: 0x030d00f0 is 3.13.0
    version = header[11], header[10]
    names = _DEBUG_OFFSETS.get(version)
    content = memory.read(runtime + 24, 8 * len(names)) if names is not None else None
    if names is None or content is None:
        return None
    offsets = dict(zip(names, Struct(f"<{len(names)}Q").unpack(content), strict=True))
    del offsets["-"]
    return Layout(version, offsets) if all(offset < OFFSET_MAX for offset in offsets.values()) else None
