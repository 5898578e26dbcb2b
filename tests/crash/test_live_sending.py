# SPDX-License-Identifier: Apache-2.0
"""Where a report goes that the kernel's call made: to an older telemd as text, else where the configuration says."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kernelcalls
import pytest
from kernelcalls import UID, WAY, Handled, crash, handling, wait_until

from libtelemetry.wire import decode

TEXT_MAX = 8191
"""What an older telemd takes of a payload."""


@pytest.fixture(name="nested")
def _nested() -> Path:
    return kernelcalls.nested()


@contextmanager
def older_telemd(handled: Handled) -> Iterator[socket.socket]:
    """Its one socket; telemd's own isn't there."""
    (handled.root / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as older:
        older.bind(str(handled.root / "run/telem-0"))
        older.listen()
        older.settimeout(kernelcalls.WAIT_S)
        (handled.root / "run/telem-0").chmod(0o666)
        yield older


def received(older: socket.socket) -> tuple[dict[str, str], str]:
    """The headers and the payload of the record that comes (docs/protocol.md, section 3)."""
    sender, _ = older.accept()
    with sender:
        sender.settimeout(kernelcalls.WAIT_S)
        content = b""
        while piece := sender.recv(65536):
            content += piece
    begin = content.index(b"record_format_version")
    (header_size,) = struct.unpack_from("=I", content, begin - 4)
    text = content[begin:].decode().rstrip("\0")
    headers = dict(line.split(": ", 1) for line in text[:header_size].splitlines())
    return headers, text[header_size:]


def test_an_older_telemd_gets_text_that_it_can_take(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        with older_telemd(handled) as older:
            crash([nested])
            headers, payload = received(older)
        handled.wait_idle()
        assert handled.reports() == []
    assert headers["record_format_version"] == "4"
    assert headers["payload_format_version"] == "1"
    assert headers["classification"] == "org.clearlinux/crash/clr"
    assert payload.startswith(f"Process: {nested}\nPID: ")
    assert [f"{name}()" in payload for name in WAY] == [True] * len(WAY)
    assert len(payload) <= TEXT_MAX


def test_where_an_older_telemd_was_the_whole_report_is_left(nested: Path) -> None:
    """Its socket's file is still there, and nobody listens."""
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        with older_telemd(handled):
            pass
        crash([nested])
        report = handled.report()
    assert report.record.payload_version == 2
    assert report.functions[:4] == WAY


def test_the_spool_that_the_configuration_names(nested: Path) -> None:
    with handling() as handled:
        handled.say("opt-in-no-privacy-filters")
        spool = handled.root / "disk/spool"
        spool.mkdir(parents=True)
        os.chown(spool, UID, UID)
        with handled.config.open("a") as file:
            file.write(f'spool_dir = "{spool}"\n')
        crash([nested])
        wait_until(lambda: list(spool.glob("drop/*.rec")), "the report is in the drop directory of that spool")
        assert handled.reports() == []
        (left,) = spool.glob("drop/*.rec")
        assert b'"third"' in decode(left.read_bytes()).payload
