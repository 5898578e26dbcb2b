# SPDX-License-Identifier: Apache-2.0
"""Write the examples of tests/vectors as inputs of fuzz_wire into the folder named by the argument. run.sh begins with
them and with the committed corpus; what it finds beyond is committed after a merge (run.sh says how).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors"
SIZE_MAX = 8191
CHOICES = {"format5.txt": (0,), "format4.txt": (1, 5), "answer.txt": (3,)}  # of the switch in fuzz_wire.c


def as_spooled(raw: bytes) -> bytes:
    """What the socket carries, as telemetrics-client's spool has it."""
    config, _, rest = raw[4:].partition(b"\0") if raw[4:8] == b"CFG:" else (b"", b"", raw[4:])
    return (config + b"\n" if config else b"") + rest[4:].removesuffix(b"\0")


def seeds() -> set[bytes]:
    found = set()
    for name, choices in CHOICES.items():
        for line in (VECTORS / name).read_text().splitlines():
            raw = bytes.fromhex(line.split()[2].replace("-", ""))
            found |= {bytes([choice]) + raw for choice in choices if len(raw) <= SIZE_MAX}
            if name == "format4.txt" and b"record_format_version" in raw[:400]:
                found |= {bytes([choice]) + as_spooled(raw)[:SIZE_MAX] for choice in (8, 9)}
            if "attribute" in line.split()[1] or line.startswith("attribute"):
                found.add(b"\2" + raw[72:])
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds():
        (folder / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
