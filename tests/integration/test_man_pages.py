# SPDX-License-Identifier: Apache-2.0
"""Man pages: sound, installed, complete, and leading to each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from telemd.configkeys import KEYS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/man"
WRITTEN = sorted(FOLDER.glob("*.[1-8]"))
PROGRAMS = re.findall(r"^  \['([\w-]+)', '", (ROOT / "bin/meson.build").read_text(), re.MULTILINE)
FUNCTIONS = re.findall(
    r"\b(tm_\w+)\(", re.sub(r"/\*.*?\*/", "", (ROOT / "libtelemetry/include/telemetry.h").read_text(), flags=re.DOTALL)
)


def settings_page() -> str:
    command = [sys.executable, "-I", "-m", "telemd.configtext", "man"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def complaints(text: str) -> str:
    command = ["mandoc", "-T", "lint", "-W", "warning"]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False).stdout


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_a_page_is_sound_and_leads_to_pages_that_are_there(page: Path) -> None:
    text = page.read_text()
    assert complaints(text) == ""
    ours = {each.name for each in WRITTEN} | {"telemetrics.conf.5"}
    named = {f"{name}.{section}" for name, section in re.findall(r"^\.Xr (\S+) (\d)", text, re.MULTILINE)}
    assert {each for each in named if each.startswith(("tele", "hprobe"))} <= ours


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_a_page_is_installed(page: Path) -> None:
    assert (Path(sys.prefix) / f"share/man/man{page.suffix[1:]}" / page.name).is_file()


UNITS = sorted(
    file.name.removesuffix(".in")
    for file in (ROOT / "systemd").iterdir()
    if file.name.removesuffix(".in").endswith((".service", ".socket", ".path", ".timer", ".target", ".slice"))
)


def test_the_overview_has_every_unit_and_leads_to_every_program() -> None:
    text = (FOLDER / "telemetrics.7").read_text()
    named = {name for line in re.findall(r"^\.It Pa (.*)$", text, re.MULTILINE) for name in line.split(" , ")}
    assert len(UNITS) > 15
    assert set(UNITS) <= named
    leads_to = set(re.findall(r"^\.Xr (\S+) \d", text.partition(".Sh SEE ALSO")[2], re.MULTILINE))
    assert set(PROGRAMS) <= leads_to


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_has_a_page(program: str) -> None:
    assert [page for page in WRITTEN if page.stem == program]


def test_the_library_s_page_has_every_function_and_each_its_name() -> None:
    text = (FOLDER / "telemetry.3").read_text()
    installed = set(re.findall(r"'(tm_\w+)'", (FOLDER / "meson.build").read_text()))
    assert FUNCTIONS
    for function in FUNCTIONS:
        assert f".Fn {function} " in text
        assert f".Nm {function}" in text
    assert installed == set(FUNCTIONS)


def test_every_setting_is_on_its_page() -> None:
    text = settings_page()
    assert complaints(text) == ""
    assert re.findall(r"^\.It Va (\S+) No", text, re.MULTILINE) == [key.name for key in KEYS]
