# SPDX-License-Identifier: Apache-2.0
"""A machine for tests: systemd as process 1 of namespaces of its own, on an overlay of this machine's disk.

It boots in about two seconds, can be switched off and booted again with the same disk, and reaches no network but its
own loopback. Nothing of it stays: its disk is in memory, and it dies with the process that made it, however that ends.
The kernel is the real one's: kernel log, core_pattern and clock are shared, so nothing here may change them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIMEOUT_S = 60.0
LOOK_S = 0.05
HERE = Path(__file__).parent
PREFIX = "telemetrics-test."
PROGRAMS = ("unshare", "nsenter", "setpriv", "ip", "dbus-daemon", "/lib/systemd/systemd")
ENVIRONMENT = (
    "container=docker",
    "HOME=/root",
    "LANG=C.UTF-8",
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin",
    "TERM=dumb",
)
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
POWER_OFF = signal.SIGRTMIN + 4  # systemd(1)


class NoMachine(Exception):
    """Why no machine can be had here, and what to do."""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Look until it is so; fails with what was waited for."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {timeout_s:.0f} s for: {what}"
        time.sleep(LOOK_S)


def check() -> None:
    """NoMachine where one can't be had: the only place that says what is needed."""
    if os.geteuid() != 0:
        raise NoMachine("a booted systemd needs root: run `sudo make test`, or leave tests/system out")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise NoMachine(f"{', '.join(missing)} can't be found: `make deps-check` installs what is needed")


