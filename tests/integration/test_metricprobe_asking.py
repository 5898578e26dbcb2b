# SPDX-License-Identifier: Apache-2.0
"""Collectors that ask others: container engines and endpoints that lie or are slow, programs that never end, telemd."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from records import record
from running import TIMEOUT_S, running, state_root
from senders import say
from waiting import wait_until

from telemetry_probes.metrics import commands, containerapi, webget
from telemetry_probes.metrics.collectors import containers, http, own
from telemetry_probes.metrics.collectors import self as telemds
from telemetry_probes.metrics.model import Absent
from telemetry_probes.metrics.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry_probes.metrics.model import Collector, Value

OK = b"HTTP/1.0 200 OK\r\n\r\n"
VERSION = OK + b'{"ApiVersion": "1.43"}'
ID = "%064x"


def row(of: Collector, now_s: float = 100.0) -> dict[str, Value]:
    values = of.sample(now_s)
    names = [each.metric.name + "".join(f"{{{name}={text}}}" for name, text in each.attributes) for each in of.series]
    assert len(set(names)) == len(names)
    return dict(zip(names, values, strict=True))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path, nobody else's."""
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def answering(path: Path, answer: Callable[[socket.socket, str], None]) -> Iterator[None]:
    """A server that calls answer() with each connection and what it asks for."""
    ended = threading.Event()

    def one(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.settimeout(TIMEOUT_S)
            answer(peer, peer.recv(65_536).split(b" ")[1].decode())

    def work() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                threading.Thread(target=one, args=(listening.accept()[0],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(256)
        listening.settimeout(0.05)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def saying(text: bytes) -> Callable[[socket.socket, str], None]:
    return lambda peer, _: peer.sendall(text)


def endless(text: bytes) -> Callable[[socket.socket, str], None]:
    def answer(peer: socket.socket, _: str) -> None:
        while True:
            peer.sendall(text)

    return answer


def drop_by_drop(peer: socket.socket, _: str) -> None:
    for letter in OK * 1000:
        peer.sendall(bytes([letter]))
        time.sleep(0.05)


def nothing(peer: socket.socket, _: str) -> None:
    peer.recv(1)  # until the other side hangs up


LIES = {
    "nothing": nothing,
    "drop by drop": drop_by_drop,
    "hangs up": saying(b""),
    "no HTTP": saying(b"220 mail ESMTP\r\n\r\n"),
    "a head without an end": endless(b"X: y\r\n" * 1000),
    "a body without an end": endless(OK + b"[" * 65_536),
    "shorter than it says": saying(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
    "larger than it may be": saying(b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}"),
    "an error": saying(b"HTTP/1.0 500 No\r\nContent-Length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_endpoint_that_lies_is_down(lie: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ENDPOINT_S", 0.3)
    asking = http.Collector(Places(), {"endpoints": (f"it=unix:{place}/s", f"gone=unix:{place}/gone")})
    before = len(os.listdir("/proc/self/fd"))
    with answering(place / "s", LIES[lie]):
        began_s = time.monotonic()
        found = row(asking)
        assert time.monotonic() - began_s < TIMEOUT_S / 2
    assert found["x.http.up{endpoint=it}"] == found["x.http.up{endpoint=gone}"] == 0
    assert found["x.http.p99{endpoint=it}"] is None
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, "the answering side has hung up, too")


def test_endpoints_have_an_end_to_their_time_together(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ENDPOINT_S", 2.0)
    monkeypatch.setattr(http, "ALL_S", 0.5)
    names = [f"e{number}=unix:{place}/s" for number in range(http.ENDPOINTS_MAX)]
    with answering(place / "s", nothing):
        began_s = time.monotonic()
        assert len(row(http.Collector(Places(), {"endpoints": names}))) == len(http.METRICS) * len(names)
        assert time.monotonic() - began_s < 2.0 * len(names) / 2


def test_an_endpoint_over_tcp() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        asked: list[bytes] = []

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                asked.append(peer.recv(65_536))
                peer.sendall(OK + b'{"p99": 7, "error_rate": 1.5}')

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/a?b=c"
        found = row(http.Collector(Places(), {"endpoints": [f"it={url}"]}))
        thread.join()
    assert asked[0].startswith(b"GET /a?b=c HTTP/1.0\r\nHost: 127.0.0.1\r\n")
    assert (found["x.http.up{endpoint=it}"], found["x.http.p99{endpoint=it}"]) == (1, 7)
    assert found["x.http.error_rate{endpoint=it}"] == 1.5


def test_no_endpoint_two_of_a_name_and_too_many_are_said() -> None:
    for names, complaint in (
        ((), "no endpoint is named"),
        (("a=unix:/x", "a=unix:/y"), "the same name"),
        ([f"{number}=unix:/x" for number in range(33)], "more than 32"),
    ):
        with pytest.raises(Absent, match=complaint):
            http.Collector(Places(), {"endpoints": names})


# ---- containers --------------------------------------------------------------------------------------------------


def engine(stats: Callable[[socket.socket, str], None], count: int) -> Callable[[socket.socket, str], None]:
    """An engine with so many containers."""
    listed = json.dumps([{"Id": ID % number, "Names": [f"/c{number}"], "State": "running"} for number in range(count)])

    def answer(peer: socket.socket, path: str) -> None:
        if path == "/version":
            peer.sendall(VERSION)
        elif path == "/containers/json":
            peer.sendall(OK + listed.encode())
        else:
            stats(peer, path)

    return answer


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers is waited for, however busy the machine is; a test of those who don't says how long."""
    for module, name in ((http, "ENDPOINT_S"), (http, "ALL_S"), (containerapi, "ANSWER_S"), (containerapi, "ALL_S"),
                         (own, "PROGRAM_S"), (own, "ALL_S")):  # fmt: skip
        monkeypatch.setattr(module, name, TIMEOUT_S)


def asking(path: Path, **options: Any) -> containers.Collector:
    return containers.Collector(Places(), {"sockets": (str(path),), "names": "-", **options})


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie != "drop by drop"])
def test_an_engine_that_lies_is_not_up(lie: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerapi, "ANSWER_S", 0.3)
    with answering(place / "s", LIES[lie]):
        found = row(asking(place / "s"))
    assert found == {f"x.container.runtime.up{{container.runtime.socket={place}/s}}": 0}


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie not in ("drop by drop", "a body without an end")])
def test_an_engine_that_lies_of_a_container_tells_that_it_is_there(
    lie: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerapi, "ANSWER_S", 1.5)  # for the engine's own answers, too
    with answering(place / "s", engine(LIES[lie], 2)):
        found = row(asking(place / "s"))
    values = {name: value for name, value in found.items() if name.startswith("container.")}
    assert len(values) == 2 * 7 or len(values) == 2 * 6
    assert set(values.values()) == {None}
    assert found["x.container.state{container.name=c1}{container.runtime=docker}{state=running}"] == 1


def test_many_slow_containers_are_asked_at_a_time(place: Path) -> None:
    """Docker takes a second for each."""

    def slow(peer: socket.socket, _: str) -> None:
        time.sleep(0.5)
        peer.sendall(OK + b'{"memory_stats": {"usage": 5}}')

    with answering(place / "s", engine(slow, 40)):
        began_s = time.monotonic()
        found = row(asking(place / "s"))
        assert time.monotonic() - began_s < 0.5 * 40 / 2
    assert [value for name, value in found.items() if name.startswith("container.memory")] == [5] * 40


def test_those_that_were_not_reached_come_first_the_next_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerapi, "AT_A_TIME", 1)
    monkeypatch.setattr(containerapi, "ALL_S", 2.0)
    asked: list[str] = []

    def slow(peer: socket.socket, path: str) -> None:
        asked.append(path.split("/")[2])
        time.sleep(0.8)
        peer.sendall(OK + b"{}")

    with answering(place / "s", engine(slow, 40)):
        of = asking(place / "s")
        row(of)
        first = len(asked)
        row(of)
    assert 0 < first < 40
    assert asked[first] == ID % first


