# SPDX-License-Identifier: Apache-2.0
"""Asking systemctl which of our units failed: it may tell nothing, or never come back."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

import pytest

from telemd.ctl import units
from telemd.ctl.call import Call

SHOWN = """\
Id=metricprobe.service
ActiveState=activating
SubState=auto-restart
Result=exit-code

Id=telemd.service
ActiveState=active
SubState=running
Result=success
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name to write, on a machine that says that systemd runs it."""
    monkeypatch.setattr(units, "BOOTED", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program = tmp_path / "systemctl"
    program.touch(0o755)
    return program


def asked() -> list[units.FailedUnit] | None:
    return units.failed(Call(None, Namespace()))


def test_it_is_asked_once_and_for_all(systemctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "ASKING_S", 60.0)
    (tmp_path / "shown").write_text(SHOWN)
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexec cat {tmp_path}/shown\n')
    found = asked()
    assert found is not None and [each.name for each in found] == ["metricprobe.service"]
    [line] = (tmp_path / "asked").read_text().splitlines()
    assert set(units.OURS) < set(line.split())


@pytest.mark.parametrize("script", ["exit 1", "exec sleep 600", r"printf '\377\376'"])
def test_one_that_does_not_tell_is_not_waited_for(
    systemctl: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(units, "ASKING_S", 0.5)
    systemctl.write_text(f"#!/bin/sh\n{script}\n")
    began_s = time.monotonic()
    assert asked() is None
    assert time.monotonic() - began_s < 60


def test_without_systemctl_nothing_is_told(systemctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl.unlink()
    monkeypatch.setenv("PATH", str(systemctl.parent))
    assert asked() is None


def test_without_systemd_nobody_is_asked(systemctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    monkeypatch.setattr(units, "BOOTED", str(tmp_path / "none"))
    assert asked() == []
    monkeypatch.setattr(units, "BOOTED", str(tmp_path))
    assert units.failed(Call("/nowhere/own.conf", Namespace(), in_any_case=True)) == []
    assert not (tmp_path / "asked").exists()
