# SPDX-License-Identifier: Apache-2.0
"""The table in docs/security.md of how systemd-analyze(1) judges each service, from 0.0 (closed) to 10.0 (open).

`securitytable.py` builds for /usr, measures the units as they would be installed, and writes the table. Tests compare.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "packaging"))
import deb  # noqa: E402

UNITS: Final = "usr/lib/systemd/system"
PAGE: Final = ROOT / "docs/security.md"
BEGIN: Final = "<!-- the scores of scripts/securitytable.py -->"
END: Final = "<!-- the end of the scores -->"
LIMIT: Final = 2.0
LIMITS: Final = {"telemd-courier@.service": 2.5, "telemhub.service": 2.5}
"""Those that are for the network may do more."""


def limit(unit: str) -> float:
    """What a unit may have at most."""
    return LIMITS.get(unit, LIMIT)


def measured() -> dict[str, float]:
    """Score by unit, of the services as they would be installed."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="telemetrics-security-") as folder:
        deb.stage(Path(folder))
        for unit in sorted(Path(folder, UNITS).glob("*.service")):
            command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            [score] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
            found[unit.name] = float(score)
    return found


def _parts() -> tuple[str, str, str]:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table, _, after = rest.partition(END)
    return before, table, after


def written() -> dict[str, float]:
    """What the page says."""
    return {unit: float(score) for unit, score in re.findall(r"^\| `(\S+)` \| ([\d.]+) \|", _parts()[1], re.MULTILINE)}


def table(scores: dict[str, float]) -> str:
    """As it stands on the page."""
    rows = [f"| `{unit}` | {score:.1f} | {limit(unit):.1f} |" for unit, score in sorted(scores.items())]
    return "\n".join(["", "| unit | exposure | at most |", "|---|---|---|", *rows, ""])


def main() -> None:
    """Measure and write."""
    before, _, after = _parts()
    PAGE.write_text(f"{before}{BEGIN}{table(measured())}{END}{after}")


if __name__ == "__main__":
    main()
