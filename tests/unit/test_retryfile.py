# SPDX-License-Identifier: Apache-2.0
"""How long a server is to be left alone outlives a restart, for that server and for sensible times only."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemd import retryfile

SERVER = "https://hub.example/v1/records"


def test_there_and_back(tmp_path: Path) -> None:
    retryfile.write(str(tmp_path), 1000.0, SERVER, 5, 120)
    assert retryfile.read(str(tmp_path), 1050.0, SERVER) == (5, 70)
    assert retryfile.read(str(tmp_path), 2000.0, SERVER) == (5, 0)


def test_another_server_starts_anew(tmp_path: Path) -> None:
    retryfile.write(str(tmp_path), 1000.0, SERVER, 5, 120)
    assert retryfile.read(str(tmp_path), 1050.0, "https://other.example/") == (0, 0)
    assert SERVER not in (tmp_path / retryfile.NAME).read_text()


def test_a_clock_set_back_does_not_silence(tmp_path: Path) -> None:
    retryfile.write(str(tmp_path), 10_000_000.0, SERVER, 5, 120)
    assert retryfile.read(str(tmp_path), 1000.0, SERVER) == (5, 0)


def test_removed(tmp_path: Path) -> None:
    retryfile.write(str(tmp_path), 1000.0, SERVER, 5, 120)
    retryfile.remove(str(tmp_path))
    retryfile.remove(str(tmp_path))
    assert retryfile.read(str(tmp_path), 1000.0, SERVER) == (0, 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"server": 1}', '{"failures": -1, "until_s": 5}', "\xff"])
def test_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / retryfile.NAME).write_text(text, encoding="latin-1")
    assert retryfile.read(str(tmp_path), 1000.0, SERVER) == (0, 0)


@pytest.mark.parametrize("failures", [0, -1, 1.5, "3", True, None])
def test_failures_that_are_none(tmp_path: Path, failures: object) -> None:
    retryfile.write(str(tmp_path), 1000.0, SERVER, failures, 120)  # type: ignore[arg-type]
    assert retryfile.read(str(tmp_path), 1050.0, SERVER) == (0, 0)
