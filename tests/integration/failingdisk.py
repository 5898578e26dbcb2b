# SPDX-License-Identifier: Apache-2.0
"""A disk that fails on command, for a telemd of its own: tests/c/failing_disk.c, compiled and preloaded.

Says what fails and reads what did; what telemd ought to make of it is the tests' affair.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from running import Root

SOURCE = Path(__file__).parents[1] / "c/failing_disk.c"
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE=", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
CALLS = ("pwrite", "fdatasync", "open", "unlink")


class FailingDisk:
    """The spool of one root. env is for telemd."""

    def __init__(self, root: Root, directory: Path) -> None:
        library = directory / "failing_disk.so"
        made = subprocess.run(["cc", *FLAGS, "-o", library, SOURCE, "-ldl"], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        self._how = directory / "how"
        self._how.mkdir()
        self.env = {"LD_PRELOAD": str(library), "FAILING_BELOW": str(root.spool), "FAILING_HOW": str(self._how)}

    def fail(self, call: str, code: int, times: int | None = None) -> None:
        """This call fails with that number from now on, or so many times."""
        assert call in CALLS
        new = self._how / "new"
        new.write_text(f"{code} {times}\n" if times is not None else f"{code}\n")
        new.rename(self._how / call)

    def heal(self) -> None:
        """Nothing fails any more."""
        for call in CALLS:
            (self._how / call).unlink(missing_ok=True)

    @contextlib.contextmanager
    def failing(self, code: int, *calls: str) -> Iterator[None]:
        """These calls fail in here."""
        for call in calls:
            self.fail(call, code)
        yield
        self.heal()

    def failed(self) -> list[tuple[str, str]]:
        """What has failed so far: the call and the file's name."""
        log = self._how / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(line.split()[0], Path(line.split()[1]).name) for line in lines]