def test_containers_are_left_out_by_name_and_are_not_asked_for(place: Path) -> None:
    asked: list[str] = []

    def counted(peer: socket.socket, path: str) -> None:
        asked.append(path)
        peer.sendall(OK + b"{}")

    with answering(place / "s", engine(counted, 12)):
        found = row(asking(place / "s", names="c1*"))
    assert len([name for name in found if name.startswith("x.container.state")]) == 3
    assert sorted(asked) == [f"/containers/{ID % number}/stats?stream=false&one-shot=true" for number in (1, 10, 11)]


def test_containers_come_and_go(place: Path) -> None:
    """Only those that are there have series, and nothing is remembered of the others."""
    begin = 0

    def answer(peer: socket.socket, path: str) -> None:
        engine_now = [{"Id": ID % (begin + number), "Names": [f"/c{begin + number}"]} for number in range(100)]
        if path == "/version":
            peer.sendall(VERSION)
        elif path == "/containers/json":
            peer.sendall(OK + json.dumps(engine_now).encode())
        else:
            peer.sendall(OK + b'{"cpu_stats": {"cpu_usage": {"total_usage": 5}, "system_cpu_usage": 9}}')

    with answering(place / "s", answer):
        of = asking(place / "s")
        for begin in range(0, 500, 100):
            assert len(row(of)) == 1 + 100 * 10, begin
        assert len(of._apis[f"{place}/s"]._before) == 100


