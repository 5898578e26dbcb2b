# SPDX-License-Identifier: Apache-2.0
"""README.md keeps its word: its section on a first record is run as it stands, what it names is there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests
from running import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PREFIX = Path(sys.prefix)
README = (ROOT / "README.md").read_text()
DEVELOPMENT = (ROOT / "docs/development.md").read_text()
TIMEOUT_S = 60.0
PORT = "8080"
"""In the README; another one is taken for it here."""

SENT = {
    "org.clearlinux/hello/world": "hello\n",
    "example.org/disk/space": "Filesystem",
    "example.org/first/from-c": "hello from C\n",
    "example.org/first/from-python": "hello from Python\n",
}


class Block(NamedTuple):
    language: str
    file: str
    text: str


def blocks(section: str) -> list[Block]:
    """The code of one section."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [Block(*found) for found in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short path, which sockets need; it looks like the checkout, too."""
    directory = Path(tempfile.mkdtemp(prefix="tmr-", dir="/var/tmp"))
    (directory / ".venv").symlink_to(PREFIX)
    yield directory
    shutil.rmtree(directory)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


class Shell:
    """bash, that is told line after line and stops at the first failure."""

    def __init__(self, home: Path) -> None:
        self.log = home / "shell.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-e"],
                cwd=home,
                env={**os.environ, "HOME": str(home)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
def shell(home: Path) -> Iterator[Shell]:
    started = Shell(home)
    yield started
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
    started.process.communicate()
    conf = home / "telemetry/telemd.conf"
    if conf.exists():
        subprocess.run([PREFIX / "bin/telemctl", "-f", conf, "stop"], check=True, capture_output=True)


def test_a_first_record_goes_as_it_is_written(home: Path, shell: Shell) -> None:
    port = free_port()
    before_home = {each.name for each in home.iterdir()}
    (home / "telemetry").mkdir()
    found = [block._replace(text=block.text.replace(PORT, port)) for block in blocks("A first record")]
    for block in found:
        if block.file:
            (home / "telemetry" / block.file).write_text(block.text)
    *before, last = [block.text for block in found if block.language == "sh"]
    assert len(before) == 4
    for text in before:
        shell.type(text)

    def arrived() -> dict[str, str]:
        assert shell.process.poll() is None, shell.said()
        try:
            page = requests.get(f"http://127.0.0.1:{port}/api/v1/records", timeout=TIMEOUT_S).json()
        except requests.ConnectionError:
            return {}  # the hub isn't up yet
        return {record["classification"]: record["payload"] for record in page["records"]}

    wait_until(lambda: arrived().keys() >= SENT.keys(), "all records are at the hub", 2 * TIMEOUT_S)
    assert arrived().keys() == SENT.keys()
    assert all(payload.startswith(SENT[name]) for name, payload in arrived().items())

    shell.type(last)
    shell.process.communicate(timeout=TIMEOUT_S)
    assert shell.process.returncode == 0, shell.said()
    assert len(re.findall(r"^on disk", shell.said(), re.MULTILINE)) == 2, shell.said()
    assert "all is well" in shell.said(), "the selftest"
    assert "telemd was stopped" in shell.said()
    assert {each.name for each in home.iterdir()} - before_home == {"telemetry"}, "nothing is left in the checkout"


@pytest.mark.parametrize("page", ["README.md", "docs/development.md", "docs/ARCHITECTURE.md"])
def test_what_a_page_links_to_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    assert links
    missing = [link for link in links if "://" not in link and not ((ROOT / page).parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("text", [README, DEVELOPMENT], ids=["README.md", "docs/development.md"])
def test_every_make_command_is_a_target(text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
    assert named
    assert named <= targets


def test_every_program_but_the_workers_is_shown() -> None:
    """telemd starts one of them, pstoreprobe's unit the other."""
    built = set(re.findall(r"^  \['([\w-]+)', '", (ROOT / "bin/meson.build").read_text(), re.MULTILINE))
    told = README.partition("## What works today")[2].partition("## How it is built")[0]
    shown = set(re.findall(r"`([\w-]+)", told)) & built
    assert shown == built - {"telemd-courier", "pstoreclean"}
    assert [name for name in built if not (PREFIX / "bin" / name).is_file()] == []


def test_budgets_are_those_of_the_suite() -> None:
    table = DEVELOPMENT.partition("<!-- the budgets of")[2].partition("<!-- the end of")[0]
    told = {kind: int(minutes) for kind, minutes in re.findall(r"^\| (\w+) \| (\d+) \|", table, re.MULTILINE)}
    source = (ROOT / "tests/conftest.py").read_text().partition("BUDGET_MINUTES = {")[2].partition("}")[0]
    assert told == {kind: int(minutes) for kind, minutes in re.findall(r'"(\w+)": (\d+)', source)}


def test_the_picture_is_one_and_small() -> None:
    picture = (ROOT / "docs/images/hub.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 200_000
