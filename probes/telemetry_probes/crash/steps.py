# SPDX-License-Identifier: Apache-2.0
"""How far a handler came: the process that works says it, the one that waits for it reads it when it failed."""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    AtStep = Callable[[str], None]
    """Called at the beginning of each step with its name."""

OPENING, GIVING_UP, COUNTING, READING, NAMING, SENDING, DONE = ALL = (
    "opening what is known of the process", "giving up rights", "counting", "reading and unwinding", "finding names",
    "sending", "done",
)  # fmt: skip
"""In their order; said to people."""
_BYTES_MAX = 4096


class Steps:
    """The writing end."""

    __slots__ = ("_at_step", "_fd")

    def __init__(self, fd: int, at_step: AtStep | None = None) -> None:
        self._fd = fd
        self._at_step = at_step

    def at(self, step: str) -> None:
        """This step begins now."""
        posix.write(self._fd, f"{step}\n".encode())
        if self._at_step is not None:
            self._at_step(step)

    def fault(self, why: str) -> None:
        """It ends here, because of this."""
        posix.write(self._fd, f"!{why[:1024]}\n".encode("utf-8", "replace"))


def read(fd: int) -> tuple[str, str]:
    """The last step that was begun, and the fault, which may be empty. To be asked when the writer is gone."""
    step, fault = "starting", ""
    for line in posix.read(fd, _BYTES_MAX).decode("utf-8", "replace").split("\n"):
        if line.startswith("!"):
            fault = line[1:]
        elif line in ALL:
            step = line
    return step, fault