def test_an_engine_that_was_away_comes_back(place: Path) -> None:
    of = None
    with answering(place / "s", engine(saying(OK + b"{}"), 1)):
        of = asking(place / "s")
        assert len(row(of)) == 11
    name = f"x.container.runtime.up{{container.runtime.socket={place}/s}}"
    assert row(of) == {name: 0}
    (place / "s").unlink()
    with pytest.raises(Absent, match="have gone"):
        of.sample(1.0)
    with answering(place / "s", engine(saying(OK + b"{}"), 2)):
        assert len(row(of)) == 21


def test_a_large_answer_is_read_whole(place: Path) -> None:
    body = b"x" * 3_000_000
    with answering(place / "s", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body)):
        answer = webget.get(webget.Place(unix=f"{place}/s"), "/", time.monotonic() + TIMEOUT_S, 3_000_000)
        assert (answer.status, answer.body) == (200, body)
        with pytest.raises(ValueError, match="larger than"):
            webget.get(webget.Place(unix=f"{place}/s"), "/", time.monotonic() + TIMEOUT_S, 2_999_999)


# ---- the operator's own ------------------------------------------------------------------------------------------


@pytest.fixture
def programs(place: Path) -> Iterator[Path]:
    """A machine with metrics.d; what becomes another user there stays who it is."""
    folder = place / "etc/telemetrics/metrics.d"
    folder.mkdir(parents=True)
    for each in (place / "etc", folder.parent, folder):
        each.chmod(0o755)
    (place / "usr/bin").mkdir(parents=True)
    scene = Path(__file__).parents[1] / "golden/metrics/services/root/usr/bin/setpriv"
    shutil.copy(scene, place / "usr/bin/setpriv")
    yield folder


def program(folder: Path, name: str, text: str, mode: int = 0o755) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(mode)


def owns(place: Path) -> own.Collector:
    options = {"folder": own.FOLDER, "text_files": own.TEXT_FILES}
    return own.Collector(Places(str(place), environment={}), options)


def failures(found: dict[str, Value]) -> dict[str, str]:
    """The reason by source."""
    names = [name for name in found if name.startswith("x.metricprobe.own.failure")]
    return {name.split("source=")[1].split("}")[0]: name.split("reason=")[1][:-1] for name in names}


def test_a_program_that_does_what_it_likes_disturbs_no_other(
    place: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "PROGRAM_S", 5.0)
    program(programs, "a-good", "echo good 1")
    program(programs, "b-slow", "echo slow 1; sleep 1000 & wait")
    program(programs, "c-gigabyte", "exec cat /dev/zero")
    program(programs, "d-dies", "kill -9 $$")
    program(programs, "e-writable", "echo bad 1", 0o777)
    program(programs, "f-same", "echo good 2")
    program(programs, "g-other-type", "echo '# TYPE good counter'; echo 'good{a=\"b\"} 2'")
    program(programs, "h-reads", "read answer; echo answer 1")
    program(programs, "i-silent", ":")
    program(programs, "j-not", "echo not 1", 0o644)
    program(programs, "k~", "echo backup 1")
    program(programs, ".hidden", "echo hidden 1")
    (programs / "l-folder").mkdir()
    (programs / "m-nowhere").symlink_to("/proc/nonexistent")
    program(programs, "n-counter", "echo '# TYPE down counter'; echo down -5")
    of = owns(place)
    began_s = time.monotonic()
    found = row(of)
    assert time.monotonic() - began_s < TIMEOUT_S / 2
    values = {name: value for name, value in found.items() if name.startswith("x.own.")}
    assert values == {"x.own.good": 1, "x.own.answer": 1, "x.own.down": None}
    assert failures(found) == {
        "b-slow": "too slow",
        "c-gigabyte": f"it said more than {own.TEXT_BYTES_MAX} bytes",
        "d-dies": "it ended with -9: run it by hand, as user telemetry",
        "e-writable": "others could change e-writable: chown root, chmod go-w",
        "f-same": "good was given by another already",
        "g-other-type": "good is of another type where it was given before",
    }
    again_s = time.monotonic()
    assert failures(row(of, 160.0))["b-slow"] == "too slow"
    assert time.monotonic() - again_s < 4.5, "it isn't run again at once"
    program(programs, "b-slow", "echo slow 1")
    assert row(of, 100.0 + commands.PAUSE_S)["x.own.slow"] == 1


