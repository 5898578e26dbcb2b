# SPDX-License-Identifier: Apache-2.0
"""How many packages are installed, how many wait for an update, and whether a reboot is needed.

Nothing is downloaded: what waits is what the package manager already knows of. Which packages those are is never told.
"""

from __future__ import annotations

from telemetry_probes.metrics.commands import Program
from telemetry_probes.metrics.model import GAUGE, Absent, Metric
from telemetry_probes.metrics.packages import counts, managers, there

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "packages, updates that wait, reboot needed"
INTERVAL_S = 86_400.0

PACKAGES = Metric("x.packages.installed", "{package}", GAUGE, "Packages that are installed")
UPDATES = Metric(
    "x.packages.updates", "{package}", GAUGE, "Packages that an update waits for, by the lists fetched last"
)
SECURITY = Metric("x.packages.updates.security", "{package}", GAUGE, "Those of them whose update is one for security")
REBOOT = Metric("x.reboot.needed", "1", GAUGE, "1: an update is in force after a reboot only; 0: none is known of")
METRICS = (PACKAGES, UPDATES, SECURITY, REBOOT)

REQUIRED = ("/run/reboot-required", "/run/reboot-needed")
"""Debian's and SUSE's."""
HOOKS = (
    "/usr/share/update-notifier/notify-reboot-required",
    "/etc/kernel/postinst.d/unattended-upgrades",
)
"""Without one of them nothing on a Debian writes that file."""
MODULES = "/usr/lib/modules"
RELEASE = "/proc/sys/kernel/osrelease"
SECONDS_MAX = 60.0


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._managers = managers(places)
        if not self._managers:
            raise Absent("there is no package manager that is known here: dpkg, rpm, pacman, apk")
        self.series: Sequence[Series] = [
            *(
                metric.series(("x.packages.manager", name))
                for name in self._managers
                for metric in (PACKAGES, UPDATES, SECURITY)
            ),
            REBOOT.series(),
        ]

    def sample(self, now_s: float) -> Sequence[Value]:
        row: list[Value] = []
        for name in self._managers:
            found = counts(self._places, name, now_s)
            row += [found.installed, found.updates, found.security]
        return [*row, reboot_needed(self._places, self._managers, now_s)]

    def close(self) -> None:
        """It keeps nothing open."""


def reboot_needed(places: Places, names: Sequence[str], now_s: float) -> int | None:
    """1, 0, or None where nothing on the system knows. OSError: a program was too slow."""
    if any(there(places, path) for path in REQUIRED):
        return 1
    if "rpm" in names and "dpkg" not in names:
        # Status 1: needed.
        path = places.program("needs-restarting")
        status = Program(path, SECONDS_MAX).run(now_s, "--reboothint").status if path else -1
        return status if status in (0, 1) else None
    if "pacman" in names or "apk" in names:
        # Those remove the modules of a kernel together with it.
        kernels, running = places.listed(MODULES), places.word(RELEASE)
        return int(running not in kernels) if kernels and running else None
    return 0 if any(there(places, path) for path in HOOKS) else None
