# SPDX-License-Identifier: Apache-2.0
"""telemd.courier and names that nobody answers about: what the C library asks is a module of its own that never comes
back, as nss-resolve for minutes where a network drops everything.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from courierpeer import DELIVERED, RETRY, TIMEOUT_S, courier, record
from hubprocess import hub_at
from running import needs_root
from waiting import wait_until

from telemd.transport import _lookup

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """
#include <netdb.h>
#include <nss.h>
#include <unistd.h>
enum nss_status _nss_silent_gethostbyname4_r(const char *name, void *found, char *buffer, size_t size, int *error,
                                             int *host_error, int *seconds)
{
        for (;;)
                pause();
}
"""
IN_ITS_OWN_WORLD = """
import ctypes, sys
from telemd import courier
from telemd.transport import _lookup
NEW_MOUNTS, BIND, PRIVATE = 0x20000, 0x1000, 0x44000
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(NEW_MOUNTS) == 0
assert libc.mount(b"none", b"/", None, PRIVATE, None) == 0
assert libc.mount({switch!r}, b"/etc/nsswitch.conf", None, BIND, None) == 0
_lookup.LOOKUP_S = {lookup_s}
sys.exit(courier.main(sys.argv))
"""
LOOKUP_S = 1.0
NEVER_S = 600.0


def test_a_name_that_nobody_answers_about_holds_no_batch(tmp_path: Path) -> None:
    needs_root()
    (tmp_path / "silent.c").write_text(MODULE)
    command: list[str | Path] = [
        "gcc",
        "-shared",
        "-fPIC",
        "-w",
        "-o",
        tmp_path / "libnss_silent.so.2",
        tmp_path / "silent.c",
    ]
    subprocess.run(command, check=True, timeout=60)
    switch = tmp_path / "nsswitch.conf"
    switch.write_text("hosts: files silent\n")
    program = IN_ITS_OWN_WORLD.format(switch=bytes(switch), lookup_s=LOOKUP_S)
    with hub_at(tmp_path / "hub") as hub, courier(program=program, env={"LD_LIBRARY_PATH": str(tmp_path)}) as one:
        for number in (*range(1, _lookup.QUESTIONS_MAX), 1):
            answer = one.ask([record(number)], f"http://hub{number}.example:9/")
            assert answer.verdicts == [RETRY]
            assert "can't be resolved" in answer.text
        assert one.ask([record(1)], hub.url.replace("127.0.0.1", "localhost")).verdicts == [DELIVERED]
        assert one.leave()[0] == 0, "threads that still wait hold nothing"


def test_an_answer_comes_as_it_is() -> None:
    found = _lookup.ask("localhost", 80, socket.AF_INET, socket.SOCK_STREAM)
    assert found == socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(UnicodeError):
        _lookup.ask("a" * 64 + ".example", 80)
    c_librarys = socket.getaddrinfo
    with _lookup.in_time(), socket.create_server(("127.0.0.1", 0)) as server:
        assert socket.getaddrinfo is not c_librarys
        socket.create_connection(("localhost", server.getsockname()[1]), TIMEOUT_S).close()
    assert socket.getaddrinfo is c_librarys


def test_questions_are_limited_and_asked_anew_when_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()
    asked: list[str] = []

    def silent(name: str) -> list[str]:
        asked.append(name)
        leave.wait(NEVER_S)
        return [name]

    monkeypatch.setattr(_lookup, "_getaddrinfo", silent)
    monkeypatch.setattr(_lookup, "_questions", {})
    monkeypatch.setattr(_lookup, "LOOKUP_S", 0.01)
    names = [f"n{number}" for number in range(_lookup.QUESTIONS_MAX)]
    for name in (*names, *names, "one more"):
        with pytest.raises(socket.gaierror):
            _lookup.ask(name)
    assert asked == names, "nothing is asked twice, or beyond the limit"
    leave.set()
    wait_until(lambda: all(each.is_answered(0) for each in _lookup._questions.values()), "they are answered")
    monkeypatch.setattr(_lookup, "LOOKUP_S", NEVER_S)
    assert [_lookup.ask("one more"), _lookup.ask("n0")] == [["one more"], ["n0"]]
    assert asked == [*names, "one more", "n0"], "what came late isn't kept for later"
