# SPDX-License-Identifier: Apache-2.0
"""metricprobe, telemd and a hub as they are installed: samples of this machine become points, and none get lost."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import hub_at
from running import BIN, running, state_root, wait_until

from libtelemetry import set_config_file
from telemetry_probes.metrics import discovery, prometheus
from telemetry_probes.metrics.account import Account
from telemetry_probes.metrics.model import GAUGE, Metric
from telemetry_probes.metrics.sending import Sending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hubprocess import HubProcess
    from running import Root

TIMEOUT_S = 60
MACHINE = "ab" * 16


@contextlib.contextmanager
def probing(root: Root, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """metricprobe, asked for a few quick collectors each second; ended by SIGTERM, with 0."""
    collectors = ("cpu", "memory", "network")
    environment = {f"TELEMETRICS_{name.upper()}_INTERVAL_S": "1" for name in collectors}
    process = subprocess.Popen(
        [BIN / "metricprobe", "-f", root.config_file, "-c", ",".join(collectors), *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def sampled(process: subprocess.Popen[str], address: str) -> None:
    """Until it has samples."""
    wait_until(lambda: b"system_cpu_time_seconds_total{" in scraped(address), "there are samples", TIMEOUT_S)
    assert process.poll() is None


def scraped(address: str) -> bytes:
    """What it says at its Unix socket; b"" where it doesn't."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(TIMEOUT_S)
        caller.connect(address)
        caller.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: caller.recv(65_536), b""))
    return b""


