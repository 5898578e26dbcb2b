# SPDX-License-Identifier: Apache-2.0
"""telemhub on a Python that lacks what it needs: one sentence, and nothing made or listened to."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HUB = Path(__file__).parents[2] / "hub"
NEEDED = ("starlette", "uvicorn", "msgspec", "zstandard", "sdnotify")
"""httptools is not among them: the hub reads HTTP with the h11 that uvicorn brings along."""
TIMEOUT_S = 60.0


def bare(paths: list[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    """telemhub from its source, with the standard library and paths; no site directories, no environment."""
    code = (
        f"import sys; sys.path += {[str(path) for path in paths]!r}; from telemhub.main import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S
    )


def test_nothing_but_the_standard_library(tmp_path: Path) -> None:
    done = bare([HUB], "serve", "--data", str(tmp_path / "hub"), "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("telemhub: the hub needs ")
    assert "pip install '.[hub]'" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("missing", NEEDED)
def test_the_one_that_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    """A folder with links to everything there is but that one."""
    found = find_spec(missing)
    assert found is not None
    assert found.origin is not None
    site = Path(found.origin).parent if found.submodule_search_locations is None else Path(found.origin).parents[1]
    rest = tmp_path / "site"
    rest.mkdir()
    for each in site.iterdir():
        if each.name not in (missing, f"{missing}.py") and not each.name.startswith("telem"):
            (rest / each.name).symlink_to(each)
    done = bare([HUB, rest], "serve", "--data", str(tmp_path / "hub"), "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"telemhub: the hub needs {missing}, which "), done.stderr
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_what_needs_nothing_works_all_the_same(argument: str) -> None:
    done = bare([HUB], argument)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_of_our_own_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    """Installing can't mend that, so it isn't proposed."""
    broken = tmp_path / "telemhub"
    broken.mkdir()
    for name in ("__init__.py", "main.py"):
        (broken / name).symlink_to(HUB / "telemhub" / name)
    done = bare([tmp_path], "serve", "--data", str(tmp_path / "hub"), "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "No module named 'telemhub." in done.stderr
    assert "pip install" not in done.stderr
