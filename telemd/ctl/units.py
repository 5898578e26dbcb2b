# SPDX-License-Identifier: Apache-2.0
"""telemd as systemd runs it: telemetrics.target wants all that belongs to it, and takes it along when it stops.

Says how it went and what to do; whether it ought to run is the verbs' affair. systemctl is the only program that is
called, with a limit of time, and never with anything from outside.
"""

from __future__ import annotations

import os

from telemd.ctl.call import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.ctl.call import Call

SYSTEMCTL_S: Final = 90.0
"""systemd's own default for starting or stopping a unit."""

TARGET: Final = "telemetrics.target"
SERVICE: Final = "telemd.service"
SOCKET: Final = "telemd.socket"

STOPPED: Final = (TARGET, "telemd.path", SOCKET, SERVICE, "telemd-courier.socket")
"""systemctl waits for those it was told of, not for those that stop along with them."""

ORIGINALS: Final = ("telemprobd.socket", "telemprobd.service", "telempostd.path", "telempostd.service")
"""telemetrics-client's, which listen at the same socket and use the same spool."""

REPLACED: Final = "/etc/telemetrics/replaced-units"
"""Those of them that were masked, a line each, so that removing telemetrics can give them back."""


def present(call: Call) -> bool:
    """systemd runs this telemd: it is the system's one, and its units are installed."""
    if call.config_file is not None or call.settings.state_root or not os.path.isdir("/run/systemd/system"):
        return False
    return _systemctl("cat", TARGET, SERVICE) == 0


def is_active() -> bool:
    """telemd runs, or systemd will start it for the next record."""
    return any(_systemctl("is-active", "--quiet", unit) == 0 for unit in (SERVICE, SOCKET))


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


def _called(*arguments: str) -> tuple[int, str]:
    """The exit code, -1 where there is none, and what it prints."""
    from subprocess import DEVNULL, PIPE, TimeoutExpired, run

    command = ["systemctl", "--no-pager", *arguments]
    try:
        done = run(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, timeout=SYSTEMCTL_S, check=False, text=True)
    except (FileNotFoundError, TimeoutExpired):
        return -1, ""
    return done.returncode, done.stdout
