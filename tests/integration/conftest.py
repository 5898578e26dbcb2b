# SPDX-License-Identifier: Apache-2.0
"""What many tests have in common: those of the spool a folder, a disk that fails when it is told to and a sender, those
of probes a hub, those of telemctl a machine of their own, and one whose telemd runs."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from ailingdisk import AilingDisk
from feeding import Feeder
from hubprocess import HubProcess, hub_at
from machine import Machine, a_machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def spools_are_left_as_by_a_kill(request: pytest.FixtureRequest) -> Iterator[None]:
    """A spool that a test lets go as a kill does keeps its descriptors here, where no process has ended: they are
    closed behind the test."""
    folder = str(request.getfixturevalue("tmp_path")) if "tmp_path" in request.fixturenames else ""
    yield
    for number in os.listdir("/proc/self/fd") if folder else ():
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{number}").removesuffix(" (deleted)")
            name = path.rpartition("/")[2]
            if path.startswith(f"{folder}/") and (
                name in ("spool", "s", "ledger", "lock", "spare") or name.endswith(".seg")
            ):
                os.close(int(number))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool's; nothing is there."""
    return tmp_path / "spool"


@pytest.fixture
def disk(directory: Path) -> AilingDisk:
    """That folder, held; nothing fails yet."""
    return AilingDisk(directory)


@pytest.fixture
def feeder(tmp_path: Path) -> Iterator[Feeder]:
    made = Feeder(tmp_path / "s")
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """For tests that look only at what their own machine sent: `records(machine=...)`."""
    with hub_at(tmp_path_factory.mktemp("shared") / "hub") as hub:
        yield hub


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Not opted in."""
    with a_machine() as found:
        yield found


@pytest.fixture
def running(machine: Machine) -> Machine:
    machine.good("opt-in")
    machine.good("start")
    return machine