class Machine:
    """Made by machine(). pid: of its systemd, seen from outside; 0 while it is off."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = 0
        self._console = folder / "console"
        self._mount_point = folder / "disk"
        self._mount_point.mkdir()
        self._disk = subprocess.Popen(
            [
                *DIES_WITH_US,
                "unshare",
                "--mount",
                "--propagation=private",
                str(HERE / "disk.sh"),
                str(self._mount_point),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._disk.stdout is not None
        if self._disk.stdout.readline() != "ready\n":
            raise NoMachine("its disk can't be made: see what disk.sh says above")
        self._starter: subprocess.Popen[bytes] | None = None
        self._cgroup = _cgroup_folder()

    # -- on and off --

    def boot(self) -> None:
        """Until systemd has started all it starts."""
        assert not self.pid, "it runs already"
        self._cgroup.mkdir()
        namespaces = ["--pid", "--fork", "--kill-child=KILL", "--mount", "--uts", "--ipc", "--cgroup", "--net"]
        enter = ["nsenter", "-t", str(self._disk.pid), "-m", "unshare", *namespaces, "--propagation=private"]
        joined = ["sh", "-c", f'echo $$ >"{self._cgroup}/cgroup.procs"; exec "$@"', "sh", *DIES_WITH_US, *enter]
        with self._console.open("ab") as console:
            self._starter = subprocess.Popen(
                [*joined, str(HERE / "init.sh"), str(self._mount_point / "root")],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        wait_until(self._has_systemd, "systemd is process 1")
        wait_until(self._is_up, "systemd has started what it starts")

    def _has_systemd(self) -> bool:
        assert self._starter is not None
        assert self._starter.poll() is None, f"it doesn't boot: {self._console.read_text()}"
        with contextlib.suppress(OSError, ValueError):
            children = Path(f"/proc/{self._starter.pid}/task/{self._starter.pid}/children").read_text()
            pid = int(children)
            if os.readlink(f"/proc/{pid}/exe").endswith("/systemd"):
                self.pid = pid
                return True
        return False

    def _is_up(self) -> bool:
        state = self.run("systemctl", "is-system-running", good=None).stdout.strip()
        assert state != "degraded", self.run("systemctl", "--failed", good=None).stdout
        return state == "running"

    def shut_down(self) -> None:
        """In order, as by the power button."""
        os.kill(self.pid, POWER_OFF)
        self._gone()

    def end(self, *command: str) -> None:
        """By a command in it that ends it."""
        with subprocess.Popen(self.command(*command), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            self._gone()

    def cut_power(self) -> None:
        """All its processes end at once. The disk keeps what was written, synced or not."""
        os.kill(self.pid, signal.SIGKILL)
        self._gone()

    def _gone(self) -> None:
        assert self._starter is not None
        self._starter.wait(TIMEOUT_S)
        self.pid = 0
        _remove_cgroup(self._cgroup)

    def close(self) -> None:
        """Nothing is left of it."""
        if self._starter is not None and self._starter.poll() is None:
            self._starter.kill()
            self._starter.wait(TIMEOUT_S)
        _remove_cgroup(self._cgroup)
        self._disk.kill()
        self._disk.wait(TIMEOUT_S)
        assert self._disk.stdout is not None
        self._disk.stdout.close()

    # -- in it --

    def path(self, inside: str) -> Path:
        """A path of the machine as one of ours."""
        owner = self.pid or None
        base = Path(f"/proc/{owner}/root") if owner else Path(f"/proc/{self._disk.pid}/root{self._mount_point}/root")
        return base / inside.lstrip("/")

    def changes(self) -> Path:
        """Where the differences between its disk and ours lie, as overlayfs keeps them."""
        return Path(f"/proc/{self._disk.pid}/root{self._mount_point}/changes")

    def write(self, inside: str, text: str) -> None:
        """A file of root's, and the directories to it."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *command: str) -> list[str]:
        """To run a command in the machine, as root and with a clean environment."""
        return [*DIES_WITH_US, "nsenter", "-t", str(self.pid), "-a", "-r", "-w", "env", "-i", *ENVIRONMENT, *command]

    def run(
        self, *command: str, good: Sequence[int] | None = (0,), timeout_s: float = TIMEOUT_S, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Until it ends. good: exit codes that are expected; None: any."""
        done = subprocess.run(
            self.command(*command), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if good is not None and done.returncode not in good:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}")
        return done

    def shell(self, script: str, **options: Any) -> str:
        """What a shell script prints."""
        return self.run("sh", "-euc", script, **options).stdout

    def systemctl(self, *arguments: str, good: Sequence[int] | None = (0,)) -> str:
        return self.run("systemctl", *arguments, good=good).stdout.strip()

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)

    def state(self, unit: str) -> str:
        """active, inactive, failed, activating, deactivating."""
        return self.shown(unit, "ActiveState")

    def wait_state(self, unit: str, state: str) -> None:
        try:
            wait_until(lambda: self.state(unit) == state, f"{unit} is {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but {self.state(unit)}\n{self.tail()}") from None

    def main_pid(self, unit: str) -> int:
        """In the machine's own numbers; 0 where it doesn't run."""
        return int(self.shown(unit, "MainPID"))

    def drop_in(self, unit: str, *lines: str) -> None:
        """Settings of the section Service that hold until the next boot, over those of the unit."""
        self.write(f"/run/systemd/system/{unit}.d/test.conf", "\n".join(["[Service]", *lines, ""]))
        self.systemctl("daemon-reload")

    def starts(self, unit: str, since: str) -> int:
        """How often systemd has begun to start it since a cursor()."""
        found = self.entries(since, unit=unit)
        return sum(each.get("JOB_TYPE") in ("start", "restart") and "JOB_RESULT" not in each for each in found)

    def signal(self, unit: str, name: str) -> None:
        """To the main process."""
        self.systemctl("kill", "--kill-whom=main", f"--signal={name}", unit)

    def entries(self, since: str = "", *, unit: str = "", identifier: str = "") -> list[dict[str, Any]]:
        """What the journal has, oldest first: since a cursor(), of a unit and what systemd says of it, of a program.

        Sifted here: a journalctl that is told of a cursor and of anything else leaves out an entry."""
        command = ["journalctl", "--quiet", "--no-pager", "--output=json", "--all"]
        lines = self.run(*command, *([f"--after-cursor={since}"] if since else [])).stdout.splitlines()
        found = []
        for entry in map(json.loads, lines):
            of_unit = not unit or unit in (entry.get("_SYSTEMD_UNIT"), entry.get("UNIT"))
            if of_unit and (not identifier or entry.get("SYSLOG_IDENTIFIER") == identifier):
                found.append(entry)
        return found

    def journal(self, since: str = "", *, unit: str = "", identifier: str = "") -> list[str]:
        """The messages of those entries."""
        return [str(each.get("MESSAGE")) for each in self.entries(since, unit=unit, identifier=identifier)]

    def cursor(self) -> str:
        """Where the journal ends now."""
        text = self.run("journalctl", "--quiet", "--no-pager", "-n", "1", "--output=cat", "--show-cursor").stdout
        return text.rpartition("-- cursor: ")[2].strip()

    def wait_journal(self, words: str, since: str = "", *, unit: str = "", identifier: str = "") -> str:
        """Until somebody has said that; the whole message."""
        found: list[str] = []

        def said() -> bool:
            found[:] = [each for each in self.journal(since, unit=unit, identifier=identifier) if words in each]
            return bool(found)

        try:
            wait_until(said, f"the journal says {words!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None
        return found[0]

    def tail(self) -> str:
        """The end of the journal, for a test that fails."""
        done = subprocess.run(
            self.command("journalctl", "--quiet", "--no-pager", "-n", "60"),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.stdout


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """One that has booted. NoMachine."""
    check()
    sweep()
    made = Machine(folder)
    try:
        made.boot()
        yield made
    finally:
        made.close()


# ---- control groups -------------------------------------------------------------------------------------------------
# A machine's root is a group of its own, so that none of its groups lands among ours. The folder is the only thing that
# a killed test run leaves; the next run takes it away.


def cgroup2() -> Path:
    """Where it is mounted. NoMachine."""
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    raise NoMachine("no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup")


def _cgroup_folder() -> Path:
    return cgroup2() / f"{PREFIX}{os.getpid()}"


def _remove_cgroup(folder: Path) -> None:
    if not folder.exists():
        return
    with contextlib.suppress(OSError):
        (folder / "cgroup.kill").write_text("1")

    def removed() -> bool:
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        return not folder.exists()

    wait_until(removed, f"{folder} is empty")


def sweep() -> None:
    """Take away what killed test runs have left."""
    for folder in cgroup2().glob(f"{PREFIX}*"):
        if not Path(f"/proc/{folder.name.removeprefix(PREFIX)}").exists():
            _remove_cgroup(folder)


if __name__ == "__main__":  # booted.py COMMAND...: to try something by hand
    import tempfile

    with tempfile.TemporaryDirectory(prefix="telemetrics-machine-") as made_at, machine(Path(made_at)) as by_hand:
        sys.exit(subprocess.run(by_hand.command(*(sys.argv[1:] or ["bash"])), check=False).returncode)
