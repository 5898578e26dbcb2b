# SPDX-License-Identifier: Apache-2.0
"""Which of our units failed, as systemctl(1) prints it, also where it prints nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemd.ctl import units

ROOT = Path(__file__).parents[2]
# systemctl 252
SHOWN = """\
Result=exit-code
Id=metricprobe.service
ActiveState=activating
SubState=auto-restart

Result=success
Id=telemd.service
ActiveState=active
SubState=running

Result=success
Id=hprobe.service
ActiveState=inactive
SubState=dead

Result=trigger-limit-hit
Id=telemd.socket
ActiveState=failed
SubState=failed

Result=success
Id=journalprobe.service
ActiveState=activating
SubState=auto-restart

Id=telemetrics.target
ActiveState=active
SubState=active
"""


def told(shown: str) -> list[tuple[str, str, bool]]:
    return [(each.name, each.result, each.is_tried_again) for each in units.failed_of(shown)]


def test_those_that_failed_and_those_that_do_so_again_and_again() -> None:
    assert told(SHOWN) == [
        ("metricprobe.service", "exit-code", True),
        ("telemd.socket", "trigger-limit-hit", False),
    ]


@pytest.mark.parametrize("shown", ["", "\n\n\n", "Id=", "x", "=\n\n=", "ActiveState=failed\nSubState=failed"])
def test_what_tells_of_no_unit(shown: str) -> None:
    assert told(shown) == []


def test_what_is_told_is_bounded_and_plain() -> None:
    blocks = [f"Id={at:03}{'x' * 500}\x1b[2J.service\nActiveState=failed\nResult=\x1b[2J\n" for at in range(500)]
    found = units.failed_of("\n".join(blocks))
    assert len(found) == units.FAILED_MAX
    assert all(len(each.name) <= units.NAME_MAX and "\x1b" not in each.name + each.result for each in found)


def test_every_unit_of_ours_is_asked_for() -> None:
    kinds = (".service", ".socket", ".path", ".timer", ".target")
    names = {path.name.removesuffix(".in") for path in (ROOT / "systemd").iterdir()}
    assert set(units.OURS) == {name for name in names if name.endswith(kinds) and "@" not in name}
