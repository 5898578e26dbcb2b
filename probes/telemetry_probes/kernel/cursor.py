# SPDX-License-Identifier: Apache-2.0
"""How far the kernel's log of this boot has been read."""

from __future__ import annotations

from telemetry_probes import ownstate


def kept(where: str, boot: str) -> int:
    """The number of the first record of that boot's log that has not been dealt with; 0 where nothing is
    known."""
    words = ownstate.kept(where, "cursor").split()
    if len(words) != 3 or words[2] != b"end" or words[0] != (boot.encode() or b"-"):
        return 0
    return int(words[1]) if words[1].isdigit() and len(words[1]) <= 19 else 0


def keep(where: str, boot: str, seq: int) -> None:
    """On disk when this returns. OSError."""
    ownstate.keep(where, "cursor", f"{boot or '-'} {seq} end\n".encode())
