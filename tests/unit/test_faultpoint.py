# SPDX-License-Identifier: Apache-2.0
"""Every fault point is somewhere in telemd, once; nothing in the product arms one."""

from __future__ import annotations

import ast
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from telemd import faultpoint

TELEMD = Path(__file__).parents[2] / "telemd"


def calls(function: str) -> list[str]:
    """The first argument of each call of a function of that name, in all of telemd."""
    found = []
    for path in TELEMD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(point)), *_]
                ) if name == function:
                    found.append(point)
    return found


def test_every_point_is_reached_in_one_place() -> None:
    assert Counter(calls("reached")) == Counter(faultpoint.POINTS)


def test_nothing_in_the_product_arms_one() -> None:
    assert not calls("arm")
    armed_by = [path.name for path in TELEMD.rglob("*.py") if "faultpoint.arm" in path.read_text()]
    assert not armed_by


def test_an_unknown_point_cannot_be_armed() -> None:
    with pytest.raises(ValueError, match="no-such-point"):
        faultpoint.arm("no-such-point", 0)


def test_an_armed_point_ends_the_process_when_its_time_has_come() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        faultpoint.arm("settled", 2)
        for turn in range(5):
            faultpoint.reached("evicted")
            faultpoint.reached("settled")
            os.write(write, b"%d" % turn)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        passed = said.read()
    _, status = os.waitpid(child, 0)
    assert (passed, os.waitstatus_to_exitcode(status)) == (b"01", -signal.SIGKILL)


def test_as_it_is_installed_no_point_ends_anything() -> None:
    for point in faultpoint.POINTS:
        faultpoint.reached(point)
