# SPDX-License-Identifier: Apache-2.0
"""The folder examples/ and the pages about it: a copy to work in, programs run there as their pages say, and the blocks
of code of a page. No test stands here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from installed import PREFIX
from running import BIN, TIMEOUT_S

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = ("own-probe", "own-server", "reading")
LIBRARY = PREFIX / "lib"
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "PKG_CONFIG_PATH": str(LIBRARY / "pkgconfig"),
    "LD_LIBRARY_PATH": str(LIBRARY),
    "LC_ALL": "C.UTF-8",
}


def copied(to: Path) -> Path:
    """A copy of examples/: what is run leaves files there."""
    return Path(shutil.copytree(EXAMPLES, to / "examples", ignore=shutil.ignore_patterns("__pycache__")))


def needs(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip(f"needs {name} (apt install it)")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def good(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = run(*command, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


class LogProbe:
    """probe.py with a state and a log in a folder of its own."""

    def __init__(self, folder: Path, config_file: Path) -> None:
        self.folder = folder
        self.log = folder / "some.log"
        self.state = folder / "some.state"
        self.command = (sys.executable, "probe.py", "-f", config_file, self.state, self.log)

    def write(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text)

    def run(self) -> None:
        assert good(*self.command, cwd=self.folder) == ""


def lines_of(records: list[dict[str, Any]], word: str) -> list[str]:
    """The lines among them that a test has marked with its word."""
    lines = [json.loads(each["payload"])["line"] for each in records]
    return sorted(line for line in lines if word in line)


class Block(NamedTuple):
    language: str
    file: str
    text: str


def page(name: str) -> str:
    return (ROOT / f"docs/{name}.md").read_text()


def blocks(name: str) -> list[Block]:
    return [
        Block(*found) for found in re.findall(r"^```(\w*) ?(\S*)\n(.*?)^```$", page(name), re.MULTILINE | re.DOTALL)
    ]
