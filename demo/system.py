# SPDX-License-Identifier: Apache-2.0
"""A whole system below one directory: configuration, hub, telemd; and the end of all of it.

Programs are started and stopped here, and nowhere else in the demo but for the short ones that send. What they do is
not looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

START_S = 30.0
"""For each program to be ready."""

STOP_S = 10.0
"""For each to end when told to; then it is killed."""

RUN_S = 30.0
"""For one call of a short program."""

POLL_S = 0.02
LOG_LINES_SHOWN = 8

LONGEST_SOCKET = "/run/telemetry/control.sock"
SOCKET_PATH_MAX = 107
"""Bytes of a Unix socket's path (source: unix(7))."""

DIRECTORY_BYTES_MAX = 35
"""So that crashprobe and its configuration, both below it, have room in core_pattern, which takes 127 bytes."""


class DemoError(Exception):
    """It can't go on; the text says why and, where one knows, what to do."""


def new_directory() -> Path:
    """A fresh one whose path is short enough for sockets below it, and for core_pattern."""
    parent = tempfile.gettempdir()
    length = len(os.fsencode(parent)) + len("/tm-demo-12345678")
    if length + len(LONGEST_SOCKET) > SOCKET_PATH_MAX or length > DIRECTORY_BYTES_MAX:
        parent = "/tmp"
    return Path(tempfile.mkdtemp(prefix="tm-demo-", dir=parent))


class System:
    """Use it in a with-block: at the end its processes have ended and its directory is gone, whatever happened."""

    def __init__(self, directory: Path, programs: Path) -> None:
        """programs: the directory with telemd and the others."""
        self.directory = directory
        self.config_file = directory / "demo.conf"
        self._programs = programs.absolute()
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self.machine_id = secrets.token_hex(16)

    def __enter__(self) -> System:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not keep the first from being carried out.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # telemd first: it hands over to the hub what is under way.
        for _, process in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- what is started --------------------------------------------------------------------------------------------

    def start_hub(self, listen: str) -> str:
        """Until it answers; its address, as in http://127.0.0.1:8080."""
        arguments = ["serve", "--data", str(self.directory / "hub"), "--listen", listen]
        self._launch("telemhub", arguments, lambda: bool(self._hub_address()))
        return self._hub_address()

    def opt_in(self, server: str) -> None:
        """Write the configuration, which names this server, give the owner's consent, and this machine a lasting id:
        without one it would send no metrics."""
        # A string is written in TOML as in JSON.
        settings = {"state_root": str(self.directory), "server": f"{server}/"}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        self.config_file.write_text("\n".join(["[settings]", *lines, ""]))
        self.run("telemctl", ["opt-in"])
        (self.directory / "etc/telemetrics/opt-in-static-machine-id").write_text(f"{self.machine_id}\n")

    def start_telemd(self) -> None:
        """Until it takes records."""
        self._launch("telemd", ["-f", str(self.config_file)], self._telemd_answers)

    def check_running(self) -> None:
        """DemoError where one has ended."""
        for name, process in self._running:
            if process.poll() is not None:
                raise DemoError(f"{name} ended by itself with {process.returncode}:\n{self.log_tail(name)}")

    def run(self, program: str, arguments: Sequence[str], stdin: bytes = b"") -> bytes:
        """One call of a short program of ours on this system; what it printed. DemoError where it fails."""
        done = self._call(program, arguments, stdin)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise DemoError(f"{program} failed with {done.returncode}: {said}\n{self.log_tail('telemd')}")
        return done.stdout

    def run_for(self, program: str, seconds: float, environment: Mapping[str, str]) -> None:
        """One that stays, for so long. DemoError where it fails."""
        self._launch(program, ["-f", str(self.config_file)], lambda: True, environment)
        _, process = self._running[-1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.terminate()
        code = process.wait(STOP_S)
        self._running.pop()
        if code != 0:
            raise DemoError(f"{program} ended with {code}:\n{self.log_tail(program)}")

    def linked(self, program: str, name: str) -> Path:
        """The program by a short path, for where a long one has no room."""
        link = self.directory / name
        link.symlink_to(self._program(program))
        return link

    def command(self, program: str) -> str:
        """How a person calls it, from where the demo was started."""
        path = os.path.relpath(self._programs / program)
        path = str(self._programs / program) if path.startswith("..") else path
        return f"{path} -f {self.config_file}"

    def log_tail(self, name: str) -> str:
        """The last that a program said."""
        with contextlib.suppress(OSError):
            return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        return ""

    # ---- how --------------------------------------------------------------------------------------------------------

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _launch(
        self,
        name: str,
        arguments: Sequence[str],
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        with self._log(name).open("wb") as log:
            try:
                # A session of its own: Ctrl-C is for the demo, which stops the others in their order.
                process = subprocess.Popen(
                    [self._program(name), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, **(environment or {})},
                )
            except OSError as error:
                raise DemoError(f"{self._program(name)} can't be started ({error.strerror}): run `make demo`") from None
        self._running.append((name, process))
        end_s = time.monotonic() + START_S
        while not is_ready():
            if process.poll() is not None:
                raise DemoError(f"{name} ended with {process.returncode} at its start:\n{self.log_tail(name)}")
            if time.monotonic() > end_s:
                raise DemoError(f"{name} wasn't ready after {START_S:.0f} s:\n{self.log_tail(name)}")
            time.sleep(POLL_S)

    def _call(self, program: str, arguments: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [self._program(program), "-f", str(self.config_file), *arguments]
        try:
            return subprocess.run(command, input=stdin, capture_output=True, timeout=RUN_S, check=False)
        except OSError as error:
            raise DemoError(f"{command[0]} can't be started ({error.strerror}): run `make demo`") from None
        except subprocess.TimeoutExpired:
            raise DemoError(f"{program} didn't end within {RUN_S:.0f} s\n{self.log_tail('telemd')}") from None

    def _program(self, name: str) -> str:
        return str(self._programs / name)

    def _hub_address(self) -> str:
        """Once it listens it says where; "" before."""
        said = "telemhub: listening on "
        for line in self._log("telemhub").read_text(errors="replace").splitlines(keepends=True):
            if line.startswith(said) and line.endswith("\n"):
                return line.removeprefix(said).strip()
        return ""

    def _telemd_answers(self) -> bool:
        return self._call("telemctl", ["is-active"]).returncode == 0
