# SPDX-License-Identifier: Apache-2.0
"""The asking side of the control socket, against peers that misbehave: always an answer in words, always in time."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemd.controlclient import ANSWER_BYTES_MAX, NO_ANSWER, NOT_RUNNING, REFUSED, Unavailable, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GENEROUS_S = 30.0


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tm-") as directory:
        yield Path(directory, "control.sock")


@contextlib.contextmanager
def served(place: Path, answer: Callable[[socket.socket], None]) -> Iterator[list[bytes]]:
    """One caller meets `answer` after its line was read."""
    asked: list[bytes] = []
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    listening.listen()

    def serve() -> None:
        caller, _ = listening.accept()
        with caller, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            asked.append(caller.recv(4096))
            answer(caller)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        thread.join(GENEROUS_S)
        listening.close()
        assert not thread.is_alive()


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda caller: caller.sendall(data)


def unavailable(found: object) -> Unavailable:
    assert isinstance(found, Unavailable)
    assert found.text
    return found


def test_question_and_answer_are_the_protocols(place: Path) -> None:
    with served(place, says(b'{"ok": true, "x": [1]}\n')) as asked:
        assert ask(str(place), "status") == {"ok": True, "x": [1]}
    assert asked == [b'{"verb": "status"}\n']


def test_answer_in_single_bytes(place: Path) -> None:
    def trickle(caller: socket.socket) -> None:
        for byte in b'{"ok": true}\n':
            caller.sendall(bytes([byte]))

    with served(place, trickle):
        assert ask(str(place), "ping") == {"ok": True}


def test_answer_without_a_newline(place: Path) -> None:
    with served(place, says(b'{"ok": true}')):
        assert ask(str(place), "ping") == {"ok": True}


def test_largest_answer(place: Path) -> None:
    filling = ANSWER_BYTES_MAX - len(b'{"ok": true, "x": ""}\n')
    with served(place, says(b'{"ok": true, "x": "' + b"y" * filling + b'"}\n')):
        found = ask(str(place), "status", GENEROUS_S)
    assert isinstance(found, dict)


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"", NO_ANSWER, "hung up"),
        (b"\n", NO_ANSWER, "no JSON"),
        (b"hello\n", NO_ANSWER, "no JSON"),
        (b"\xff\xfe\n", NO_ANSWER, "no JSON"),
        (b"[]\n", NO_ANSWER, "no JSON object"),
        (b"[" * 100_000 + b"\n", NO_ANSWER, "no JSON"),
        (b"x" * (ANSWER_BYTES_MAX + 1), NO_ANSWER, "larger than 1 MiB"),
        (b"x" * (4 * ANSWER_BYTES_MAX), NO_ANSWER, "larger than 1 MiB"),
        (b"{}\n", REFUSED, "telemd says: no"),
        (b'{"ok": 1}\n', REFUSED, "telemd says: no"),
        (b'{"ok": false, "message": "unknown verb"}\n', REFUSED, "telemd says: unknown verb"),
        (b'{"ok": false, "message": ["x"]}\n', REFUSED, "telemd says: no"),
    ],
)
def test_answers_that_are_none(place: Path, data: bytes, kind: str, said: str) -> None:
    with served(place, says(data)):
        found = unavailable(ask(str(place), "status", GENEROUS_S))
    assert found.kind == kind
    assert said in found.text
    assert len(found.text) < 600


def test_silence_has_an_end(place: Path) -> None:
    done = threading.Event()

    def wait(caller: socket.socket) -> None:
        done.wait(GENEROUS_S)

    with served(place, wait):
        begin = time.monotonic()
        found = unavailable(ask(str(place), "status", 0.2))
        took_s = time.monotonic() - begin
        done.set()
    assert found.kind == NO_ANSWER
    assert "doesn't answer" in found.text
    assert 0.2 <= took_s < GENEROUS_S / 2


def test_an_answer_that_never_ends_has_an_end(place: Path) -> None:
    """Each byte comes in time, the whole doesn't."""
    done = threading.Event()

    def trickle(caller: socket.socket) -> None:
        while not done.wait(0.02):
            caller.sendall(b" ")

    with served(place, trickle):
        found = unavailable(ask(str(place), "status", 0.3))
        done.set()
    assert found.kind == NO_ANSWER


def test_nobody_there(place: Path) -> None:
    assert unavailable(ask(str(place), "ping")).kind == NOT_RUNNING
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    assert unavailable(ask(str(place), "ping")).kind == NOT_RUNNING
    place.unlink()
    place.write_text("a file")
    assert unavailable(ask(str(place), "ping")).kind == NOT_RUNNING
    assert unavailable(ask(str(place / "below"), "ping")).kind == NOT_RUNNING
    assert unavailable(ask("/" + "x" * 200, "ping")).kind == NOT_RUNNING


def test_peer_that_is_too_busy(place: Path) -> None:
    """Its queue of callers is full."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(0)
        with contextlib.ExitStack() as callers:
            for _ in range(4):
                caller = callers.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                with contextlib.suppress(BlockingIOError):
                    caller.connect(str(place))
            assert unavailable(ask(str(place), "ping", 0.3)).kind == NO_ANSWER


def test_no_right_to_ask(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        os.chmod(place, 0)
        before = os.geteuid()
        if before == 0:
            os.chmod(place.parent, 0o755)
            os.seteuid(65_534)
        try:
            found = unavailable(ask(str(place), "ping"))
        finally:
            os.seteuid(before)
    assert "only root" in found.text
