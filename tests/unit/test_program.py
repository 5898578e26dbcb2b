# SPDX-License-Identifier: Apache-2.0
"""What every probe says of an error that nobody expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from telemetry_probes.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable


def raising(error: OSError) -> Callable[[dict[str, str]], int]:
    def work(given: dict[str, str]) -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "user", "said"),
    [
        (PermissionError(13, "Permission denied", "/a"), 1000, "probe: /a: Permission denied: run it as root\n"),
        (PermissionError(13, "Permission denied", "/a"), 0, "probe: /a: Permission denied\n"),
        (FileNotFoundError(2, "No such file", "/a"), 1000, "probe: /a: No such file\n"),
        (OSError(28, "No space left"), 1000, "probe: a file: No space left\n"),
    ],
)
def test_root_is_named_to_who_lacks_it(
    error: OSError, user: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("posix.geteuid", lambda: user)
    assert Program("probe", "", ()).run(["probe"], raising(error)) == 1
    assert capsys.readouterr().err == said
