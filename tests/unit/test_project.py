# SPDX-License-Identifier: Apache-2.0
"""What is written down in more than one place about the project says the same everywhere."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import tomli

import telemd
import telemetry_probes
import telemhub

ROOT = Path(__file__).parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = {
    re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower(): line.partition("==")[2].split()[0]
    for line in (ROOT / "requirements/dev.txt").read_text().splitlines()
    if "==" in line and not line.startswith((" ", "#"))
}


def test_version_is_the_same_everywhere() -> None:
    found = re.search(r"^  version: '([0-9.]+)',$", (ROOT / "meson.build").read_text(), re.MULTILINE)
    assert found is not None
    assert {telemd.__version__, telemhub.__version__, telemetry_probes.VERSION} == {found[1]}


@pytest.mark.parametrize("target", sorted(PROJECT["scripts"].values()))
def test_program_of_the_wheel_can_be_called_without_arguments(target: str) -> None:
    """A wheel's console script calls main() as it is; the launchers of bin/ give it sys.argv."""
    module, _, function = target.partition(":")
    signature = inspect.signature(getattr(importlib.import_module(module), function))
    signature.bind()
    signature.bind(["program"])


def test_every_program_has_a_launcher_of_the_same_module() -> None:
    launchers = dict(re.findall(r"\['([\w-]+)', '([\w.]+)'\]", (ROOT / "bin/meson.build").read_text()))
    scripts = {name: target.partition(":")[0] for name, target in PROJECT["scripts"].items()}
    assert launchers == {**scripts, "telemd-courier": "telemd.courier"}


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_pinned_versions_are_within_the_ranges_of_the_extras(extra: str) -> None:
    for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]:
        name, _, least = requirement.partition(">=")
        pinned = [int(part) for part in PINNED[name].split(".")]
        assert pinned >= [int(part) for part in least.split(".")], requirement


@pytest.mark.parametrize("name", ["dev.txt", "mutants.txt"])
def test_every_pin_has_its_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    for block in re.split(r"\n(?=\S)", text):
        if "==" in block:
            assert "--hash=sha256:" in block, block
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_every_service_that_stays_has_a_watchdog() -> None:
    units = {path.name.removesuffix(".in"): path.read_text() for path in (ROOT / "systemd").glob("*.service.in")}
    leaves = ("Type=oneshot\n", "RemainAfterExit=yes\n")
    stay = {name for name, text in units.items() if not any(line in text for line in leaves)}
    watched = {name for name, text in units.items() if re.search(r"^WatchdogSec=[1-9]", text, re.MULTILINE)}
    assert stay - watched == set()
    assert stay >= {"telemd.service", "telemd-courier@.service", "journalprobe.service", "metricprobe.service"}
