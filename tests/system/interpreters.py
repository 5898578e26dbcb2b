# SPDX-License-Identifier: Apache-2.0
"""Releases of Python besides the system's own, and one of them put into a machine with the packages that telemd needs.

Packages are those of requirements/dev.txt, with their hashes, and kept in build-python/ for the next run.
"""

from __future__ import annotations

import glob
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tomli

if TYPE_CHECKING:
    from booted import Machine

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build-python"
SUPPORTED = ((3, 10), (3, 14))
PLACES = (
    "/usr/bin/python3.1[0-9]",
    "/usr/local/bin/python3.1[0-9]",
    "/opt/*/bin/python3.1[0-9]",
    f"{pwd.getpwuid(os.getuid()).pw_dir}/.pyenv/versions/*/bin/python3.1[0-9]",
)
HOME = "/opt/python"
"""Where it lies in the machine: services don't see /root."""

VENV = "/opt/python-venv"


class Interpreter(NamedTuple):
    """release: as in 3.13."""

    path: Path
    release: str


def other() -> Interpreter | None:
    """The newest one that is supported and has another release than the system's; None where there is none."""
    found = {}
    for path in sorted(path for place in PLACES for path in glob.glob(place)):
        minor = int(path.rpartition(".")[2])
        if SUPPORTED[0] <= (3, minor) <= SUPPORTED[1] and minor != sys.version_info[1]:
            found[minor] = Interpreter(Path(path).resolve(), f"3.{minor}")
    return found[max(found)] if found else None


def _pinned() -> str:
    """The part of dev.txt that telemd needs when it runs."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["daemon"], "pycparser"]  # cffi's
    names = {re.split(r"[<>=]", each, maxsplit=1)[0] for each in needed}
    blocks = re.split(r"^(?=\S)", (ROOT / "requirements/dev.txt").read_text(), flags=re.MULTILINE)
    found = {each.partition("==")[0]: each for each in blocks}
    return "".join(found[name] for name in sorted(names))


def packages(interpreter: Interpreter) -> Path:
    """A directory with them, for its sys.path."""
    text = _pinned()
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    kept = KEPT / f"{interpreter.release}-{mark}"
    if kept.exists():
        return kept
    new = KEPT / f"{kept.name}.{os.getpid()}"
    new.mkdir(parents=True)
    pins = KEPT / f"{new.name}.txt"
    pins.write_text(text)
    # No variable of this interpreter's may reach the other one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    quiet = ("--quiet", "--disable-pip-version-check", "--use-pep517", "--require-hashes")
    command = [str(interpreter.path), "-m", "pip", "install", *quiet, "--target", str(new), "-r", str(pins)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    pins.unlink()
    if done.returncode:
        shutil.rmtree(new)
        raise AssertionError(f"its packages can't be installed:\n{done.stdout}{done.stderr}")
    if kept.exists():
        shutil.rmtree(new)
    else:
        new.rename(kept)
    return kept


def put_into(machine: Machine, interpreter: Interpreter) -> str:
    """The path of its python there. take_out() has to follow."""
    base = interpreter.path.parents[1]
    site = f"{VENV}/lib/python{interpreter.release}/site-packages"
    found = packages(interpreter)
    if base == Path("/usr"):
        home_python = str(interpreter.path)
    else:
        machine.shell(f"mkdir -p {HOME}; mount --bind {base} {HOME}")
        machine.write("/etc/ld.so.conf.d/telemetrics-test.conf", f"{HOME}/lib\n")  # it may have its libpython there
        machine.run("ldconfig")
        home_python = f"{HOME}/bin/{interpreter.path.name}"
    machine.shell(f"{home_python} -I -m venv --without-pip {VENV}; cp -r {found}/. {site}", timeout_s=120)
    return f"{VENV}/bin/python3"


def take_out(machine: Machine) -> None:
    """Nothing of it stays."""
    machine.shell(f"umount {HOME} 2>/dev/null || :; rm -rf {VENV}")
    machine.path("/etc/ld.so.conf.d/telemetrics-test.conf").unlink(missing_ok=True)
    machine.run("ldconfig")
