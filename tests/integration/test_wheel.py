# SPDX-License-Identifier: Apache-2.0
"""`pip wheel .` gives a wheel that works in an empty environment with cffi alone. Needs no network: the build uses what
.venv has, and cffi is copied from there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("libtelemetry", "telemd", "telemetry_probes", "telemhub")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # meson, cffi-gen-src
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def pip(*arguments: str | Path) -> str:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built in a copy: it leaves nothing in the tree and takes nothing from an earlier one."""
    tree = tmp_path_factory.mktemp("tree") / "telemetrics"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "build-*", "tests", "__pycache__", ".*_cache", "*.pyc")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    house = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", house, tree)
    [path] = house.iterdir()
    return path


@pytest.fixture(scope="module")
def empty_venv(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A virtual environment with the wheel, cffi and nothing else."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in ("cffi", "pycparser"):
        for file in distribution(name).files or []:
            if ".." not in file.parts:  # scripts
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)
    pip("--python", python, "install", "--quiet", "--no-index", wheel)
    return venv


def test_holds_packages_and_extensions_and_no_source_of_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert set(PACKAGES) <= tops
    assert all(top in PACKAGES or top.endswith((".dist-info", ".data")) for top in tops), tops
    extensions = {Path(name).name.partition(".")[0] for name in names if name.endswith(".so")}
    assert extensions == {"_native", "_engine", "_confine"}
    assert not [name for name in names if name.endswith((".c", ".h", ".build", ".pyc"))]
    assert [name for name in names if name.endswith("LICENSE")]


def test_extensions_need_libc_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".so"):
                dynamic = run("readelf", "-d", archive.extract(name, tmp_path))
                needed = {
                    line.partition("[")[2].partition("]")[0] for line in dynamic.splitlines() if "(NEEDED)" in line
                }
                assert needed <= {"libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2"}, (name, needed)


def test_dependencies_are_satisfied_by_cffi_alone(empty_venv: Path) -> None:
    assert "No broken requirements" in pip("--python", empty_venv / "bin/python", "check")


def test_library_works_in_the_empty_venv(empty_venv: Path, tmp_path: Path) -> None:
    text = "import libtelemetry as t; r = t.Record('a/b/c', 'x'); print(len(r.record_id), t.__file__)"
    length, where = run(empty_venv / "bin/python", "-I", "-c", text, cwd=tmp_path).split(maxsplit=1)
    assert length == "16"
    assert where.startswith(str(empty_venv))


@pytest.mark.parametrize("program", ["hprobe", "telem-record-gen"])
def test_program_starts_in_the_empty_venv(empty_venv: Path, program: str) -> None:
    assert "0.1.0" in run(empty_venv / "bin" / program, "--version")
