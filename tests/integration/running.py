# SPDX-License-Identifier: Apache-2.0
"""The installed telemd as a real process on a state root of its own, and what tests ask it.

Starts, stops, kills and waits; what is sent to it is senders' affair. Nothing of telemd may be imported here: it is met
by its sockets, signals, files and exit codes alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from installed import BIN as BIN
from waiting import TIMEOUT_S as TIMEOUT_S
from waiting import wait_until as wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

NOBODY = 65534


def needs_root() -> None:
    """Skip where no other user can be taken on."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be several users: run it as root, or in CI")


class Root:
    """A system of its own below one directory, with a path short enough for a socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "telemd.conf"
        self.opt_in_file = path / "etc/telemetrics/opt-in"
        self.socket5 = path / "run/telemetry/telemd.sock"
        self.socket4 = path / "run/telem-0"
        self.control = path / "run/telemetry/control.sock"
        self.spool = path / "var/spool/telemetry"
        self.log_file = path / "telemd.log"

    def configure(self, **settings: str | int | bool) -> None:
        """Write the configuration. state_root goes without saying, and a burst isn't slowed down unless asked for."""
        all_of_them = {"state_root": str(self.path), "rate_limit_enabled": False, **settings}
        lines = [f"{name} = {json.dumps(value)}" for name, value in all_of_them.items()]
        self.config_file.write_text("\n".join(["[settings]", *lines, ""]))

    def opt_in(self, since_s: float = 1.0) -> None:
        """As it was done then, seconds since 1970: long ago, if nothing else is said."""
        self.opt_in_file.parent.mkdir(parents=True, exist_ok=True)
        self.opt_in_file.touch()
        os.utime(self.opt_in_file, (since_s, since_s))

    def name(self, machine_id: str = "ab" * 16) -> None:
        """Its id is a lasting one from telemd's next start on: one that changes may do so in the middle of a test."""
        (self.opt_in_file.parent / "opt-in-static-machine-id").write_text(machine_id)

    def opt_out(self) -> None:
        self.opt_in_file.unlink()

    def files(self) -> set[str]:
        """Everything there is but the test's own two files, as paths below the root."""
        own = {self.config_file, self.log_file}
        return {str(each.relative_to(self.path)) for each in self.path.rglob("*") if each not in own}

    def hand_to(self, uid: int) -> None:
        """All of it belongs to that user now."""
        for each in (self.path, *self.path.rglob("*")):
            os.chown(each, uid, uid, follow_symlinks=False)


@contextlib.contextmanager
def state_root(opted_in: bool = True, **settings: str | int | bool) -> Iterator[Root]:
    """A fresh root on a disk that is no tmpfs, removed at the end. Other users may look into it. No rate limits, unless
    settings name them: they would defer what a test sends by minutes."""
    settings = {"rate_limit_enabled": False, **settings}
    root = Root(Path(tempfile.mkdtemp(prefix="tm-", dir="/var/tmp")))
    try:
        root.path.chmod(0o755)
        root.configure(**settings)
        if opted_in:
            root.opt_in()
        yield root
    finally:
        shutil.rmtree(root.path)


class Telemd:
    """One process. running() waits until it answers; whoever makes one himself sees to its end.

    command stands before telemd's own: a program that becomes telemd. user: its uid and gid."""

    def __init__(
        self,
        root: Root,
        *,
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        pass_fds: Sequence[int] = (),
        program: Path = BIN / "telemd",
    ) -> None:
        self.root = root
        self._log_from = root.log_file.stat().st_size if root.log_file.exists() else 0
        with root.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(program), "-f", str(root.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                pass_fds=pass_fds,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        """What this process, and its couriers, have said."""
        with self.root.log_file.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def ask(self, verb: str) -> dict[str, Any]:
        """One question over the control socket. OSError where nobody listens."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(TIMEOUT_S)
            asking.connect(str(self.root.control))
            asking.sendall(json.dumps({"verb": verb}).encode() + b"\n")
            with asking.makefile("rb") as answer:
                found: dict[str, Any] = json.loads(answer.readline() or b"{}")
        return found

    def status(self) -> dict[str, Any]:
        found = self.ask("status")
        assert found.get("ok"), (found, self.log())
        return found

    def account(self) -> dict[str, Any]:
        """The accounting of the status, after its two equations were checked."""
        found: dict[str, Any] = self.status()["accounting"]
        refused = sum(found["refused"].values())
        assert found["received"] == refused + found["duplicate"] + found["admitted"], found
        ends = ("delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending")
        assert found["admitted"] == sum(found[name] for name in ends), found
        return found

    def refused(self) -> dict[str, int]:
        """How many records were refused, by reason."""
        found: dict[str, int] = self.account()["refused"]
        return found

    def wait_ready(self) -> None:
        """Until it answers, or has failed."""

        def answers() -> bool:
            assert self.process.poll() is None, f"telemd ended with {self.process.returncode}: {self.log()}"
            with contextlib.suppress(OSError):
                return self.ask("ping").get("ok") is True
            return False

        wait_until(answers, "telemd answers")

    def wait_account(self, what: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Until the accounting is so; that accounting."""
        seen: list[dict[str, Any]] = []

        def holds() -> object:
            seen[:] = [self.account()]
            return condition(seen[0])

        try:
            wait_until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\naccount: {seen}\nlog: {self.log()}") from None
        return seen[0]

    def wait_delivered(self) -> dict[str, Any]:
        """Until nothing waits."""
        return self.wait_account("nothing waits any more", lambda account: account["pending"] == 0)

    def wait_log(self, words: str) -> None:
        """Until it has said that."""
        try:
            wait_until(lambda: words in self.log(), f"the log says {words!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nlog: {self.log()}") from None

    def cpu_s(self) -> float:
        """User and system time of this process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def courier_pids(self) -> list[int]:
        """Its children."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Its exit code."""
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.wait()


@contextlib.contextmanager
def running(
    root: Root,
    *,
    command: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    user: int | None = None,
    pass_fds: Sequence[int] = (),
    program: Path = BIN / "telemd",
) -> Iterator[Telemd]:
    """A telemd that answers. At the end it is stopped, unless it has ended before, and must stop well: exit code 0, and
    no traceback ever. What it said is printed where the test fails."""
    telemd = Telemd(root, command=command, env=env, user=user, pass_fds=pass_fds, program=program)
    try:
        telemd.wait_ready()
        yield telemd
    except BaseException:
        telemd.kill()
        print(f"telemd said:\n{telemd.log()}")
        raise
    was_running = telemd.process.poll() is None
    code = telemd.stop() if was_running else telemd.wait()
    assert not was_running or code == 0, (code, telemd.log())
    assert "Traceback" not in telemd.log(), telemd.log()


def refusal_to_start(root: Root, *, command: Sequence[str] = (), user: int | None = None) -> str:
    """What a telemd says that can't run; it ends with 1 and no traceback."""
    telemd = Telemd(root, command=command, user=user)
    try:
        code = telemd.wait()
    except BaseException:
        telemd.kill()
        raise
    said = telemd.log()
    assert (code, "Traceback" in said) == (1, False), (code, said)
    return said
