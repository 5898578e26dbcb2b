# SPDX-License-Identifier: Apache-2.0
"""telemd as it is measured: the installed program, in a state root of its own, with no server (so nothing is sent).

Known only from outside: its command line, configuration, control socket and /proc. No telemd module is imported.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

from bench.place import BenchError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
CONTROL_TIMEOUT_S = 10.0
CONTROL_ANSWER_MAX = 1 << 20
POLL_S = 0.001
DIRECTORIES = ("etc/telemetrics", "run/telemetry", "var/spool/telemetry", "var/lib/telemetry", "var/log/telemetry")


class Accounting(NamedTuple):
    """The part of the status that a measurement needs."""

    admitted: int
    evicted: int
    pending: int


class StateRoot:
    """A whole system of its own below one directory: configuration, opt-in, sockets, spool."""

    def __init__(self, directory: Path, cap_kb: int, extra: str = "") -> None:
        """cap_kb is the spool's; extra is appended to the settings as it stands."""
        self.directory = directory
        self.config = directory / "c.toml"
        self.telemd_socket = directory / "run/telemetry/telemd.sock"
        self.format4_socket = directory / "run/telem-0"
        self.control_socket = directory / "run/telemetry/control.sock"
        self.spool = directory / "var/spool/telemetry"
        self.log = directory / "telemd.out"
        for needed in DIRECTORIES:
            (directory / needed).mkdir(parents=True)
        self.spool.chmod(0o700)
        (directory / "etc/telemetrics/opt-in").touch()
        state_root = json.dumps(str(directory))  # as TOML writes a string, too
        self.config.write_text(
            f"[settings]\nstate_root = {state_root}\nrate_limit_enabled = false\nspool_max_size = {cap_kb}\n{extra}"
        )

    def remove(self) -> None:
        """Delete all of it, and let the disk settle, so that the next row doesn't pay for this one."""
        shutil.rmtree(self.directory, ignore_errors=True)
        os.sync()

    def ask(self, verb: str, **arguments: object) -> dict[str, object] | None:
        """One question to the control socket (docs/protocol.md, section 7); None where nobody answers yet."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(CONTROL_TIMEOUT_S)
            answer = b""
            try:
                control.connect(os.fspath(self.control_socket))
                control.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
                while not answer.endswith(b"\n"):
                    piece = control.recv(65536)
                    if not piece or len(answer) > CONTROL_ANSWER_MAX:
                        break
                    answer += piece
            except (FileNotFoundError, ConnectionError):
                return None
            except TimeoutError:
                raise BenchError(
                    f"telemd didn't answer {verb} within {CONTROL_TIMEOUT_S:.0f} s:\n{self.log_tail()}"
                ) from None
        return cast("dict[str, object]", json.loads(answer)) if answer else None

    def log_tail(self) -> str:
        """The last of what telemd said."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        except FileNotFoundError:
            return "(it said nothing)"


class Telemd:
    """One running telemd. Use it in a with-block: it is stopped at the end, also of a row that failed."""

    def __init__(self, program: Path, root: StateRoot, user: int | None = None) -> None:
        """user: whose process it is, if not ours."""
        self.root = root
        with root.log.open("ab") as log:
            self.exec_s = time.monotonic()
            self._process = subprocess.Popen(
                [str(program), "-f", str(root.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                user=user, group=user, extra_groups=None if user is None else [],
            )  # fmt: skip
        self.pid = self._process.pid
        try:
            self.ping_s = self._wait_for_ping()
        except BaseException:  # also Ctrl-C: no with-block holds it yet
            self.kill()
            raise

    def _wait_for_ping(self) -> float:
        """When the control socket answered first."""
        while time.monotonic() - self.exec_s < START_TIMEOUT_S:
            answer = self.root.ask("ping")
            if answer is not None and answer.get("ok") is True:
                return time.monotonic()
            if self._process.poll() is not None:
                raise BenchError(f"telemd ended with {self._process.returncode} at its start:\n{self.root.log_tail()}")
            time.sleep(POLL_S)
        raise BenchError(f"telemd wasn't up after {START_TIMEOUT_S:.0f} s:\n{self.root.log_tail()}")

    def __enter__(self) -> Telemd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def status(self) -> dict[str, object]:
        """The status verb's answer. BenchError where there is none."""
        answer = self.root.ask("status")
        if answer is None or answer.get("ok") is not True:
            raise BenchError(f"telemd gives no status:\n{self.root.log_tail()}")
        return answer

    def accounting(self) -> Accounting:
        """Where the records are (docs/protocol.md, section 4.5). BenchError where the cap was reached."""
        fields = self.status().get("accounting")
        if not isinstance(fields, dict):
            raise BenchError("telemd's status has no accounting: bench and telemd are of different versions.")
        account = Accounting(*(int(fields[name]) for name in Accounting._fields))
        if account.evicted:
            raise BenchError(f"telemd evicted {account.evicted} records: the bench's cap is too small for this load.")
        return account

    def sync_us(self) -> tuple[int, float, float]:
        """Its own fdatasyncs: how many, and the median and 99th percentile of their time in microseconds."""
        fields = self.status().get("sync")
        if not isinstance(fields, dict):
            raise BenchError("telemd's status has no sync: bench and telemd are of different versions.")
        return int(fields["count"]), float(fields["p50_us"]), float(fields["p99_us"])

    def wait_admitted(self, count: int) -> float:
        """When the daemon had admitted count records in all, to about 3 ms."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        seen = -1
        while time.monotonic() < deadline_s:
            seen = self.accounting().admitted
            if seen >= count:
                return time.monotonic()
            time.sleep(3 * POLL_S)
        raise BenchError(
            f"{seen} records were admitted and {count} sent: telemd lost some, or this machine is too busy."
        )

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise BenchError(f"telemd didn't stop within {STOP_TIMEOUT_S:.0f} s:\n{self.root.log_tail()}") from None

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        self._process.kill()
        self._process.wait()
