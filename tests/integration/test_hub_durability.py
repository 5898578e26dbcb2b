# SPDX-License-Identifier: Apache-2.0
"""telemhub when it is killed, stopped, or out of disk: what it answered is there, what it refused isn't."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import requests
from hubbatch import batch, host_line, line, ndjson, record_id
from hubprocess import TIMEOUT_S, HubClient, HubProcess, hub_at, request_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024
STOP_S = 30
"""The hub means to stop within 2 s; a busy machine is given more."""


def large_batch(first: int, count: int = 100) -> bytes:
    return ndjson(host_line(), *(line(number, payload="x" * 20_000) for number in range(first, first + count)))


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """Killed in the middle of a stream of batches, five times over."""
    answered: set[str] = set()
    number = 1
    for _ in range(5):
        hub = HubProcess(tmp_path / "hub")
        enough = threading.Event()

        def keep_sending(url: str = hub.url, enough: threading.Event = enough) -> None:
            nonlocal number
            with HubClient(url) as client, contextlib.suppress(requests.RequestException):
                for sent in range(10_000):
                    numbers = range(number, number + 50)
                    number += 50
                    assert client.post(batch(*numbers)).json()["accepted"] == 50
                    answered.update(map(record_id, numbers))
                    if sent == 20:
                        enough.set()

        sender = threading.Thread(target=keep_sending)
        sender.start()
        assert enough.wait(TIMEOUT_S)
        hub.kill()
        sender.join(TIMEOUT_S)
    assert len(answered) >= 5 * 20 * 50
    with hub_at(tmp_path / "hub") as again:
        kept = [record["id"] for record in again.records(limit=1000)]
        assert len(kept) == len(set(kept))
        assert answered <= set(kept)
        assert again.post(batch(*range(1, 51))).json()["duplicate"] == 50


def test_stopping_answers_what_is_under_way(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path / "hub")
    body = batch(*range(1, 501))  # stored in far less than the second that the hub still waits
    with socket.create_connection(("127.0.0.1", hub.port), TIMEOUT_S) as connection:
        connection.sendall(request_head(len(body)) + body[:-1])
        hub.get("/healthz")
        hub.process.send_signal(signal.SIGTERM)
        connection.sendall(body[-1:])
        said = b""
        while piece := connection.recv(65_536):
            said += piece
    assert b'"accepted":500' in said
    assert hub.stop() == (0, "")
    with hub_at(tmp_path / "hub") as again:
        assert again.get("/api/v1/stats").json()["records"] == 500


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_waits_for_nobody_who_dawdles(tmp_path: Path, number: signal.Signals) -> None:
    hub = HubProcess(tmp_path / "hub")
    with contextlib.ExitStack() as stack:
        for sent in (b"", b"GET / HTTP/1.1\r\n", request_head(1000) + b"x"):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", hub.port), TIMEOUT_S))
            connection.sendall(sent)
        assert hub.get("/healthz").status_code == 200
        began_s = time.monotonic()
        hub.process.send_signal(number)
        code, said = hub.stop()
        assert time.monotonic() - began_s < STOP_S
        assert connection.recv(20).startswith(b"HTTP/1.1 503")
    assert code == 0
    assert "Traceback" not in said


def test_a_store_that_is_full_refuses_and_comes_back(tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub", "--max-store-mib", "8") as hub:
        taken = fill(hub)
        refused_as_full(hub, taken)
    with hub_at(tmp_path / "hub", "--max-store-mib", "64") as larger:
        assert larger.get("/healthz").status_code == 200
        assert larger.post(large_batch(taken + 1)).json()["accepted"] == 100


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "telemhub-test", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs root and the right to mount a file system ({mounted.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_full_refuses_and_comes_back_by_itself(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(6 * MIB))
    with hub_at(small_disk / "hub") as hub:
        taken = fill(hub)
        refused_as_full(hub, taken)
        ballast.unlink()
        assert hub.post(large_batch(taken + 1)).json()["accepted"] == 100
        assert hub.get("/api/v1/stats").json()["records"] == taken + 100


def fill(hub: HubProcess) -> int:
    """Until a batch is refused; how many records were taken, which are those from 1 on."""
    for first in range(1, 100_001, 100):
        answer = hub.post(large_batch(first))
        if answer.status_code != 200:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "full" in answer.json()["message"]
            return first - 1
    raise AssertionError("the store never gets full")


def refused_as_full(hub: HubProcess, taken: int) -> None:
    """Nothing of a batch that was refused is there, all that was taken is, and the health says so."""
    assert taken > 0
    assert hub.post(large_batch(taken + 1)).status_code == 503
    assert hub.get("/api/v1/stats").json()["records"] == taken
    assert hub.records(id=record_id(taken + 1)) == []
    assert len(hub.records(id=record_id(taken))) == 1
    health = hub.get("/healthz")
    assert health.status_code == 503
    assert int(health.headers["retry-after"]) > 0


def test_a_directory_serves_one_hub_at_a_time(tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub"):
        second = subprocess.run(
            [sys.executable, "-m", "telemhub", "serve", "--data", str(tmp_path / "hub"), "--listen", "127.0.0.1:0"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert second.returncode == 1
        assert "another telemhub uses it" in second.stderr
        assert "Traceback" not in second.stderr


def test_what_is_kept_is_its_owners_alone(tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub") as hub:
        hub.post(batch(1))
        assert (tmp_path / "hub").stat().st_mode & 0o777 == 0o700
        for path in (tmp_path / "hub").iterdir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT_S)
        place = tmp_path / "n"
        manager.bind(str(place))
        hub = HubProcess(tmp_path / "hub", env={"NOTIFY_SOCKET": str(place)})
        assert manager.recv(100) == b"READY=1"
        assert hub.get("/healthz").status_code == 200
        assert hub.stop()[0] == 0
        assert manager.recv(100) == b"STOPPING=1"
