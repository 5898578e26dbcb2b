# SPDX-License-Identifier: Apache-2.0
"""How often the owner has asked for another machine id, by epoch: state_dir/rotations.

What an epoch is, and what an id is made of, is machineid's affair. Past ids stay nameable as long as this file and the
secret beside it are there.
"""

from __future__ import annotations

import os

from telemd import syncedfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

NAME: Final = "rotations"
TURNS_MAX: Final = 1000
"""In one epoch."""
EPOCHS_MAX: Final = 1000
"""Of so many epochs they are remembered, which is as many lines."""

_BYTES_MAX: Final = 64 * 1024


def once_more(rotations: Mapping[int, int], epoch: int) -> dict[int, int] | None:
    """One more in that epoch; None where it has TURNS_MAX already. Where there are too many epochs the oldest go."""
    turns = rotations.get(epoch, 0) + 1
    if turns > TURNS_MAX:
        return None
    return dict(sorted({**rotations, epoch: turns}.items())[-EPOCHS_MAX:])


def parse(text: str) -> dict[int, int]:
    """Lines of an epoch and a count; others are left out."""
    found: dict[int, int] = {}
    for line in text.splitlines()[:EPOCHS_MAX]:
        epoch, _, turns = line.partition(" ")
        if epoch.isdecimal() and turns.isdecimal() and len(epoch) < 16 and len(turns) < 5 and int(turns) <= TURNS_MAX:
            found[int(epoch)] = int(turns)
    return found


def read(state_dir: str) -> dict[int, int]:
    """Empty where there is nothing usable."""
    try:
        fd = os.open(f"{state_dir}/{NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        return parse(os.read(fd, _BYTES_MAX).decode("ascii", "replace"))
    except OSError:
        return {}
    finally:
        os.close(fd)


def write(state_dir: str, rotations: Mapping[int, int]) -> None:
    """Replace the file in one step, synced: an id that was given up must not come back. OSError."""
    lines = "".join(f"{epoch} {turns}\n" for epoch, turns in rotations.items())
    syncedfile.replace_in(state_dir, NAME, lines.encode(), 0o600)
