# SPDX-License-Identifier: Apache-2.0
"""Separate debug files are found where gdb finds them, and only those that belong to the module."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from handmade import compile_c

from telemetry_probes.crash import elf
from telemetry_probes.crash.debugfiles import DebugFiles
from telemetry_probes.crash.sysroot import opener

SOURCE = "int main(void) { return 0; }\n"


def image_of(path: Path) -> elf.Image:
    image = elf.read(path.read_bytes(), str(path))
    assert image is not None
    return image


class Root:
    """A system with a stripped program at /opt/part/program; its debug file isn't there yet."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.path = folder / "root"
        program = compile_c(SOURCE, folder / "program", *flags)
        (self.path / "opt/part").mkdir(parents=True)
        self.debug = folder / "program.debug"
        subprocess.run(["objcopy", "--only-keep-debug", program, self.debug], check=True, timeout=60)
        subprocess.run(["strip", program], check=True, timeout=60)
        subprocess.run(["objcopy", f"--add-gnu-debuglink={self.debug}", program], check=True, timeout=60)
        self.program = self.path / "opt/part/program"
        shutil.copy(program, self.program)

    def put(self, place: str) -> None:
        target = self.path / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.debug, target)

    def found(self) -> str:
        """Where the debug file was found, or empty."""
        image = image_of(self.program)
        found = DebugFiles(opener(str(self.path))).of(image, "/opt/part/program", image.build_id)
        return found.path if found is not None else ""


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path, "-Wl,--build-id=sha1")


@pytest.fixture
def without_build_id(tmp_path: Path) -> Root:
    return Root(tmp_path, "-Wl,--build-id=none")


PLACES = ["/opt/part/program.debug", "/opt/part/.debug/program.debug", "/usr/lib/debug/opt/part/program.debug"]


@pytest.mark.parametrize("place", PLACES)
def test_by_the_link_s_name(root: Root, place: str) -> None:
    assert root.found() == ""
    root.put(place)
    assert root.found() == place


@pytest.mark.parametrize("place", PLACES)
def test_by_the_link_s_crc_where_there_is_no_build_id(without_build_id: Root, place: str) -> None:
    assert image_of(without_build_id.program).build_id == ""
    without_build_id.put(place)
    assert without_build_id.found() == place
    target = without_build_id.path / place.lstrip("/")
    target.write_bytes(target.read_bytes() + b"\0")
    assert without_build_id.found() == ""


def test_by_build_id_before_all_others(root: Root) -> None:
    build_id = image_of(root.program).build_id
    place = f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
    root.put(PLACES[0])
    root.put(place)
    assert root.found() == place


def test_a_file_of_another_build_is_not_used(root: Root, tmp_path: Path) -> None:
    build_id = image_of(root.program).build_id
    other = compile_c(SOURCE + "int more = 1;\n", tmp_path / "other", "-Wl,--build-id=sha1")
    assert image_of(other).build_id not in ("", build_id)
    root.debug = other
    for place in (*PLACES, f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug"):
        root.put(place)
    assert root.found() == ""


def test_a_program_with_debug_information_is_its_own(tmp_path: Path) -> None:
    program = compile_c(SOURCE, tmp_path / "program")
    image = image_of(program)
    assert DebugFiles(opener()).of(image, str(program), image.build_id) is image


@pytest.mark.parametrize("name", [b"../../etc/passwd", b"..", b".", b"", b"/etc/passwd", b"a" * 5000])
def test_a_link_leads_nowhere_else(root: Root, tmp_path: Path, name: bytes) -> None:
    link = tmp_path / "link"
    link.write_bytes(name + bytes(4 - len(name) % 4) + b"\1\2\3\4")
    subprocess.run(["objcopy", f"--update-section=.gnu_debuglink={link}", root.program], check=True, timeout=60)
    opened: list[str] = []
    image = image_of(root.program)

    def note(path: str) -> str:
        opened.append(path)
        return "not here"

    assert DebugFiles(note).of(image, "/opt/part/program", image.build_id) is None
    assert [path for path in opened if "passwd" in path or ".." in path] == []


def test_what_is_no_elf_file_is_none(root: Root) -> None:
    (root.path / "opt/part/program.debug").write_bytes(b"")
    (root.path / "opt/part/.debug").mkdir()
    (root.path / "opt/part/.debug/program.debug").write_text("no ELF file")
    assert root.found() == ""