def asked(hub: HubProcess, path: str) -> Any:
    with urllib.request.urlopen(f"{hub.url}{path}", timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def counters(hub: HubProcess) -> dict[str, list[float]]:
    """Points of system.cpu.time at the hub, by processor and mode."""
    found = asked(hub, f"/api/v1/metrics?machine={MACHINE}&name=system.cpu.time")["series"]
    return {json.dumps(each["attributes"], sort_keys=True): [value for _, value in each["points"]] for each in found}


def test_samples_become_points_at_the_hub(tmp_path: Path) -> None:
    with hub_at(tmp_path) as hub, state_root(server=hub.url) as root:
        root.name()
        address = str(root.path / "metrics.sock")
        with running(root) as telemd:
            with probing(root, "--listen", f"unix:{address}") as process:
                sampled(process, address)
            assert telemd.wait_delivered()["delivered"] >= 1, "what it had is sent at its end"
        points = counters(hub)
        modes = {json.loads(each)["cpu.mode"] for each in points}
        assert {"user", "system", "idle", "iowait", "steal"} <= modes
        assert all(values == sorted(values) for values in points.values())
        (machine,) = asked(hub, "/api/v1/metrics/machines")["machines"]
        assert machine["machine_id"] == MACHINE and machine["series"] > len(points)
        series = asked(hub, f"/api/v1/metrics/series?machine={MACHINE}")["series"]
        assert {"system.memory.usage", "system.network.io"} <= {each["name"] for each in series}
        with urllib.request.urlopen(f"{hub.url}/machine/{MACHINE}?range=15m", timeout=TIMEOUT_S) as answer:
            assert b"system.memory.usage" in answer.read()
        rates = asked(hub, f"/api/v1/metrics?machine={MACHINE}&name=system.cpu.time&as=rate")["series"]
        assert all(0 <= rate <= 1.5 for each in rates for _, rate in each["points"])
        for wrong in (
            "/api/v1/metrics?name=a",
            "/api/v1/metrics/series?machine=x",
            "/machine/x",
            "/machine/a?range=9h",
        ):
            with pytest.raises(urllib.error.HTTPError, match="400"):
                asked(hub, wrong)
        assert not Path(address).exists()


def test_an_address_that_it_can_not_listen_at_is_refused_where_it_stands() -> None:
    with state_root() as root, running(root):
        root.name()
        with root.config_file.open("a") as file:
            file.write('\n[metrics]\nlisten = "0.0.0.0:9101"\n')
        line = len(root.config_file.read_text().splitlines())

        def said(*arguments: str) -> str:
            command: list[str | Path] = [BIN / "metricprobe", "-f", root.config_file, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            assert done.returncode == 1
            return done.stderr

        assert f"{root.config_file}:{line}: [metrics] listen: this is no address of this machine alone" in said()
        assert ": --listen: this is no address of this machine alone" in said("--listen", "192.0.2.1:9101")


def test_a_machine_whose_id_changes_sends_none() -> None:
    with state_root() as root, running(root) as telemd:
        done = subprocess.run(
            [BIN / "metricprobe", "-f", root.config_file],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 1 and "opt-in-static-machine-id" in done.stderr
        address = str(root.path / "metrics.sock")
        with probing(root, "--listen", f"unix:{address}") as process:
            sampled(process, address)
        assert telemd.account()["received"] == 0
        # A probe that thinks otherwise than telemd, which reads the id when it starts and reloads.
        root.name()
        with probing(root, "--listen", f"unix:{address}") as process:
            sampled(process, address)
        telemd.wait_account("it is refused", lambda account: account["refused"].get("anonymous", 0) >= 1)
        telemd.reload()
        telemd.wait_log("the configuration was read again")
        with probing(root, "--listen", f"unix:{address}") as process:
            sampled(process, address)
        telemd.wait_account("it is taken", lambda account: account["pending"] >= 1)


def test_nothing_without_consent(tmp_path: Path) -> None:
    with state_root(opted_in=False) as root:
        done = subprocess.run(
            [BIN / "metricprobe", "-f", root.config_file, "--listen", f"unix:{tmp_path}/m"],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "opt-in" in done.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:1", "127.0.0.1", "127.0.0.1:x", "unix:relative", "x:1"])
def test_nobody_else_is_listened_to(address: str) -> None:
    with state_root() as root:
        done = subprocess.run(
            [BIN / "metricprobe", "-f", root.config_file, "--listen", address],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "--listen" in done.stderr and "Traceback" not in done.stderr


def test_slow_callers_hold_up_nobody() -> None:
    with state_root() as root:
        address = str(root.path / "metrics.sock")
        with probing(root, "--listen", f"unix:{address}") as process, contextlib.ExitStack() as stack:
            sampled(process, address)
            for _ in range(20):
                silent = stack.enter_context(socket.socket(socket.AF_UNIX))
                silent.connect(address)
            wait_until(lambda: b"200 OK" in scraped(address), "their time is over", TIMEOUT_S)
            assert process.poll() is None


def test_a_request_that_drips_is_not_waited_for() -> None:
    with state_root() as root:
        address = str(root.path / "metrics.sock")
        with probing(root, "--listen", f"unix:{address}") as process, contextlib.ExitStack() as stack:
            sampled(process, address)
            dripping = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
            for each in dripping:
                each.connect(address)

            def is_served() -> bool:
                for each in dripping:
                    with contextlib.suppress(OSError):
                        each.send(b"x")
                time.sleep(0.5)  # a drip
                return b"200 OK" in scraped(address)

            wait_until(is_served, "their time is over", TIMEOUT_S)
            assert process.poll() is None


def test_a_socket_that_was_left_is_taken_over_and_one_in_use_is_not() -> None:
    with state_root() as root:
        path = root.path / "metrics.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        with probing(root, "--listen", f"unix:{path}") as process:
            sampled(process, str(path))
            assert path.stat().st_mode & 0o777 == 0o660
            done = subprocess.run(
                [BIN / "metricprobe", "-f", root.config_file, "--listen", f"unix:{path}"],
                capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
            assert done.returncode == 1 and "taken" in done.stderr
            assert b"200 OK" in scraped(str(path))


PROMTOOL = Path(sys.prefix) / "unpacked/prometheus/usr/bin/promtool"
needs_promtool = pytest.mark.skipif(not PROMTOOL.exists(), reason="Debian's package prometheus isn't there: make test")


def promtool_says(text: bytes) -> str:
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=TIMEOUT_S, check=False
    )
    return done.stdout.decode() + done.stderr.decode() + ("" if done.returncode == 0 else f"exit {done.returncode}")


@needs_promtool
def test_promtool_has_nothing_to_say() -> None:
    with state_root() as root:
        path = str(root.path / "metrics.sock")
        with probing(root, "--listen", f"unix:{path}") as process:
            sampled(process, path)
            assert promtool_says(scraped(path).partition(b"\r\n\r\n")[2]) == ""


@needs_promtool
def test_promtool_has_nothing_to_say_of_any_metric_there_is() -> None:
    metrics = [each for name in discovery.names() for each in discovery.kind(name).metrics]
    rows = [([each.series(("quantile", "0.5"), ("le", "1"), ("a.b", "c"))], [1]) for each in metrics]
    assert len(rows) > 80
    assert promtool_says(prometheus.text(rows)) == ""


def sent_while(root: Root, address: str, arguments: Sequence[str] = ()) -> None:
    with probing(root, "--listen", f"unix:{address}", *arguments) as process:
        sampled(process, address)


def test_what_the_server_missed_comes_later(tmp_path: Path) -> None:
    with state_root(server="http://127.0.0.1:9/") as root:
        root.name()
        address = str(root.path / "metrics.sock")
        with running(root) as telemd:
            waiting = 0
            for _ in range(3):
                sent_while(root, address)  # one record, or two where a minute ended meanwhile
                account = telemd.account()
                assert account["pending"] == account["received"] > waiting
                waiting = account["pending"]
        with hub_at(tmp_path) as hub:
            root.configure(server=hub.url)
            with running(root) as telemd:
                assert telemd.wait_delivered()["delivered"] == waiting
            points = asked(hub, f"/api/v1/metrics?machine={MACHINE}&name=system.memory.limit")["series"]
            assert len({at for each in points for at, _ in each["points"]}) >= 3


# ---- while telemd isn't there ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For telemd's answer, which comes when the disk has synced: a Sending in this process doesn't give it up."""
    monkeypatch.setattr("telemetry_probes.metrics.sending.TIMEOUT_S", float(TIMEOUT_S))


LOAD = [Metric("x.load.1m", "1", GAUGE, "Load.").series()]
MINUTE_US = 60_000_000


class Sender:
    """A Sending, and what it said."""

    def __init__(self, root: Root) -> None:
        set_config_file(str(root.config_file))
        self.said: list[str] = []
        self.account = Account()
        self.has_ended = False
        self.sending = Sending(MACHINE, self.account, self.said.append, self._end)
        self.began_us = time.time_ns() // 1000
        self.now_s = 0.0
        self.taken = 0

    def take(self, minutes: int) -> None:
        """A sample in each."""
        for _ in range(minutes):
            self.sending.take("load", LOAD, self.began_us + self.taken * MINUTE_US, [self.taken])
            self.taken += 1

    def work(self) -> float | None:
        """Called when it wants to be; how much later it wants to be again."""
        due_s = self.sending.next_s()
        assert due_s is not None
        self.now_s = max(self.now_s, due_s)
        self.sending.work(self.now_s, 0)
        due_s = self.sending.next_s()
        return None if due_s is None else due_s - self.now_s

    def _end(self) -> None:
        self.has_ended = True


def test_records_wait_for_telemd_and_go_in_order() -> None:
    with state_root() as root:
        root.name()
        sender = Sender(root)
        sender.take(4)
        assert [sender.work() for _ in range(4)] == pytest.approx([5, 10, 20, 40])
        assert len(sender.said) == 1 and "not running" in sender.said[0], "said once"
        with running(root) as telemd:
            assert sender.work() != 0
            telemd.wait_account("three minutes are over", lambda account: account["pending"] == 3)
            assert len(sender.said) == 2 and "again" in sender.said[1]
            sender.sending.close()
            telemd.wait_account("and the fourth", lambda account: account["pending"] == 4)
        assert sender.account.failures == {}


def test_a_minute_that_nothing_follows_goes_when_it_is_over() -> None:
    with state_root() as root:
        root.name()
        sender = Sender(root)
        sender.take(1)
        began_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        with running(root) as telemd:
            assert sender.work() is None
            assert sender.now_s <= began_s + 60 + 7
            telemd.wait_account("it was sent", lambda account: account["pending"] == 1)


def test_what_waited_long_goes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry_probes.metrics.sending.AT_A_TIME", 2)
    with state_root() as root:
        root.name()
        sender = Sender(root)
        sender.take(6)
        with running(root) as telemd:
            for sent in (2, 4):
                assert sender.work() == 0
                assert telemd.account()["pending"] == sent
            assert sender.work() != 0
            assert telemd.account()["pending"] == 5


def test_the_oldest_of_too_many_are_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry_probes.metrics.sending.WAITING_BYTES_MAX", 1000)
    with state_root() as root:
        root.name()
        sender = Sender(root)
        sender.take(101)
        (lost,) = sender.account.failures.values()
        assert 80 < lost < 100
        with running(root) as telemd:
            sender.work()
            telemd.wait_account("the others", lambda account: account["pending"] == 100 - lost)


def test_it_ends_with_the_owners_consent() -> None:
    with state_root() as root:
        root.name()
        sender = Sender(root)
        sender.take(2)
        root.opt_out()
        sender.work()
        assert sender.has_ended
        assert "not opted in" in sender.said[0]
