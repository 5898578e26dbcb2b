# SPDX-License-Identifier: Apache-2.0
"""telemd as systemd runs it: telemetrics.target wants all that belongs to it, and takes it along when it stops.

Says how it went and what to do; whether it ought to run is the verbs' affair. systemctl is the only program that is
called, with a limit of time, and never with anything from outside.
"""

from __future__ import annotations

import os

from telemd.ctl.call import Result
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.ctl.call import Call

BOOTED: Final = "/run/systemd/system"
"""It is there where systemd runs the machine: sd_booted(3)."""

SYSTEMCTL_S: Final = 90.0
"""systemd's own default for starting or stopping a unit."""

ASKING_S: Final = 10.0
"""For a question, which systemd answers at once unless it hangs."""

TARGET: Final = "telemetrics.target"
SERVICE: Final = "telemd.service"
SOCKET: Final = "telemd.socket"

STOPPED: Final = (TARGET, "telemd.path", SOCKET, SERVICE, "telemd-courier.socket")
"""systemctl waits for those it was told of, not for those that stop along with them."""

OURS: Final = (
    TARGET, SERVICE, SOCKET, "telemd.path", "telemd-courier.socket", "telemhub.service",
    "hprobe.service", "hprobe.timer", "bootprobe.service", "journalprobe.service", "klogscanner.service",
    "metricprobe.service", "metricprobe-smart.service", "pstoreclean.service", "pstoreprobe.service",
)  # fmt: skip
"""All units that telemetrics comes with, but for couriers: systemd forgets one that failed, and telemd says why."""

FAILED_MAX: Final = 32
"""Units that are told."""

ORIGINALS: Final = ("telemprobd.socket", "telemprobd.service", "telempostd.path", "telempostd.service")
"""telemetrics-client's, which listen at the same socket and use the same spool."""

NAME_MAX: Final = 100
"""Characters of a unit's name that are told."""

REPLACED: Final = "/etc/telemetrics/replaced-units"
"""Those of them that were masked, a line each, so that removing telemetrics can give them back."""


def present(call: Call, seconds: float = SYSTEMCTL_S) -> bool:
    """systemd runs this telemd: it is the system's one, and its units are installed. seconds: how long it may take."""
    return _may_be_present(call) and _called("cat", TARGET, SERVICE, seconds=seconds)[0] == 0


def _may_be_present(call: Call) -> bool:
    return call.config_file is None and not call.settings.state_root and os.path.isdir(BOOTED)


def is_active(seconds: float = SYSTEMCTL_S) -> bool:
    """telemd runs, or systemd will start it for the next record. seconds: how long each of two questions may take."""
    return any(_called("is-active", "--quiet", unit, seconds=seconds)[0] == 0 for unit in (SERVICE, SOCKET))


def failed(call: Call) -> list[FailedUnit] | None:
    """Those of ours that failed, or fail again and again; none without systemd. None: systemd doesn't say within
    ASKING_S. One needs not be root."""
    if not _may_be_present(call):
        return []
    code, shown = _called("show", "--property=Id,ActiveState,SubState,Result", "--", *OURS, seconds=ASKING_S)
    return failed_of(shown) if code == 0 else None


def failed_of(shown: str) -> list[FailedUnit]:
    """The same of what `systemctl show` prints: blocks of NAME=VALUE with empty lines between."""
    found: dict[str, FailedUnit] = {}
    for block in shown.split("\n\n"):
        said = dict(line.split("=", 1) for line in block.split("\n") if "=" in line)
        name, result = said.get("Id", ""), said.get("Result", "")
        is_tried_again = said.get("SubState", "").startswith("auto-restart")
        if name and (said.get("ActiveState") == "failed" or (is_tried_again and result != "success")):
            found[name] = FailedUnit(plain(name, NAME_MAX), plain(result, NAME_MAX) or "unknown", is_tried_again)
    return [found[name] for name in sorted(found)][:FAILED_MAX]


class FailedUnit:
    """One unit. result: why, in systemd's word for it, as in exit-code or watchdog. is_tried_again: systemd starts it
    once more in a moment, and it had failed before."""

    __slots__ = ("is_tried_again", "name", "result")

    def __init__(self, name: str, result: str, is_tried_again: bool) -> None:
        self.name = name
        self.result = result
        self.is_tried_again = is_tried_again


def enable() -> Result:
    """From the next boot on, too."""
    return _outcome("enable", "enabled", TARGET)


def disable() -> Result:
    """Not at the next boot."""
    return _outcome("disable", "disabled", TARGET)


def start() -> Result:
    """Until telemd is ready; telemetrics-client makes room for it."""
    replaced = _replace_originals()
    started = _outcome("start", "started", TARGET, SERVICE)
    return Result(started.good, f"{replaced}{started.text}")


def stop() -> Result:
    """Until telemd has ended, and nothing starts it again."""
    return _outcome("stop", "stopped", *STOPPED)


def restart() -> Result:
    """The sockets stay, so that nobody is turned away meanwhile."""
    started = _outcome("start", "started", TARGET)
    return _outcome("restart", "restarted", SERVICE) if started.good else started


def _outcome(verb: str, done: str, *units: str) -> Result:
    if _systemctl(verb, *units) == 0:
        return Result(True, f"telemd was {done} by systemd")
    return Result(False, f"systemctl could not {verb} {' '.join(units)}: see `systemctl status {' '.join(units)}`")


def _replace_originals() -> str:
    """Stopped, and masked where they are installed: a unit that can't be masked is stopped by telemd.socket anyway. A
    line for the owner, or none."""
    installed = [unit for unit in ORIGINALS if _load_state(unit) == "loaded"]
    running = [unit for unit in ORIGINALS if _systemctl("is-active", "--quiet", unit) == 0]
    if running:
        _systemctl("stop", *running)
    masked = [unit for unit in installed if _systemctl("mask", unit) == 0]
    if masked:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        os.makedirs(os.path.dirname(REPLACED), 0o755, exist_ok=True)
        with os.fdopen(os.open(REPLACED, flags, 0o644), "w") as file:
            file.writelines(f"{unit}\n" for unit in masked)
        return f"telemetrics-client is replaced: {', '.join(masked)} will not start any more\n"
    return ""


def _load_state(unit: str) -> str:
    """loaded, masked, not-found, ..., as systemctl(1) has it."""
    return _called("show", "--value", "--property=LoadState", unit)[1].strip()


def _systemctl(*arguments: str) -> int:
    return _called(*arguments)[0]


def _called(*arguments: str, seconds: float = SYSTEMCTL_S) -> tuple[int, str]:
    """The exit code, -1 where there is none, and what it prints."""
    from subprocess import DEVNULL, PIPE, TimeoutExpired, run

    command = ["systemctl", "--no-pager", *arguments]
    try:
        done = run(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, timeout=seconds, check=False, text=True)
    except (OSError, ValueError, TimeoutExpired):  # ValueError: what it prints is no text
        return -1, ""
    return done.returncode, done.stdout