def test_a_folder_that_others_may_write_has_no_program(place: Path, programs: Path) -> None:
    program(programs, "good", "echo good 1")
    programs.chmod(0o777)
    assert failures(row(owns(place))) == {"good": "others could change metrics.d: chown root, chmod go-w"}


def test_more_programs_than_there_may_be(place: Path, programs: Path) -> None:
    for number in range(own.SOURCES_MAX + 2):
        program(programs, f"p{number:03}", f"echo m{number} 1")
    found = row(owns(place))
    assert len([name for name in found if name.startswith("x.own.m")]) == own.SOURCES_MAX
    assert set(failures(found)) == {"p032", "p033"}


def test_more_values_than_there_may_be(place: Path, programs: Path) -> None:
    many = 'for i in $(seq 1500); do echo "%s$i 1"; done'
    program(programs, "a", many % "a")
    program(programs, "b", many % "b")
    found = row(owns(place))
    assert failures(found) == {"b": "there are more than 2000 values in all"}
    assert len(found) == 1500 + 1


def test_files_beside_programs(place: Path, programs: Path) -> None:
    (programs / "good.prom").write_text("good 5\n")
    (programs / "large.prom").write_text("#" * (own.TEXT_BYTES_MAX + 1))
    (programs / "bad.prom").write_text("secret-word\n")
    (programs / ".tmp.prom").write_text("hidden 1\n")
    (programs / "folder.prom").mkdir()
    os.mkfifo(programs / "pipe.prom")
    os.utime(programs / "good.prom", (1000, 1000))
    found = row(owns(place))
    assert (found["x.own.good"], found["x.metricprobe.own.written{source=good.prom}"]) == (5, 1000)
    assert {name for name in found if name.startswith("x.own.")} == {"x.own.good"}
    assert set(failures(found)) == {"large.prom", "bad.prom", "folder.prom"}
    assert not any("secret" in name for name in found)


def test_two_of_a_name_are_told_apart(place: Path, programs: Path) -> None:
    others = place / own.TEXT_FILES.lstrip("/")
    others.mkdir(parents=True)
    for folder in (programs, others):
        for name in ("bad.prom", "a\x1b.prom", "a\x07.prom"):
            (folder / name).write_text("bad\n")
    found = row(owns(place))
    assert set(failures(found)) >= {"bad.prom", f"{own.TEXT_FILES}/bad.prom", "a?.prom"}


def test_series_change_when_they_do(place: Path, programs: Path) -> None:
    program(programs, "a", 'cat "$0".values')
    (programs / "a.values").write_text("m 1\n")
    of = owns(place)
    assert row(of) == {"x.own.m": 1}
    series = of.series
    (programs / "a.values").write_text("m 2\n")
    assert row(of) == {"x.own.m": 2}
    assert of.series is series
    (programs / "a.values").write_text("n 2\n")
    assert row(of) == {"x.own.n": 2}
    (programs / "a").unlink()
    with pytest.raises(Absent, match="any more"):
        of.sample(1.0)


# ---- telemd ------------------------------------------------------------------------------------------------------


def test_telemd_s_own_account() -> None:
    with state_root() as root:
        options = {"socket": str(root.control)}
        with pytest.raises(Absent, match="not running"):
            telemds.Collector(Places(), options)
        with running(root) as telemd:
            for number in range(7):
                assert say(root.socket5, record(number)) is not None
            of = telemds.Collector(Places(), options)
            found = row(of)
            account = telemd.account()
            assert found["x.telemd.records{outcome=admitted}"] == account["admitted"] == 7
            assert found["x.telemd.pending{lane=event}"] == 7
            assert found["x.telemd.spool.usage"]
            assert not [name for name in found if name.startswith("x.telemd.refused")]
        with pytest.raises(Absent, match="not running"):
            of.sample(1.0)
