# SPDX-License-Identifier: Apache-2.0
"""statsd: Datadog's client speaks with metricprobe as installed; and what nobody's client would send."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from datadog.dogstatsd.base import DogStatsd
from running import BIN, TIMEOUT_S, state_root, wait_until

from telemetry_probes.metrics.collectors import statsd
from telemetry_probes.metrics.model import Absent
from telemetry_probes.metrics.places import Places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_probes.metrics.model import Value


class OverUnix(http.client.HTTPConnection):
    """To a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def scraped(path: Path) -> dict[str, float]:
    """The samples that metricprobe gives there, by name and labels."""
    connection = OverUnix(path)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines if name}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


def collector(path: Path) -> statsd.Collector:
    return statsd.Collector(Places(), {"socket": str(path)})


def row(of: statsd.Collector) -> dict[str, Value]:
    values = of.sample(0.0)
    names = [
        "".join([each.metric.name, *(f"{{{name}={text}}}" for name, text in each.attributes)]) for each in of.series
    ]
    return dict(zip(names, values, strict=True))


def test_a_client_s_numbers_are_given(place: Path) -> None:
    ours, theirs = place / "statsd.sock", place / "metrics.sock"
    with state_root() as root:
        with root.config_file.open("a") as file:
            file.write(f'[metrics.statsd]\nsocket = "{ours}"\ninterval_s = 1\n')
        command = [str(BIN / "metricprobe"), "-f", str(root.config_file), "-c", "statsd", "--listen", f"unix:{theirs}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as probe:
            try:
                wait_until(ours.exists, "it listens for statsd")
                # All in one datagram: no sample is taken in the middle of it.
                client = DogStatsd(
                    socket_path=str(ours), disable_telemetry=True, constant_tags=["env:test"], disable_buffering=False,
                    flush_interval=TIMEOUT_S,
                )  # fmt: skip
                client.increment("page.views", 3)
                client.increment("page.views", 4)
                client.gauge("queue.length", 17)
                client.gauge("queue.length", 12.5)
                client.set("users", "ann")
                client.set("users", "ben")
                client.set("users", "ann")
                client.timing("db.query", 20)
                client.timing("db.query", 40)
                client.histogram("upload.size", 1000)
                client.distribution("upload.size", 3000)
                client.flush()
                client.close_socket()
                found: dict[str, float] = {}
                keys = ("users", "db_query", "queue_length")

                def all_there() -> bool:
                    for name, value in scraped(theirs).items():
                        if "statsd" in name and not name.startswith("x_metricprobe"):
                            found.setdefault(name.partition("{")[0].removesuffix("_total"), value)
                    return all(any(key in name for name in found) for key in keys)

                wait_until(all_there, "what was sent is given")
            finally:
                probe.terminate()
                assert probe.wait(TIMEOUT_S) == 0
    assert not ours.exists()

    def of(*parts: str) -> float:
        [value] = [value for name, value in found.items() if all(part in name for part in parts)]
        return value

    assert of("page_views") == 7
    assert of("queue_length") == 12.5
    assert of("users") == 2
    assert (of("db_query", "sum"), of("db_query", "max"), of("db_query", "p50")) == pytest.approx((0.06, 0.04, 0.04))
    assert (of("upload_size", "sum"), of("upload_size", "count")) == (4000, 2)


def test_any_user_may_send(place: Path) -> None:
    listening = collector(place / "s")
    assert stat.S_IMODE((place / "s").stat().st_mode) == 0o666
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.connect(str(place / "s"))
        for datagram in (b"a:1|c\nb:2|g|#x:y\n", b"", b"\xff\x00", b"a:5|c"):
            sending.send(datagram)
    listening.ready()
    found = row(listening)
    assert found["x.statsd.counter.a"] == 6
    assert found["x.statsd.gauge.b{x=y}"] == 2
    assert found["x.metricprobe.statsd.lines"] == 3
    assert found["x.metricprobe.statsd.dropped{reason=malformed}"] == 1
    listening.close()


def test_a_flood_of_names_is_counted(place: Path) -> None:
    """A million, faster than is read, and then slower: neither the row nor the memory grows."""
    listening = collector(place / "s")
    now_s, count = time.monotonic() - 200, 0
    for _ in range(2000):
        lines = "\n".join(f"name{count + number}:1|c|#u:{number}" for number in range(500))
        count += 500
        now_s += 0.1 if count > 500_000 else 0.01
        listening.take(lines.encode(), now_s)
    found = row(listening)
    assert count == 1_000_000
    assert len(found) == 4 + statsd.NAMES_MAX["counter"]
    dropped = {name: value for name, value in found.items() if "dropped" in name}
    assert found["x.metricprobe.statsd.lines"] == statsd.NAMES_MAX["counter"]
    assert sum(value for value in dropped.values() if value is not None) == count - statsd.NAMES_MAX["counter"]
    assert all(dropped[f"x.metricprobe.statsd.dropped{{reason={why}}}"] for why in ("too-many-names", "too-fast"))
    listening.close()


def test_lines_that_take_long_are_few(place: Path) -> None:
    """A line can be long, and say a lot."""
    listening = collector(place / "s")
    now_s = time.monotonic()
    values = b"\n".join([b"a" + b":1" * 256 + b"|ms"] * 100)
    for _ in range(100):
        listening.take(values, now_s)
    listening.take(b"b:1|c" + b"|#a:b" * 10_000, now_s + 2)
    listening.take(b"c:1|c", now_s + 2)
    found = row(listening)
    dropped = found["x.metricprobe.statsd.dropped{reason=too-fast}"]
    assert dropped is not None and dropped > 8_000
    assert found["x.metricprobe.statsd.dropped{reason=malformed}"] == 1
    assert found["x.statsd.counter.c"] == 1, "the next second is another"
    listening.close()


@pytest.mark.parametrize("datagram", [b"", b"a:1|c", b"\0" * 60_000])
def test_who_sends_too_fast_has_to_wait(place: Path, datagram: bytes) -> None:
    listening = collector(place / "s")
    now_s = time.monotonic()
    assert not listening.ready()
    for _ in range(statsd.LINES_PER_S):
        listening.take(datagram, now_s)
    assert listening.ready()
    listening.close()


def test_one_call_takes_a_bounded_part(place: Path) -> None:
    listening = collector(place / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.setblocking(False)
        sending.connect(str(place / "s"))
        sent = 0
        try:
            while sent < 10 * statsd.DATAGRAMS:
                sending.send(b"a:1|c")
                sent += 1
        except BlockingIOError:
            pass  # net.unix.max_dgram_qlen
        listening.ready()
        taken = row(listening)["x.statsd.counter.a"]
    assert taken == min(sent, 2 * statsd.DATAGRAMS), "one part of ready(), one of sample()"
    listening.close()


def test_a_name_is_forgotten_after_an_hour(place: Path) -> None:
    listening = collector(place / "s")
    now_s = time.monotonic()
    listening.take(b"old:1|c", now_s - statsd.FORGOTTEN_S)
    listening.take(b"new:1|c", now_s)
    found = row(listening)
    series = listening.series
    assert "x.statsd.counter.new" in found and "x.statsd.counter.old" not in found
    row(listening)
    assert listening.series is series
    listening.close()


def test_a_socket_that_was_left_is_taken_over_and_a_used_one_is_not(place: Path) -> None:
    path = place / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(path))
    first = collector(path)
    with pytest.raises(Absent, match="another process listens"):
        collector(path)
    first.close()
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("x" * 108, "longer than"), ("no/such/folder/s", "can't be made"), ("file", "something else")],
)
def test_a_socket_that_cannot_be_is_said(place: Path, name: str, complaint: str) -> None:
    (place / "file").write_text("not ours")
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Absent, match=complaint):
        collector(place / name)
    assert (place / "file").read_text() == "not ours"
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_without_a_name_there_is_none() -> None:
    with pytest.raises(Absent, match="write socket = "):
        statsd.Collector(Places(), {"socket": ""})
