# SPDX-License-Identifier: Apache-2.0
"""A system of its own for a test of telemctl: a state root, and the installed programs that work on it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from installed import BIN as BIN
from peer import StateRoot, state_root

from telemd.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 60
NOBODY = 65_534


class Machine:
    """A state root and the programs that work on it."""

    def __init__(self, root: StateRoot) -> None:
        self.root = root
        self.settings = Settings(state_root=str(root.path))

    def telemctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run("telemctl", "-f", str(self.root.config_file), *arguments, **options)

    def good(self, *arguments: str) -> str:
        done = self.telemctl(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def command(self, verb: str) -> str:
        """How advice names a verb."""
        return f"telemctl -f {self.root.config_file} {verb}"

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.telemctl("status", "--json").stdout)
        return found

    def send(self) -> None:
        done = run("hprobe", "-f", str(self.root.config_file))
        assert done.returncode == 0, done

    def write(self, path: str, text: str = "x") -> Path:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def settle(self, journal_lines: int) -> None:
        """telemd writes the journal within a second or so."""
        journal = Path(self.settings.journal_path)
        deadline = time.monotonic() + TIMEOUT_S
        while not journal.exists() or journal.read_bytes().count(b"\n") < journal_lines:
            assert time.monotonic() < deadline, "the journal was not written"
            time.sleep(0.02)


def run(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / program), *arguments],
        capture_output=options.pop("capture_output", True),
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        **options,
    )


@contextlib.contextmanager
def a_machine() -> Iterator[Machine]:
    """Not opted in; telemd is stopped at the end."""
    with state_root(opted_in=False) as root:
        found = Machine(root)
        try:
            yield found
        finally:
            stopped = found.telemctl("stop")
        assert stopped.returncode == 0, stopped


def wait_for_end(process: int) -> bool:
    """Of a pidfd."""
    watch = select.poll()
    watch.register(process, select.POLLIN)
    ended = bool(watch.poll(TIMEOUT_S * 1000))
    os.close(process)
    return ended
