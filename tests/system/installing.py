# SPDX-License-Identifier: Apache-2.0
"""telemetrics installed in a machine: by packages, or as `make install` does it from this tree, which is there, too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from booted import Machine

ROOT = Path(__file__).parents[2]
PREFIX = "/usr/local"
TARGET = "telemetrics.target"
UNITS = (TARGET, "telemd.service", "telemd.socket", "telemd.path", "telemd-courier.socket", "hprobe.timer")
"""What runs after an opt-in."""


class Packages(NamedTuple):
    """Paths in the machine. newer: the same files under a higher version."""

    current: str
    newer: str
    hub: str


def install_py(machine: Machine, *arguments: str) -> None:
    """scripts/install.py."""
    machine.shell(f"cd {ROOT}; {sys.executable} scripts/install.py {' '.join(arguments)}", timeout_s=300)


def configured(machine: Machine, build: str, python: str) -> None:
    """A build for that Python, ready to be installed."""
    install_py(machine, "configure", build, "--prefix", PREFIX, "--python", python)
    machine.run("ninja", "-C", build, "--quiet", timeout_s=300)
