# SPDX-License-Identifier: Apache-2.0
"""What tests of machine ids start from: a secret, a time, and a machine's folders below one of the test's."""

from __future__ import annotations

from pathlib import Path

from telemd.config import Settings

SECRET = bytes(range(32))
NOW_S = 1_780_000_000.25


def before_the_first_start(root: Path) -> Settings:
    """The owner's folder is there, telemd's own isn't."""
    found = Settings(state_root=str(root))
    Path(found.static_machine_id_path).parent.mkdir(parents=True)
    return found


def with_state(root: Path) -> Settings:
    """And telemd's own folder, which is empty."""
    found = before_the_first_start(root)
    Path(found.state_dir).mkdir(parents=True, mode=0o755)
    return found
