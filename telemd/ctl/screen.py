# SPDX-License-Identifier: Apache-2.0
"""The terminal: may it be coloured, how large it is, and a page that is drawn again and again in its place.

Whatever happens, the terminal is left as it was found. What is on the page is its verb's affair.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, TextIO

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_LINE_END: Final = "\x1b[K\r\n"
_PAGE_END: Final = "\x1b[J"

COLUMNS: Final = 80
LINES: Final = 24


def is_capable(stream: TextIO) -> bool:
    """A terminal on which the cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def in_colour(stream: TextIO) -> bool:
    """On a terminal that has colours, unless the user doesn't want them (no-color.org)."""
    return is_capable(stream) and not os.environ.get("NO_COLOR")


def size() -> tuple[int, int]:
    """Columns and lines."""
    found = shutil.get_terminal_size((COLUMNS, LINES))
    return found.columns, found.lines


class Page:
    """Draws over what it drew before; leaves with q, or Ctrl-C (KeyboardInterrupt). Where standard output is no such
    terminal each page is printed below the other."""

    def __init__(self) -> None:
        self.in_place = is_capable(sys.stdout)
        self._before: Any = None

    def __enter__(self) -> Page:
        if self.in_place:
            if sys.stdin.isatty():
                import termios
                import tty

                self._before = termios.tcgetattr(sys.stdin)
                tty.setcbreak(sys.stdin)
            sys.stdout.write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        if self.in_place:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
            if self._before is not None:
                import termios

                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def draw(self, text: str) -> None:
        """The next page."""
        if self.in_place:
            sys.stdout.write(_HOME + text.replace("\n", _LINE_END) + _PAGE_END)
        else:
            sys.stdout.write(f"{text}\n\n")
        sys.stdout.flush()

    def wait(self, seconds: float) -> bool:
        """Until the next page is due; False where the user has pressed q."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            if self._before is None:
                time.sleep(left_s)
            elif select.select([sys.stdin], [], [], left_s)[0] and os.read(sys.stdin.fileno(), 64)[:1] in (b"q", b""):
                return False
        return True
